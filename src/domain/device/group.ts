/** Groups are places or sets of devices. They form a tree; a command for a group is for all that is below it. */

import { z } from 'zod';
import { countDevices } from '../../store/device.ts';
import {
  deleteGroup,
  type Group,
  hasChildGroups,
  insertGroup,
  selectGroup,
  selectGroupIds,
  selectGroups,
  selectSubtree,
  updateGroup,
} from '../../store/group.ts';
import { pageQuery } from '../../store/page.ts';
import type { Db } from '../../store/schema.ts';
import { takeNumbers } from '../../store/sequence.ts';
import { holdInventory, makeChange } from '../access/audit.ts';
import type { Caller } from '../access/caller.ts';
import type { Context } from '../context.ts';
import { Fault } from '../fault.ts';
import { idSchema, instant, nameSchema, numberedPageSchema, parseInput } from '../input.ts';
import { refreshConnected } from './connection.ts';

/** As deep as a path of ids fits its column. */
const depthMax = 16;

const groupSchema = z.strictObject({ name: nameSchema, parent_id: idSchema.nullish() });
const filterSchema = numberedPageSchema.extend({
  parent_id: z.coerce.number().pipe(z.int().nonnegative()).optional(),
  name: z.string().optional(),
});

function viewGroup(group: Group) {
  return {
    id: group.id,
    name: group.name,
    parent_id: group.parentId,
    path: group.path,
    created_at: instant(group.createdAt),
  };
}

export async function createGroup(
  ctx: Pick<Context, 'db' | 'now' | 'cache' | 'feed'>,
  caller: Caller,
  input: unknown,
) {
  const given = parseInput(groupSchema, input);
  return makeChange(ctx, caller, async (tx, note) => {
    await holdInventory(tx, caller);
    const parentId = given.parent_id ?? null;
    const parentPath = await requireParentPath(tx, caller, parentId);
    const id = await takeNumbers(tx, 'group', 1);
    const group: Group = {
      id,
      projectId: caller.projectId,
      parentId,
      name: given.name,
      path: requireDepth(parentPath.concat(id)),
      createdAt: ctx.now(),
    };
    await insertGroup(tx, group);
    await note('group.create', { kind: 'group', id }, { name: group.name, parent_id: parentId });
    return viewGroup(group);
  });
}

export async function listGroups(ctx: Pick<Context, 'db'>, caller: Caller, input: unknown) {
  const { name, parent_id, ...paging } = parseInput(filterSchema, input);
  const filter = { name, parentId: parent_id === 0 ? null : parent_id };
  const page = await selectGroups(ctx.db, caller.projectId, filter, pageQuery(paging));
  return { ...page, items: page.items.map(viewGroup) };
}

export async function getGroup(ctx: Pick<Context, 'db'>, caller: Caller, id: number) {
  return viewGroup(await requireGroup(ctx.db, caller, id));
}

/** Renames a group or moves it with all below it; devices that are connected get the state of their new place. */
export async function changeGroup(ctx: Context, caller: Caller, id: number, input: unknown) {
  const given = parseInput(groupSchema.partial(), input);
  const moved = await makeChange(ctx, caller, async (tx, note) => {
    await holdInventory(tx, caller);
    const group = await requireGroup(tx, caller, id);
    const moves = given.parent_id !== undefined && given.parent_id !== group.parentId;
    if (moves) await moveSubtree(tx, caller, group, given.parent_id ?? null);
    await updateGroup(tx, id, { name: given.name, parentId: given.parent_id });
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
async function moveSubtree(tx: Db, caller: Caller, group: Group, parentId: number | null): Promise<void> {
  const parentPath = await requireParentPath(tx, caller, parentId);
  if (parentPath.includes(group.id)) throw new Fault('conflict', 'a group cannot be put below itself');
  const above = parentPath.concat(group.id);
  for (const member of await selectSubtree(tx, caller.projectId, group.path)) {
    const path = requireDepth(above.concat(member.path.slice(group.path.length)));
    await updateGroup(tx, member.id, { path });
  }
}

export async function removeGroup(
  ctx: Pick<Context, 'db' | 'now' | 'cache' | 'feed'>,
  caller: Caller,
  id: number,
): Promise<void> {
  await makeChange(ctx, caller, async (tx, note) => {
    const group = await requireGroup(tx, caller, id);
    await holdInventory(tx, caller);
    if (await hasChildGroups(tx, id)) throw new Fault('in_use', 'the group still has groups below it');
    if ((await countDevices(tx, caller.projectId, { groupId: id })) > 0) {
      throw new Fault('in_use', 'the group still has devices');
    }
    await deleteGroup(tx, id);
    await note('group.delete', { kind: 'group', id }, { name: group.name });
  });
}

async function requireGroup(db: Db, caller: Caller, id: number): Promise<Group> {
  const group = await selectGroup(db, caller.projectId, id);
  if (!group) throw new Fault('not_found', 'there is no such group');
  return group;
}

async function requireParentPath(
  db: Db,
  caller: Caller,
  parentId: number | null,
): Promise<readonly number[]> {
  if (parentId === null) return [];
  const parent = await selectGroup(db, caller.projectId, parentId);
  if (!parent) throw new Fault('unknown_target', `there is no group ${parentId}`);
  return parent.path;
}

function requireDepth(path: readonly number[]): readonly number[] {
  if (path.length <= depthMax) return path;
  throw new Fault('conflict', `groups can be ${depthMax} deep at most`);
}

/** Throws `unknown_target` unless every group is there and the caller's. */
export async function requireGroups(db: Db, projectId: number, ids: readonly number[]): Promise<void> {
  const found = await selectGroupIds(db, projectId, ids);
  const missing = ids.filter((id) => !found.has(id));
  if (missing.length > 0)
    throw new Fault('unknown_target', `there is no group ${missing.slice(0, 10).join(', ')}`);
}
