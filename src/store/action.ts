import type { Db, NewRow, Row } from './schema.ts';

export async function insertAction(db: Db, row: NewRow<'actions'>): Promise<void> {
  await db.insertInto('actions').values(row).execute();
}

export async function findAction(
  db: Db,
  projectId: number,
  eventId: string,
): Promise<Row<'actions'> | undefined> {
  return db
    .selectFrom('actions')
    .selectAll()
    .where('project_id', '=', projectId)
    .where('event_id', '=', eventId)
    .executeTakeFirst();
}

export async function updateAction(db: Db, id: string, change: Partial<Row<'actions'>>): Promise<void> {
  await db.updateTable('actions').set(change).where('id', '=', id).execute();
}

export async function deleteAction(db: Db, id: string): Promise<void> {
  await db.deleteFrom('actions').where('id', '=', id).execute();
}

export async function deleteProjectActions(db: Db, projectId: number): Promise<void> {
  await db.deleteFrom('actions').where('project_id', '=', projectId).execute();
}
