import type { Db, NewRow, Row } from './schema.ts';

export async function insertKey(db: Db, row: NewRow<'keys'>): Promise<void> {
  await db.insertInto('keys').values(row).execute();
}

export async function findKeyByHash(db: Db, hash: string): Promise<Row<'keys'> | undefined> {
  return db.selectFrom('keys').selectAll().where('hash', '=', hash).executeTakeFirst();
}

export async function updateKey(db: Db, id: string, change: Partial<Row<'keys'>>): Promise<void> {
  await db.updateTable('keys').set(change).where('id', '=', id).execute();
}

export async function deleteKey(db: Db, projectId: number, id: string): Promise<void> {
  await db.deleteFrom('keys').where('project_id', '=', projectId).where('id', '=', id).execute();
}

export async function deleteProjectKeys(db: Db, projectId: number): Promise<void> {
  await db.deleteFrom('keys').where('project_id', '=', projectId).execute();
}

/** Is there any key at all whose scopes hold `scope`? */
export async function hasKeyWithScope(db: Db, scope: string): Promise<boolean> {
  const row = await db
    .selectFrom('keys')
    .select('id')
    .where('scopes_json', 'like', `%"${scope}"%`)
    .limit(1)
    .executeTakeFirst();
  return row !== undefined;
}
