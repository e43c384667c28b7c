import { type Page, type PageQuery, pageOf } from './page.ts';
import type { Db, NewRow, Row } from './schema.ts';

export async function insertProject(db: Db, row: NewRow<'projects'>): Promise<void> {
  await db.insertInto('projects').values(row).execute();
}

export async function findProject(db: Db, id: number): Promise<Row<'projects'> | undefined> {
  return db.selectFrom('projects').selectAll().where('id', '=', id).executeTakeFirst();
}

export async function listProjects(db: Db, page: PageQuery): Promise<Page<Row<'projects'>>> {
  let query = db.selectFrom('projects').selectAll();
  if (page.cursor) query = query.where('id', '>', Number(page.cursor));
  const rows = await query
    .orderBy('id')
    .limit(page.limit + 1)
    .execute();
  return pageOf(rows, page.limit, (row) => row.id);
}

/**
 * Lets one change of the project's inventory at a time pass, until the transaction ends: what a change relies on
 * (a group, a type, the project itself) is then not deleted or moved meanwhile. False when the project is gone.
 */
export async function holdProject(tx: Db, id: number): Promise<boolean> {
  // An update that changes nothing is the one row lock that both databases know.
  const result = await tx
    .updateTable('projects')
    .set((eb) => ({ name: eb.ref('name') }))
    .where('id', '=', id)
    .executeTakeFirst();
  return result.numUpdatedRows > 0n;
}

export async function renameProject(db: Db, id: number, name: string): Promise<void> {
  await db.updateTable('projects').set({ name }).where('id', '=', id).execute();
}

export async function deleteProject(db: Db, id: number): Promise<void> {
  await db.deleteFrom('projects').where('id', '=', id).execute();
}
