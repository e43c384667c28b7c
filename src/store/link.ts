import type { Db, NewRow, Row } from './schema.ts';

export async function insertLink(db: Db, row: NewRow<'links'>): Promise<void> {
  await db.insertInto('links').values(row).execute();
}

export async function findLinkByHash(db: Db, hash: string): Promise<Row<'links'> | undefined> {
  return db.selectFrom('links').selectAll().where('token_hash', '=', hash).executeTakeFirst();
}

/** Counts one use; false when the link is gone, has ended or is used up, and then nothing has changed. */
export async function takeLinkUse(db: Db, id: string, now: number): Promise<boolean> {
  const result = await db
    .updateTable('links')
    .set((eb) => ({ uses: eb('uses', '+', 1) }))
    .where('id', '=', id)
    .where((eb) => eb.or([eb('expires_at', 'is', null), eb('expires_at', '>', now)]))
    .where((eb) => eb.or([eb('max_uses', 'is', null), eb('uses', '<', eb.ref('max_uses'))]))
    .executeTakeFirst();
  return result.numUpdatedRows > 0n;
}

export async function deleteLink(db: Db, id: string): Promise<void> {
  await db.deleteFrom('links').where('id', '=', id).execute();
}

export async function deleteActionLinks(db: Db, projectId: number, eventId: string): Promise<void> {
  await db.deleteFrom('links').where('project_id', '=', projectId).where('event_id', '=', eventId).execute();
}

export async function deleteProjectLinks(db: Db, projectId: number): Promise<void> {
  await db.deleteFrom('links').where('project_id', '=', projectId).execute();
}
