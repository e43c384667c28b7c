/** Whom a target means: the devices it matches now, however many groups, devices or tags it names. */
import type { Target } from '../domain/device/target.ts';
import { among } from './dialect.ts';
import { selectGroupPaths } from './group.ts';
import type { Db } from './schema.ts';

export async function countTargeted(db: Db, projectId: number, target: Target): Promise<number> {
  const row = await devicesOf(db, projectId, target, await groupsInside(db, projectId, target))
    .select((eb) => eb.fn.countAll<number>().as('count'))
    .executeTakeFirstOrThrow();
  return Number(row.count);
}

/** By id. */
export async function selectTargeted(
  db: Db,
  projectId: number,
  target: Target,
  limit?: number,
): Promise<{ id: number; name: string }[]> {
  const query = devicesOf(db, projectId, target, await groupsInside(db, projectId, target))
    .select(['devices.id', 'devices.name'])
    .orderBy('devices.id');
  return (limit === undefined ? query : query.limit(limit)).execute();
}

/** The groups that the target names and all below them: an expression of so many paths is more than SQLite takes. */
async function groupsInside(db: Db, projectId: number, target: Target): Promise<number[]> {
  if (!('groups' in target)) return [];
  const named = new Set(target.groups);
  const groups = await selectGroupPaths(db, projectId);
  return groups.filter(({ path }) => path.some((id) => named.has(id))).map(({ id }) => id);
}

function devicesOf(db: Db, projectId: number, target: Target, groupIds: readonly number[]) {
  const query = db.selectFrom('devices').where('devices.project_id', '=', projectId);
  if ('all' in target) return query;
  if ('devices' in target) return query.where('devices.id', 'in', among(db, target.devices));
  if ('groups' in target) return query.where('devices.group_id', 'in', among(db, groupIds));
  const tagged = db
    .selectFrom('device_tags')
    .select('device_id')
    .where('project_id', '=', projectId)
    .where('tag', 'in', among(db, target.tags));
  if (target.match === 'any') return query.where('devices.id', 'in', tagged);
  const withAll = tagged
    .groupBy('device_id')
    .having((eb) => eb(eb.fn.count<number>('tag'), '=', target.tags.length));
  return query.where('devices.id', 'in', withAll);
}
