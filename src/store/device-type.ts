/** The table `device_types`: classes of devices, each with the types of messages that its devices may send. */
import { type Change, defined, fromJson, isEmpty, toJson } from './columns.ts';
import { among } from './dialect.ts';
import { oldestFirst, type Page, type PageQuery } from './page.ts';
import type { Db, Row } from './schema.ts';

export type MessageType = {
  id: string;
  /** A JSON Schema. */
  schema: Record<string, unknown> | boolean;
};

export type DeviceType = {
  id: string;
  projectId: number;
  name: string;
  messageTypes: MessageType[];
  createdAt: number;
};

function fromRow(row: Row<'device_types'>): DeviceType {
  return {
    id: row.id,
    projectId: row.project_id,
    name: row.name,
    messageTypes: fromJson(row.message_types_json),
    createdAt: row.created_at,
  };
}

function toRow(type: DeviceType): Row<'device_types'>;
function toRow(type: Change<DeviceType>): Change<Row<'device_types'>>;
function toRow(type: Change<DeviceType>): Change<Row<'device_types'>> {
  return {
    id: type.id,
    project_id: type.projectId,
    name: type.name,
    message_types_json: toJson(type.messageTypes),
    created_at: type.createdAt,
  };
}

export async function insertDeviceType(db: Db, type: DeviceType): Promise<void> {
  await db.insertInto('device_types').values(toRow(type)).execute();
}

export async function selectDeviceType(
  db: Db,
  projectId: number,
  id: string,
): Promise<DeviceType | undefined> {
  const row = await selectTypesOf(db, projectId).where('id', '=', id).executeTakeFirst();
  return row && fromRow(row);
}

/** Finds by id or by name: people write either. */
export async function selectDeviceTypesNamed(
  db: Db,
  projectId: number,
  names: readonly string[],
): Promise<DeviceType[]> {
  if (names.length === 0) return [];
  const rows = await selectTypesOf(db, projectId)
    .where((eb) => eb.or([eb('id', 'in', among(db, names)), eb('name', 'in', among(db, names))]))
    .execute();
  return rows.map(fromRow);
}

export async function selectDeviceTypes(
  db: Db,
  projectId: number,
  page: PageQuery,
): Promise<Page<DeviceType>> {
  return oldestFirst(selectTypesOf(db, projectId), page, fromRow);
}

/** Every type of the project. */
export async function selectAllDeviceTypes(db: Db, projectId: number): Promise<DeviceType[]> {
  const rows = await selectTypesOf(db, projectId).orderBy('id').execute();
  return rows.map(fromRow);
}

function selectTypesOf(db: Db, projectId: number) {
  return db.selectFrom('device_types').selectAll().where('project_id', '=', projectId);
}

export async function updateDeviceType(
  db: Db,
  projectId: number,
  id: string,
  change: Change<DeviceType>,
): Promise<void> {
  if (isEmpty(change)) return;
  await db
    .updateTable('device_types')
    .set(defined<Row<'device_types'>>(toRow(change)))
    .where('project_id', '=', projectId)
    .where('id', '=', id)
    .execute();
}

export async function deleteDeviceType(db: Db, projectId: number, id: string): Promise<void> {
  await db.deleteFrom('device_types').where('project_id', '=', projectId).where('id', '=', id).execute();
}

export async function deleteProjectDeviceTypes(db: Db, projectId: number): Promise<void> {
  await db.deleteFrom('device_types').where('project_id', '=', projectId).execute();
}
