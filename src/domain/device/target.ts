/**
 * A target says which devices a command is for. It is matched when a command is delivered, never when it is
 * issued, so a device that joins a group an hour later is part of it. Everything here is pure.
 */
import { z } from 'zod';

const idsMax = 10_000;
const tagsMax = 50;
/** A target of more ids than this is filed under "all": one row instead of thousands. */
const scopesMax = 100;
export const tagSchema = z
  .string()
  .trim()
  .min(1)
  .max(100)
  .regex(/^[^\s,;]+$/, 'a tag has no spaces, commas or semicolons');
const ids = z.array(z.int().positive()).min(1).max(idsMax).transform(unique);

export const targetSchema = z.union(
  [
    z.strictObject({ all: z.literal(true) }),
    z.strictObject({ groups: ids }),
    z.strictObject({ devices: ids }),
    z.strictObject({
      tags: z.array(tagSchema).min(1).max(tagsMax).transform(unique),
      match: z.enum(['any', 'all']).default('any'),
    }),
  ],
  { error: 'must be one of {"all":true}, {"groups":[1]}, {"devices":[1]}, {"tags":["a"],"match":"any"}' },
);

/** Groups mean their whole subtree. */
export type Target =
  | { all: true }
  | { groups: number[] }
  | { devices: number[] }
  | { tags: string[]; match: 'any' | 'all' };

/** What of a device decides whether a target matches: `groupPath` is the ids from the root to its group. */
export type Targetable = { id: number; groupPath: readonly number[]; tags: ReadonlySet<string> };

/** A group's ids from the root to itself. */
export type PathOf = (groupId: number) => readonly number[];

export function matchesTarget(target: Target, device: Targetable): boolean {
  if ('all' in target) return true;
  if ('groups' in target) return target.groups.some((id) => device.groupPath.includes(id));
  if ('devices' in target) return target.devices.includes(device.id);
  return target.match === 'any'
    ? target.tags.some((tag) => device.tags.has(tag))
    : target.tags.every((tag) => device.tags.has(tag));
}

/**
 * The scopes a target is filed under: a device finds every target that may match it under its own scopes
 * (`scopesOfDevice`). A tag target that asks for all its tags is filed under the first, and `matchesTarget` decides.
 */
export function scopesOfTarget(target: Target): string[] {
  const scopes = exactScopes(target);
  return scopes.length > scopesMax ? ['all'] : scopes;
}

/** Like `scopesOfTarget`, however many they are. */
export function exactScopes(target: Target): string[] {
  if ('all' in target) return ['all'];
  if ('groups' in target) return target.groups.map((id) => `group:${id}`);
  if ('devices' in target) return target.devices.map((id) => `device:${id}`);
  const tags = target.match === 'any' ? target.tags : target.tags.slice(0, 1);
  return tags.map((tag) => `tag:${tag}`);
}

export function scopesOfDevice(device: Targetable): string[] {
  return [
    'all',
    `device:${device.id}`,
    ...device.groupPath.map((id) => `group:${id}`),
    ...[...device.tags].map((tag) => `tag:${tag}`),
  ];
}

/**
 * Does every device that `narrow` can ever match also match `wide`? Decided by the targets alone, since devices
 * move: "all" covers everything, otherwise like covers like.
 */
export function coversTarget(wide: Target, narrow: Target, pathOf: PathOf): boolean {
  if ('all' in wide) return true;
  if ('groups' in wide && 'groups' in narrow) {
    const known = new Set(wide.groups);
    return narrow.groups.every((id) => pathOf(id).some((above) => known.has(above)));
  }
  if ('devices' in wide && 'devices' in narrow) {
    const known = new Set(wide.devices);
    return narrow.devices.every((id) => known.has(id));
  }
  if (!('tags' in wide && 'tags' in narrow)) return false;
  if (wide.match === 'any') {
    return narrow.match === 'any'
      ? narrow.tags.every((tag) => wide.tags.includes(tag))
      : narrow.tags.some((tag) => wide.tags.includes(tag));
  }
  return narrow.match === 'all' && wide.tags.every((tag) => narrow.tags.includes(tag));
}

function unique<T>(values: T[]): T[] {
  return [...new Set(values)];
}
