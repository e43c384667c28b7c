import { among } from './dialect.ts';
import type { Db, NewRow, Row } from './schema.ts';

export async function insertDeviceType(db: Db, row: NewRow<'device_types'>): Promise<void> {
  await db.insertInto('device_types').values(row).execute();
}

/** Finds by id or by name: people write either. */
export async function findDeviceTypesNamed(
  db: Db,
  projectId: number,
  names: readonly string[],
): Promise<Row<'device_types'>[]> {
  if (names.length === 0) return [];
  return db
    .selectFrom('device_types')
    .selectAll()
    .where('project_id', '=', projectId)
    .where((eb) => eb.or([eb('id', 'in', among(db, names)), eb('name', 'in', among(db, names))]))
    .execute();
}

/** Every type of the project. */
export async function listDeviceTypesOf(db: Db, projectId: number): Promise<Row<'device_types'>[]> {
  return db
    .selectFrom('device_types')
    .selectAll()
    .where('project_id', '=', projectId)
    .orderBy('id')
    .execute();
}

export async function updateDeviceType(
  db: Db,
  projectId: number,
  id: string,
  change: { name?: string; message_types_json?: string },
): Promise<void> {
  await db
    .updateTable('device_types')
    .set(change)
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
