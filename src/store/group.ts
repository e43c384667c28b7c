/** The table `groups`: the tree of places. A path holds the ids from the root to the group itself, as `/1/4/9/`. */
import { type Change, defined, isEmpty } from './columns.ts';
import { among } from './dialect.ts';
import { oldestFirst, type Page, type PageQuery } from './page.ts';
import type { Db, Row } from './schema.ts';

export type Group = {
  id: number;
  projectId: number;
  /** Null for a root. */
  parentId: number | null;
  name: string;
  /** The ids from the root to the group itself. */
  path: readonly number[];
  createdAt: number;
};

/** Stands in `parent_id` of a root: null would let two roots have one name. */
const noParent = 0;

function fromRow(row: Row<'groups'>): Group {
  return {
    id: row.id,
    projectId: row.project_id,
    parentId: row.parent_id === noParent ? null : row.parent_id,
    name: row.name,
    path: fromPath(row.path),
    createdAt: row.created_at,
  };
}

function toRow(group: Group): Row<'groups'>;
function toRow(group: Change<Group>): Change<Row<'groups'>>;
function toRow(group: Change<Group>): Change<Row<'groups'>> {
  return {
    id: group.id,
    project_id: group.projectId,
    parent_id: group.parentId === null ? noParent : group.parentId,
    name: group.name,
    path: group.path && toPath(group.path),
    created_at: group.createdAt,
  };
}

/** The ids on a path; none for a device that is in no group. */
export function fromPath(path: string | null): number[] {
  return path === null ? [] : path.split('/').filter(Boolean).map(Number);
}

function toPath(ids: readonly number[]): string {
  return `/${ids.map((id) => `${id}/`).join('')}`;
}

export async function insertGroup(db: Db, group: Group): Promise<void> {
  await db.insertInto('groups').values(toRow(group)).execute();
}

export async function selectGroup(db: Db, projectId: number, id: number): Promise<Group | undefined> {
  const row = await selectGroupsOf(db, projectId).where('id', '=', id).executeTakeFirst();
  return row && fromRow(row);
}

/** Which of the groups are there. */
export async function selectGroupIds(
  db: Db,
  projectId: number,
  ids: readonly number[],
): Promise<Set<number>> {
  if (ids.length === 0) return new Set();
  const rows = await db
    .selectFrom('groups')
    .select('id')
    .where('project_id', '=', projectId)
    .where('id', 'in', among(db, ids))
    .execute();
  return new Set(rows.map((row) => row.id));
}

export async function selectGroupsByName(
  db: Db,
  projectId: number,
  names: readonly string[],
): Promise<Group[]> {
  if (names.length === 0) return [];
  const rows = await selectGroupsOf(db, projectId).where('name', 'in', among(db, names)).execute();
  return rows.map(fromRow);
}

/** A `parentId` of null finds the roots. */
export async function selectGroups(
  db: Db,
  projectId: number,
  filter: { parentId?: number | null | undefined; name?: string | undefined },
  page: PageQuery,
): Promise<Page<Group>> {
  let query = selectGroupsOf(db, projectId);
  if (filter.parentId !== undefined) query = query.where('parent_id', '=', filter.parentId ?? noParent);
  if (filter.name !== undefined) query = query.where('name', '=', filter.name);
  return oldestFirst(query, page, fromRow, { isNumber: true });
}

/** The group that the path leads to and all below it, nearest first. */
export async function selectSubtree(db: Db, projectId: number, path: readonly number[]): Promise<Group[]> {
  const rows = await selectGroupsOf(db, projectId)
    .where('path', 'like', `${toPath(path)}%`)
    .orderBy('path')
    .execute();
  return rows.map(fromRow);
}

function selectGroupsOf(db: Db, projectId: number) {
  return db.selectFrom('groups').selectAll().where('project_id', '=', projectId);
}

/** Every group of the project. */
export async function selectGroupPaths(db: Db, projectId: number): Promise<Pick<Group, 'id' | 'path'>[]> {
  const rows = await db
    .selectFrom('groups')
    .select(['id', 'path'])
    .where('project_id', '=', projectId)
    .execute();
  return rows.map((row) => ({ id: row.id, path: fromPath(row.path) }));
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

export async function updateGroup(db: Db, id: number, change: Change<Group>): Promise<void> {
  if (isEmpty(change)) return;
  await db
    .updateTable('groups')
    .set(defined<Row<'groups'>>(toRow(change)))
    .where('id', '=', id)
    .execute();
}

export async function deleteGroup(db: Db, id: number): Promise<void> {
  await db.deleteFrom('groups').where('id', '=', id).execute();
}

export async function deleteProjectGroups(db: Db, projectId: number): Promise<void> {
  await db.deleteFrom('groups').where('project_id', '=', projectId).execute();
}
