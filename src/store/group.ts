import { among } from './dialect.ts';
import { type Page, type PageQuery, pageOf } from './page.ts';
import type { Db, NewRow, Row } from './schema.ts';

/** `path` holds the ids from the root to the group itself, `/1/4/9/`; `parent_id` 0 means a root. */
export async function insertGroup(db: Db, row: NewRow<'groups'>): Promise<void> {
  await db.insertInto('groups').values(row).execute();
}

export async function findGroup(db: Db, projectId: number, id: number): Promise<Row<'groups'> | undefined> {
  return db
    .selectFrom('groups')
    .selectAll()
    .where('project_id', '=', projectId)
    .where('id', '=', id)
    .executeTakeFirst();
}

export async function findGroups(
  db: Db,
  projectId: number,
  ids: readonly number[],
): Promise<Row<'groups'>[]> {
  if (ids.length === 0) return [];
  return db
    .selectFrom('groups')
    .selectAll()
    .where('project_id', '=', projectId)
    .where('id', 'in', among(db, ids))
    .execute();
}

export async function findGroupsByName(
  db: Db,
  projectId: number,
  names: readonly string[],
): Promise<Row<'groups'>[]> {
  if (names.length === 0) return [];
  return db
    .selectFrom('groups')
    .selectAll()
    .where('project_id', '=', projectId)
    .where('name', 'in', among(db, names))
    .execute();
}

export async function listGroups(
  db: Db,
  projectId: number,
  filter: { parent_id?: number | undefined; name?: string | undefined },
  page: PageQuery,
): Promise<Page<Row<'groups'>>> {
  let query = db.selectFrom('groups').selectAll().where('project_id', '=', projectId);
  if (filter.parent_id !== undefined) query = query.where('parent_id', '=', filter.parent_id);
  if (filter.name !== undefined) query = query.where('name', '=', filter.name);
  if (page.cursor) query = query.where('id', '>', Number(page.cursor));
  const rows = await query
    .orderBy('id')
    .limit(page.limit + 1)
    .execute();
  return pageOf(rows, page.limit, (row) => row.id);
}

/** The group itself and all below it, nearest first. */
export async function listSubtree(db: Db, projectId: number, path: string): Promise<Row<'groups'>[]> {
  return db
    .selectFrom('groups')
    .selectAll()
    .where('project_id', '=', projectId)
    .where('path', 'like', `${path}%`)
    .orderBy('path')
    .execute();
}

/** Every group of the project, with the ids from the root to itself. */
export async function selectGroupPaths(
  db: Db,
  projectId: number,
): Promise<{ id: number; path: readonly number[] }[]> {
  const rows = await db
    .selectFrom('groups')
    .select(['id', 'path'])
    .where('project_id', '=', projectId)
    .execute();
  return rows.map((row) => ({ id: row.id, path: idsOnPath(row.path) }));
}

/** The ids on a path, from the root to the group itself. */
function idsOnPath(path: string): number[] {
  return path.split('/').filter(Boolean).map(Number);
}

export async function hasChildGroups(db: Db, id: number): Promise<boolean> {
  const row = await db
    .selectFrom('groups')
    .select('id')
    .where('parent_id', '=', id)
    .limit(1)
    .executeTakeFirst();
  return row !== undefined;
}

export async function updateGroup(
  db: Db,
  id: number,
  change: { name?: string; parent_id?: number; path?: string },
): Promise<void> {
  await db.updateTable('groups').set(change).where('id', '=', id).execute();
}

export async function deleteGroup(db: Db, id: number): Promise<void> {
  await db.deleteFrom('groups').where('id', '=', id).execute();
}

export async function deleteProjectGroups(db: Db, projectId: number): Promise<void> {
  await db.deleteFrom('groups').where('project_id', '=', projectId).execute();
}
