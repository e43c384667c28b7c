import type { Db, NewRow, Row } from './schema.ts';

export async function insertFirings(db: Db, rows: readonly NewRow<'firings'>[]): Promise<void> {
  if (rows.length > 0)
    await db
      .insertInto('firings')
      .values([...rows])
      .execute();
}

/** Those that wait, oldest first, from the one after `after`. */
export async function listFirings(db: Db, after: string, limit: number): Promise<Row<'firings'>[]> {
  return db.selectFrom('firings').selectAll().where('id', '>', after).orderBy('id').limit(limit).execute();
}

export async function deleteFiring(db: Db, id: string): Promise<void> {
  await db.deleteFrom('firings').where('id', '=', id).execute();
}
