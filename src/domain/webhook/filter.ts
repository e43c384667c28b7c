/** Which events a webhook gets. Pure: decided by the filter and the event alone. */

import { z } from 'zod';
import { type Condition, conditionSchema, holds } from '../condition.ts';
import { tagSchema } from '../device/target.ts';
import type { EventKind, StoredEvent } from '../event/event.ts';
import { idSchema, nameSchema } from '../input.ts';

const listMax = 1_000;
const list = <T extends z.ZodType>(item: T) => z.array(item).min(1).max(listMax).optional();

/** The kinds that devices say by themselves: what an empty filter lets through. */
const deviceKinds: ReadonlySet<EventKind> = new Set(['event', 'message', 'bulk']);

export const filterSchema = z.strictObject({
  /** Names, or `*` for every one. */
  event_types: list(nameSchema),
  kinds: list(z.enum(['event', 'message', 'bulk', 'alarm', 'system'])),
  labels: list(nameSchema),
  devices: list(idSchema),
  /** Each with all that is below it. */
  groups: list(idSchema),
  /** By id or name on the way in; kept by id. */
  device_types: list(nameSchema),
  /** A device with any of them. */
  tags: list(tagSchema),
  /** Alarms of these rules. */
  alarm_rules: list(z.string().max(36)),
  /** Holds for the payload. */
  where: conditionSchema.optional(),
});

export type WebhookFilter = {
  event_types?: string[] | undefined;
  kinds?: EventKind[] | undefined;
  labels?: string[] | undefined;
  devices?: number[] | undefined;
  groups?: number[] | undefined;
  device_types?: string[] | undefined;
  tags?: string[] | undefined;
  alarm_rules?: string[] | undefined;
  where?: Condition | undefined;
};

/** What of an event a filter looks at. `payload` is undefined for bytes, and asked for only when a filter has a `where`. */
export type Filterable = {
  kind: EventKind;
  type: string | null;
  label: string | null;
  device: {
    id: number;
    groupPath: readonly number[];
    typeId: string | null;
    tags: ReadonlySet<string>;
  } | null;
  ruleId: string | null;
  payload: () => unknown;
};

/** Of an event what filters look at; `payload` is asked for once at most. */
export function filterableOf(event: StoredEvent, payload: () => unknown): Filterable {
  const { device, rule_id } = event.origin;
  let looked: { at: unknown } | undefined;
  return {
    kind: event.kind,
    type: event.type,
    label: event.label,
    device: device
      ? {
          id: device.id,
          groupPath: device.group_path,
          typeId: device.type_id,
          tags: new Set(device.tags),
        }
      : null,
    ruleId: rule_id ?? null,
    payload: () => {
      looked ??= { at: payload() };
      return looked.at;
    },
  };
}

/** Whether a past event would go to a webhook of this filter: one that did not fit its schema goes nowhere. */
export function wouldPass(filter: WebhookFilter, event: StoredEvent, payload: () => unknown): boolean {
  return event.problem === null && passesFilter(filter, filterableOf(event, payload));
}

/**
 * All members of the filter must agree. Without `kinds` it is about what devices say; naming alarm rules makes it
 * about alarms, and an event of the server passes only when `event_types` names it, never by `*`.
 */
export function passesFilter(filter: WebhookFilter, event: Filterable): boolean {
  const { device } = event;
  if (event.kind === 'command' || !passesKind(filter, event)) return false;
  if (
    filter.event_types &&
    !filter.event_types.includes('*') &&
    !filter.event_types.includes(event.type ?? '')
  )
    return false;
  if (filter.labels && !filter.labels.includes(event.label ?? '')) return false;
  if (filter.alarm_rules && !filter.alarm_rules.includes(event.ruleId ?? '')) return false;
  if (filter.devices && !(device && filter.devices.includes(device.id))) return false;
  if (filter.groups && !filter.groups.some((id) => device?.groupPath.includes(id))) return false;
  if (filter.device_types && !filter.device_types.includes(device?.typeId ?? '')) return false;
  if (filter.tags && !filter.tags.some((tag) => device?.tags.has(tag))) return false;
  if (!filter.where) return true;
  const payload = event.payload();
  return payload !== undefined && holds(filter.where, payload);
}

function passesKind({ kinds, alarm_rules, event_types }: WebhookFilter, { kind, type }: Filterable): boolean {
  if (kinds) return kinds.includes(kind);
  if (alarm_rules) return kind === 'alarm';
  return deviceKinds.has(kind) || (type !== null && (event_types?.includes(type) ?? false));
}
