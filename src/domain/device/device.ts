/** Devices: the things that connect. Each has a token of its own, a place in the group tree, a type and tags. */

import { z } from 'zod';
import {
  type Device,
  deleteDevice,
  replaceTags,
  selectDevice,
  selectDeviceNames,
  selectDevices,
  updateDevice,
} from '../../store/device.ts';
import { pageQuery } from '../../store/page.ts';
import type { Db } from '../../store/schema.ts';
import { deleteWebhook, selectDeviceWebhookIds } from '../../store/webhook.ts';
import { holdInventory, makeChange } from '../access/audit.ts';
import type { Caller } from '../access/caller.ts';
import { hashToken, makeToken } from '../access/token.ts';
import type { Context } from '../context.ts';
import { Fault } from '../fault.ts';
import {
  flagSchema,
  idSchema,
  instant,
  metadataSchema,
  nameSchema,
  numberedPageSchema,
  parseInput,
} from '../input.ts';
import { disconnectDevice, refreshConnected } from './connection.ts';
import { requireTypeIds } from './device-type.ts';
import { requireGroups } from './group.ts';
import { stateOf } from './in-force.ts';
import { factsOf } from './presence.ts';
import { type Target, tagSchema } from './target.ts';

const tagsPerDeviceMax = 100;

export const tagsSchema = z
  .array(tagSchema)
  .max(tagsPerDeviceMax)
  .transform((tags) => [...new Set(tags)]);
const deviceChangeSchema = z.strictObject({
  name: nameSchema.optional(),
  group_id: idSchema.nullish(),
  type: nameSchema.nullish(),
  tags: tagsSchema.optional(),
  metadata: metadataSchema.optional(),
});
const filterSchema = numberedPageSchema.extend({
  group_id: idSchema.optional(),
  type: z.string().optional(),
  tag: z.string().optional(),
  q: z.string().optional(),
  online: flagSchema.optional(),
});

export function viewDevice(ctx: Pick<Context, 'now' | 'live'>, device: Device) {
  const { id } = device;
  const online = ctx.live.presence.isOnline(id);
  return {
    id,
    name: device.name,
    group_id: device.groupId,
    group_path: device.groupPath,
    type: device.typeName,
    tags: device.tags,
    metadata: device.metadata,
    online,
    shared: ctx.live.presence.isShared(id),
    connected_at: instant(device.connectedAt),
    last_seen_at: instant(online ? ctx.now() : device.lastSeenAt),
    address: ctx.live.presence.connectionsOf(id)[0]?.address ?? device.address,
    created_at: instant(device.createdAt),
  };
}

export async function listDevices(ctx: Pick<Context, 'db' | 'now' | 'live'>, caller: Caller, input: unknown) {
  const { group_id, type, tag, q, online, ...paging } = parseInput(filterSchema, input);
  const query = pageQuery(paging);
  const onlineIds = online === undefined ? undefined : ctx.live.presence.onlineIds(caller.projectId);
  const filter = {
    groupId: group_id,
    type,
    tag,
    text: q,
    ids: online === true ? onlineIds : undefined,
    notIds: online === false ? onlineIds : undefined,
  };
  const page = await selectDevices(ctx.db, caller.projectId, filter, query);
  return { ...page, items: page.items.map((device) => viewDevice(ctx, device)) };
}

export async function getDevice(ctx: Pick<Context, 'db' | 'now' | 'live'>, caller: Caller, id: number) {
  return viewDevice(ctx, await requireDevice(ctx.db, caller, id));
}

/** A device that is connected gets the state of its new group and tags at once. */
export async function changeDevice(ctx: Context, caller: Caller, id: number, input: unknown) {
  const given = parseInput(deviceChangeSchema, input);
  const { projectId } = caller;
  await makeChange(ctx, caller, async (tx, note) => {
    await holdInventory(tx, caller);
    await requireDevice(tx, caller, id);
    if (given.group_id != null) await requireGroups(tx, projectId, [given.group_id]);
    await updateDevice(tx, id, {
      name: given.name,
      groupId: given.group_id,
      typeId: given.type && (await requireTypeIds(tx, projectId, [given.type])).get(given.type),
      metadata: given.metadata,
    });
    if (given.tags !== undefined) await replaceTags(tx, { id, projectId, tags: given.tags });
    await note('device.change', { kind: 'device', id }, { changed: Object.keys(given) });
  });
  if (Object.keys(given).some((member) => member !== 'metadata')) {
    await refreshConnected(ctx, projectId, ctx.live.presence.connectionsOf(id));
  }
  return getDevice(ctx, caller, id);
}

/** Gives the device a new token and ends the connections that the old one opened. */
export async function rotateToken(ctx: Context, caller: Caller, id: number) {
  const token = makeToken('fhd');
  await makeChange(ctx, caller, async (tx, note) => {
    await requireDevice(tx, caller, id);
    await updateDevice(tx, id, { tokenHash: hashToken(token) });
    await note('device.rotate_token', { kind: 'device', id });
  });
  disconnectDevice(ctx, id);
  return { id, token };
}

export async function removeDevice(ctx: Context, caller: Caller, id: number): Promise<void> {
  await makeChange(ctx, caller, async (tx, note) => {
    await holdInventory(tx, caller);
    const device = await requireDevice(tx, caller, id);
    await deleteDevice(tx, id);
    for (const webhookId of await selectDeviceWebhookIds(tx, caller.projectId, id))
      await deleteWebhook(tx, webhookId);
    await note('device.delete', { kind: 'device', id }, { name: device.name });
  });
  disconnectDevice(ctx, id);
}

/** What the device should be showing now, whether it is connected or not. */
export async function getDeviceState(ctx: Pick<Context, 'db' | 'now' | 'live'>, caller: Caller, id: number) {
  const device = await requireDevice(ctx.db, caller, id);
  return stateOf(ctx.live.inForce, factsOf(device), ctx.now());
}

async function requireDevice(db: Db, caller: Caller, id: number): Promise<Device> {
  const device = await selectDevice(db, caller.projectId, id);
  if (!device) throw new Fault('not_found', 'there is no such device');
  return device;
}

/** Throws `unknown_target` unless every group and device it names is the project's. */
export async function requireTarget(db: Db, projectId: number, target: Target): Promise<void> {
  if ('groups' in target) await requireGroups(db, projectId, target.groups);
  if (!('devices' in target)) return;
  const found = await selectDeviceNames(db, projectId, target.devices);
  const missing = target.devices.filter((id) => !found.has(id));
  if (missing.length > 0)
    throw new Fault('unknown_target', `there is no device ${missing.slice(0, 10).join(', ')}`);
}
