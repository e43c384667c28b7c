import type { Db, NewRow, Row } from './schema.ts';

export async function insertFirings(db: Db, rows: readonly NewRow<'firings'>[]): Promise<void> {
  if (rows.length > 0)
    await db
      .insertInto('firings')
      .values([...rows])
      .execute();
}

/** The oldest that wait. */
export async function listFirings(db: Db, limit: number): Promise<Row<'firings'>[]> {
  return db.selectFrom('firings').selectAll().orderBy('id').limit(limit).execute();
}

export async function deleteFiring(db: Db, id: string): Promise<void> {
  await db.deleteFrom('firings').where('id', '=', id).execute();
}
