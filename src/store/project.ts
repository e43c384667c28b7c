/** The table `projects`: the tenants. */
import { oldestFirst, type Page, type PageQuery } from './page.ts';
import type { Db, Row } from './schema.ts';

export type Project = { id: number; name: string; createdAt: number };

function fromRow(row: Row<'projects'>): Project {
  return { id: row.id, name: row.name, createdAt: row.created_at };
}

export async function insertProject(db: Db, project: Project): Promise<void> {
  await db
    .insertInto('projects')
    .values({ id: project.id, name: project.name, created_at: project.createdAt })
    .execute();
}

export async function selectProject(db: Db, id: number): Promise<Project | undefined> {
  const row = await db.selectFrom('projects').selectAll().where('id', '=', id).executeTakeFirst();
  return row && fromRow(row);
}

export async function selectProjects(db: Db, page: PageQuery): Promise<Page<Project>> {
  return oldestFirst(db.selectFrom('projects').selectAll(), page, fromRow, { isNumber: true });
}

export async function selectProjectIds(db: Db): Promise<number[]> {
  const rows = await db.selectFrom('projects').select('id').orderBy('id').execute();
  return rows.map((row) => row.id);
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

export async function updateProject(db: Db, id: number, change: { name: string }): Promise<void> {
  await db.updateTable('projects').set({ name: change.name }).where('id', '=', id).execute();
}

export async function deleteProject(db: Db, id: number): Promise<void> {
  await db.deleteFrom('projects').where('id', '=', id).execute();
}
