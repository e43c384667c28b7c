import { type Page, type PageQuery, pageOf } from './page.ts';
import type { Db, NewRow, Row } from './schema.ts';

export async function insertKey(db: Db, row: NewRow<'keys'>): Promise<void> {
  await db.insertInto('keys').values(row).execute();
}

export async function findKey(db: Db, projectId: number, id: string): Promise<Row<'keys'> | undefined> {
  return db
    .selectFrom('keys')
    .selectAll()
    .where('project_id', '=', projectId)
    .where('id', '=', id)
    .executeTakeFirst();
}

export async function findKeyByHash(db: Db, hash: string): Promise<Row<'keys'> | undefined> {
  return db.selectFrom('keys').selectAll().where('hash', '=', hash).executeTakeFirst();
}

export async function listKeys(db: Db, projectId: number, page: PageQuery): Promise<Page<Row<'keys'>>> {
  let query = db.selectFrom('keys').selectAll().where('project_id', '=', projectId);
  if (page.cursor) query = query.where('id', '>', page.cursor);
  const rows = await query
    .orderBy('id')
    .limit(page.limit + 1)
    .execute();
  return pageOf(rows, page.limit, (row) => row.id);
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
