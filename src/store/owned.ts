import { type Page, type PageQuery, pageOf } from './page.ts';
import type { Db, Row } from './schema.ts';

/** Tables whose rows belong to a project and have a text id: these two queries are the same for all of them. */
type OwnedTable = 'device_types';

export async function findOwned<T extends OwnedTable>(
  db: Db,
  table: T,
  projectId: number,
  id: string,
): Promise<Row<T> | undefined> {
  const row = await selectOwned(db, table, projectId).where('id', '=', id).executeTakeFirst();
  return row as Row<T> | undefined;
}

/** A page in the order of ids, which is the order in which the rows were made. */
export async function listOwned<T extends OwnedTable>(
  db: Db,
  table: T,
  projectId: number,
  page: PageQuery,
): Promise<Page<Row<T>>> {
  let query = selectOwned(db, table, projectId);
  if (page.cursor) query = query.where('id', '>', page.cursor);
  const rows = await query
    .orderBy('id')
    .limit(page.limit + 1)
    .execute();
  return pageOf(rows, page.limit, (row) => row.id) as unknown as Page<Row<T>>;
}

function selectOwned(db: Db, table: OwnedTable, projectId: number) {
  // What is asked of the row is in each of the tables; the type of one stands for all.
  return db
    .selectFrom(table as 'device_types')
    .selectAll()
    .where('project_id', '=', projectId);
}
