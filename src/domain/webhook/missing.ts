/** A filter all of whose devices, groups, types or rules are gone lets nothing pass any more. */
import { isDeepStrictEqual } from 'node:util';
import type { WebhookFilter } from './filter.ts';

/** What is there of the things that filters name. */
export type Named = {
  devices: ReadonlySet<number>;
  groups: ReadonlySet<number>;
  device_types: ReadonlySet<string>;
  alarm_rules: ReadonlySet<string>;
};

const words = {
  devices: 'device',
  groups: 'group',
  device_types: 'device type',
  alarm_rules: 'alarm rule',
} as const satisfies Record<keyof Named, string>;

/** Whether two filters name the same things: what was said of the one holds for the other. */
export function namesSame(one: WebhookFilter, other: WebhookFilter): boolean {
  return (Object.keys(words) as (keyof Named)[]).every((member) =>
    isDeepStrictEqual(one[member], other[member]),
  );
}

/** Null while one thing is left of every list. */
export function problemOfFilter(filter: WebhookFilter, there: Named): string | null {
  const isGone = (member: keyof Named): boolean => {
    const named: readonly (number | string)[] | undefined = filter[member];
    const left: ReadonlySet<number | string> = there[member];
    return named?.every((name) => !left.has(name)) ?? false;
  };
  const gone = (Object.keys(words) as (keyof Named)[]).filter(isGone);
  return gone.length === 0
    ? null
    : gone.map((member) => `every ${words[member]} that its filter names was deleted`).join('; ');
}
