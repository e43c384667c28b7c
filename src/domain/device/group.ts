/** Groups are places or sets of devices. They form a tree; a command for a group is for all that is below it. */

import { z } from 'zod';
import { countDevices } from '../../store/device.ts';
import {
  deleteGroup as deleteGroupRow,
  findGroup,
  findGroups,
  hasChildGroups,
  insertGroup,
  listGroups as listGroupRows,
  listSubtree,
  updateGroup,
} from '../../store/group.ts';
import { pageQuery } from '../../store/page.ts';
import type { Db, Row } from '../../store/schema.ts';
import { takeNumbers } from '../../store/sequence.ts';
import { holdInventory, makeChange } from '../access/audit.ts';
import type { Caller } from '../access/caller.ts';
import type { Context } from '../context.ts';
import { Fault } from '../fault.ts';
import { idSchema, instant, nameSchema, numberedPageSchema, parseInput } from '../input.ts';
import { refreshConnected } from './connection.ts';
import { idsOnPath } from './target.ts';

/** As deep as a path of ids fits its column. */
const depthMax = 16;
const root = { path: '/', parent_id: 0 };

const groupSchema = z.strictObject({ name: nameSchema, parent_id: idSchema.nullish() });
const filterSchema = numberedPageSchema.extend({
  parent_id: z.coerce.number().pipe(z.int().nonnegative()).optional(),
  name: z.string().optional(),
});

function viewGroup(row: Row<'groups'>) {
  return {
    id: row.id,
    name: row.name,
    parent_id: row.parent_id === 0 ? null : row.parent_id,
    path: idsOnPath(row.path),
    created_at: instant(row.created_at),
  };
}

export async function createGroup(ctx: Context, caller: Caller, input: unknown) {
  const given = parseInput(groupSchema, input);
  return makeChange(ctx, caller, async (tx, note) => {
    await holdInventory(tx, caller);
    const parentPath = await requireParentPath(tx, caller, given.parent_id ?? null);
    const id = await takeNumbers(tx, 'group', 1);
    const row: Row<'groups'> = {
      id,
      project_id: caller.projectId,
      parent_id: given.parent_id ?? root.parent_id,
      name: given.name,
      path: pathBelow(parentPath, id),
      created_at: ctx.now(),
    };
    await insertGroup(tx, row);
    await note('group.create', { kind: 'group', id }, { name: row.name, parent_id: given.parent_id ?? null });
    return viewGroup(row);
  });
}

export async function listGroups(ctx: Context, caller: Caller, input: unknown) {
  const filter = parseInput(filterSchema, input);
  const page = await listGroupRows(ctx.db, caller.projectId, filter, pageQuery(filter));
  return { ...page, items: page.items.map(viewGroup) };
}

export async function getGroup(ctx: Context, caller: Caller, id: number) {
  return viewGroup(await requireGroup(ctx.db, caller, id));
}

/** Renames a group or moves it with all below it; devices that are connected get the state of their new place. */
export async function changeGroup(ctx: Context, caller: Caller, id: number, input: unknown) {
  const given = parseInput(groupSchema.partial(), input);
  const moved = await makeChange(ctx, caller, async (tx, note) => {
    await holdInventory(tx, caller);
    const row = await requireGroup(tx, caller, id);
    const parentId = given.parent_id === undefined ? row.parent_id : (given.parent_id ?? root.parent_id);
    const moves = parentId !== row.parent_id;
    if (moves) await moveSubtree(tx, caller, row, given.parent_id ?? null);
    await updateGroup(tx, id, { name: given.name ?? row.name, parent_id: parentId });
    await note('group.change', { kind: 'group', id }, given);
    return moves;
  });
  if (moved)
    await refreshConnected(
      ctx,
      caller.projectId,
      ctx.live.presence.match(caller.projectId, { groups: [id] }),
    );
  return getGroup(ctx, caller, id);
}

/** Writes the paths below the group's new parent. */
async function moveSubtree(
  tx: Db,
  caller: Caller,
  row: Row<'groups'>,
  parentId: number | null,
): Promise<void> {
  const parentPath = await requireParentPath(tx, caller, parentId);
  if (parentPath.startsWith(row.path)) throw new Fault('conflict', 'a group cannot be put below itself');
  const newPath = pathBelow(parentPath, row.id);
  for (const member of await listSubtree(tx, caller.projectId, row.path)) {
    const path = newPath + member.path.slice(row.path.length);
    requireDepth(path);
    await updateGroup(tx, member.id, { path });
  }
}

export async function deleteGroup(ctx: Context, caller: Caller, id: number): Promise<void> {
  await makeChange(ctx, caller, async (tx, note) => {
    const row = await requireGroup(tx, caller, id);
    await holdInventory(tx, caller);
    if (await hasChildGroups(tx, id)) throw new Fault('in_use', 'the group still has groups below it');
    if ((await countDevices(tx, caller.projectId, { groupId: id })) > 0) {
      throw new Fault('in_use', 'the group still has devices');
    }
    await deleteGroupRow(tx, id);
    await note('group.delete', { kind: 'group', id }, { name: row.name });
  });
}

async function requireGroup(db: Db, caller: Caller, id: number): Promise<Row<'groups'>> {
  const row = await findGroup(db, caller.projectId, id);
  if (!row) throw new Fault('not_found', 'there is no such group');
  return row;
}

async function requireParentPath(db: Db, caller: Caller, parentId: number | null): Promise<string> {
  if (parentId === null) return root.path;
  const parent = await findGroup(db, caller.projectId, parentId);
  if (!parent) throw new Fault('unknown_target', `there is no group ${parentId}`);
  return parent.path;
}

function pathBelow(parentPath: string, id: number): string {
  const path = `${parentPath}${id}/`;
  requireDepth(path);
  return path;
}

function requireDepth(path: string): void {
  if (idsOnPath(path).length > depthMax) {
    throw new Fault('conflict', `groups can be ${depthMax} deep at most`);
  }
}

/** Throws `unknown_target` unless every group is there and the caller's. */
export async function requireGroups(db: Db, projectId: number, ids: readonly number[]): Promise<void> {
  const found = new Set((await findGroups(db, projectId, ids)).map((row) => row.id));
  const missing = ids.filter((id) => !found.has(id));
  if (missing.length > 0)
    throw new Fault('unknown_target', `there is no group ${missing.slice(0, 10).join(', ')}`);
}
