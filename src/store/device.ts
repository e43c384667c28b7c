import { sql } from 'kysely';
import { among, chunksOf } from './dialect.ts';
import { type Page, type PageQuery, pageOf } from './page.ts';
import type { Db, NewRow, Row } from './schema.ts';

export async function insertDevices(
  db: Db,
  rows: NewRow<'devices'>[],
  tags: NewRow<'device_tags'>[],
): Promise<void> {
  for (const chunk of chunksOf(db, rows)) await db.insertInto('devices').values(chunk).execute();
  await insertTags(db, tags);
}

async function insertTags(db: Db, tags: NewRow<'device_tags'>[]): Promise<void> {
  for (const chunk of chunksOf(db, tags)) await db.insertInto('device_tags').values(chunk).execute();
}

export async function replaceTags(
  db: Db,
  projectId: number,
  deviceId: number,
  tags: readonly string[],
): Promise<void> {
  await db.deleteFrom('device_tags').where('device_id', '=', deviceId).execute();
  await insertTags(
    db,
    tags.map((tag) => ({ project_id: projectId, tag, device_id: deviceId })),
  );
}

export type DeviceRow = Row<'devices'> & { group_path: string | null; type_name: string | null };

function selectDevices(db: Db) {
  return db
    .selectFrom('devices')
    .leftJoin('groups', 'groups.id', 'devices.group_id')
    .leftJoin('device_types', (join) =>
      join
        .onRef('device_types.project_id', '=', 'devices.project_id')
        .onRef('device_types.id', '=', 'devices.type_id'),
    )
    .selectAll('devices')
    .select(['groups.path as group_path', 'device_types.name as type_name']);
}

export async function findDevice(db: Db, projectId: number, id: number): Promise<DeviceRow | undefined> {
  return selectDevices(db)
    .where('devices.project_id', '=', projectId)
    .where('devices.id', '=', id)
    .executeTakeFirst();
}

export async function findDeviceByTokenHash(db: Db, hash: string): Promise<DeviceRow | undefined> {
  return selectDevices(db).where('devices.token_hash', '=', hash).executeTakeFirst();
}

export async function findDevices(db: Db, projectId: number, ids: readonly number[]): Promise<DeviceRow[]> {
  if (ids.length === 0) return [];
  return selectDevices(db)
    .where('devices.project_id', '=', projectId)
    .where('devices.id', 'in', among(db, ids))
    .orderBy('devices.id')
    .execute();
}

export type DeviceFilter = {
  /** The group itself and all below it. */
  groupId?: number | undefined;
  /** Id or name. */
  type?: string | undefined;
  tag?: string | undefined;
  /** A part of the name. */
  text?: string | undefined;
  ids?: readonly number[] | undefined;
  notIds?: readonly number[] | undefined;
};

export async function listDevices(
  db: Db,
  projectId: number,
  filter: DeviceFilter,
  page: PageQuery,
): Promise<Page<DeviceRow>> {
  let query = selectDevices(db).where('devices.project_id', '=', projectId);
  if (filter.groupId !== undefined) query = query.where('groups.path', 'like', `%/${filter.groupId}/%`);
  if (filter.type !== undefined) {
    const { type } = filter;
    query = query.where((eb) =>
      eb.or([eb('device_types.id', '=', type), eb('device_types.name', '=', type)]),
    );
  }
  if (filter.text !== undefined)
    query = query.where(sql<number>`instr(devices.name, ${filter.text})`, '>', 0);
  if (filter.ids !== undefined) query = query.where('devices.id', 'in', among(db, filter.ids));
  if (filter.notIds !== undefined) query = query.where('devices.id', 'not in', among(db, filter.notIds));
  if (filter.tag !== undefined) {
    const tagged = db
      .selectFrom('device_tags')
      .select('device_id')
      .where('project_id', '=', projectId)
      .where('tag', '=', filter.tag);
    query = query.where('devices.id', 'in', tagged);
  }
  if (page.cursor) query = query.where('devices.id', '>', Number(page.cursor));
  const rows = await query
    .orderBy('devices.id')
    .limit(page.limit + 1)
    .execute();
  return pageOf(rows, page.limit, (row) => row.id);
}

export async function tagsOfDevices(db: Db, ids: readonly number[]): Promise<Map<number, string[]>> {
  const tags = new Map<number, string[]>(ids.map((id) => [id, []]));
  if (ids.length === 0) return tags;
  const rows = await db
    .selectFrom('device_tags')
    .select(['device_id', 'tag'])
    .where('device_id', 'in', among(db, ids))
    .orderBy('tag')
    .execute();
  for (const row of rows) tags.get(row.device_id)?.push(row.tag);
  return tags;
}

export async function countDevices(
  db: Db,
  projectId: number,
  filter: { groupId?: number; typeId?: string },
): Promise<number> {
  let query = db.selectFrom('devices').where('project_id', '=', projectId);
  if (filter.groupId !== undefined) query = query.where('group_id', '=', filter.groupId);
  if (filter.typeId !== undefined) query = query.where('type_id', '=', filter.typeId);
  const row = await query.select((eb) => eb.fn.countAll<number>().as('count')).executeTakeFirstOrThrow();
  return Number(row.count);
}

export async function findDeviceNames(
  db: Db,
  projectId: number,
  names: readonly string[],
): Promise<string[]> {
  const rows = await db
    .selectFrom('devices')
    .select('name')
    .where('project_id', '=', projectId)
    .where('name', 'in', among(db, names))
    .execute();
  return rows.map((row) => row.name);
}

export async function updateDevice(db: Db, id: number, change: Partial<Row<'devices'>>): Promise<void> {
  if (Object.keys(change).length === 0) return;
  await db.updateTable('devices').set(change).where('id', '=', id).execute();
}

export async function deleteDevice(db: Db, id: number): Promise<void> {
  await db.deleteFrom('device_tags').where('device_id', '=', id).execute();
  await db.deleteFrom('devices').where('id', '=', id).execute();
}
