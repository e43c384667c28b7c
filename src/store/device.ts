/** The tables `devices` and `device_tags`. A device is read with its tags, and with where it is and what it is. */
import { sql } from 'kysely';
import { type Change, defined, fromJson, isEmpty, toJson } from './columns.ts';
import { among, chunksOf } from './dialect.ts';
import { fromPath } from './group.ts';
import { oldestFirst, type Page, type PageQuery } from './page.ts';
import type { Db, NewRow, Row } from './schema.ts';

/** What is stored of a device. */
export type StoredDevice = {
  id: number;
  projectId: number;
  groupId: number | null;
  typeId: string | null;
  name: string;
  metadata: Record<string, unknown>;
  tokenHash: string;
  createdAt: number;
  connectedAt: number | null;
  lastSeenAt: number | null;
  /** The last one it was connected from. */
  address: string | null;
  /** The node at which it is online, or was when that died. */
  onlineNode: string | null;
  /** The door it came in by there. */
  onlineDoor: string | null;
};

export type Device = StoredDevice & {
  /** The ids from the root to its group; empty for a device that is in none. */
  groupPath: readonly number[];
  typeName: string | null;
  tags: readonly string[];
};

function toRow(device: StoredDevice): Row<'devices'>;
function toRow(device: Change<StoredDevice>): Change<Row<'devices'>>;
function toRow(device: Change<StoredDevice>): Change<Row<'devices'>> {
  return {
    id: device.id,
    project_id: device.projectId,
    group_id: device.groupId,
    type_id: device.typeId,
    name: device.name,
    metadata_json: toJson(device.metadata),
    token_hash: device.tokenHash,
    created_at: device.createdAt,
    connected_at: device.connectedAt,
    last_seen_at: device.lastSeenAt,
    address: device.address,
    online_node: device.onlineNode,
    online_door: device.onlineDoor,
  };
}

type JoinedRow = Row<'devices'> & { group_path: string | null; type_name: string | null };

function fromRow(row: JoinedRow): Omit<Device, 'tags'> {
  return {
    id: row.id,
    projectId: row.project_id,
    groupId: row.group_id,
    groupPath: fromPath(row.group_path),
    typeId: row.type_id,
    typeName: row.type_name,
    name: row.name,
    metadata: fromJson(row.metadata_json),
    tokenHash: row.token_hash,
    createdAt: row.created_at,
    connectedAt: row.connected_at,
    lastSeenAt: row.last_seen_at,
    address: row.address,
    onlineNode: row.online_node,
    onlineDoor: row.online_door,
  };
}

export type NewDevice = StoredDevice & Pick<Device, 'tags'>;

export async function insertDevices(db: Db, devices: readonly NewDevice[]): Promise<void> {
  for (const chunk of chunksOf(
    db,
    devices.map((device): Row<'devices'> => toRow(device)),
  ))
    await db.insertInto('devices').values(chunk).execute();
  await insertTags(db, devices.flatMap(tagRows));
}

function tagRows({ id, projectId, tags }: Pick<Device, 'id' | 'projectId' | 'tags'>) {
  return tags.map((tag): NewRow<'device_tags'> => ({ project_id: projectId, tag, device_id: id }));
}

async function insertTags(db: Db, rows: NewRow<'device_tags'>[]): Promise<void> {
  for (const chunk of chunksOf(db, rows)) await db.insertInto('device_tags').values(chunk).execute();
}

/** The device has these tags from now on, and no others. */
export async function replaceTags(db: Db, device: Pick<Device, 'id' | 'projectId' | 'tags'>): Promise<void> {
  await db.deleteFrom('device_tags').where('device_id', '=', device.id).execute();
  await insertTags(db, tagRows(device));
}

function selectJoined(db: Db) {
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

export async function selectDevice(db: Db, projectId: number, id: number): Promise<Device | undefined> {
  const row = await selectJoined(db)
    .where('devices.project_id', '=', projectId)
    .where('devices.id', '=', id)
    .executeTakeFirst();
  return row && firstWithTags(db, row);
}

export async function selectDeviceByTokenHash(db: Db, hash: string): Promise<Device | undefined> {
  const row = await selectJoined(db).where('devices.token_hash', '=', hash).executeTakeFirst();
  return row && firstWithTags(db, row);
}

/** Those of the ids that are there, in the order of their ids. */
export async function selectDevicesById(
  db: Db,
  projectId: number,
  ids: readonly number[],
): Promise<Device[]> {
  if (ids.length === 0) return [];
  const rows = await selectJoined(db)
    .where('devices.project_id', '=', projectId)
    .where('devices.id', 'in', among(db, ids))
    .orderBy('devices.id')
    .execute();
  return withTags(db, rows.map(fromRow));
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

export async function selectDevices(
  db: Db,
  projectId: number,
  filter: DeviceFilter,
  page: PageQuery,
): Promise<Page<Device>> {
  let query = selectJoined(db).where('devices.project_id', '=', projectId);
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
  const found = await oldestFirst(query, page, fromRow, { column: 'devices.id', isNumber: true });
  return { ...found, items: await withTags(db, found.items) };
}

async function firstWithTags(db: Db, row: JoinedRow): Promise<Device | undefined> {
  return (await withTags(db, [fromRow(row)]))[0];
}

async function withTags(db: Db, devices: readonly Omit<Device, 'tags'>[]): Promise<Device[]> {
  if (devices.length === 0) return [];
  const ids = devices.map((device) => device.id);
  const rows = await db
    .selectFrom('device_tags')
    .select(['device_id', 'tag'])
    .where('device_id', 'in', among(db, ids))
    .orderBy('tag')
    .execute();
  const tags = Map.groupBy(rows, (row) => row.device_id);
  return devices.map((device) => ({
    ...device,
    tags: (tags.get(device.id) ?? []).map((row) => row.tag),
  }));
}

/** The names of those of the ids that are there. */
export async function selectDeviceNames(
  db: Db,
  projectId: number,
  ids: readonly number[],
): Promise<Map<number, string>> {
  if (ids.length === 0) return new Map();
  const rows = await db
    .selectFrom('devices')
    .select(['id', 'name'])
    .where('project_id', '=', projectId)
    .where('id', 'in', among(db, ids))
    .execute();
  return new Map(rows.map((row) => [row.id, row.name]));
}

/** Those of the names that a device has. */
export async function selectTakenNames(
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

export async function updateDevice(db: Db, id: number, change: Change<StoredDevice>): Promise<void> {
  if (isEmpty(change)) return;
  await db
    .updateTable('devices')
    .set(defined<Row<'devices'>>(toRow(change)))
    .where('id', '=', id)
    .execute();
}

/** The device is no longer online at that node; false when it was not, or is at another one by now. */
export async function updateDeviceOffline(db: Db, id: number, nodeId: string): Promise<boolean> {
  const gone = await db
    .updateTable('devices')
    .set({ online_node: null, online_door: null })
    .where('id', '=', id)
    .where('online_node', '=', nodeId)
    .executeTakeFirst();
  return gone.numUpdatedRows > 0n;
}

export async function deleteDevice(db: Db, id: number): Promise<void> {
  await db.deleteFrom('device_tags').where('device_id', '=', id).execute();
  await db.deleteFrom('devices').where('id', '=', id).execute();
}
