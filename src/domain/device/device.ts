/** Devices: the things that connect. Each has a token of its own, a place in the group tree, a type and tags. */

import { z } from 'zod';
import { fromJson, toJson } from '../../store/columns.ts';
import {
  type DeviceRow,
  deleteDevice as deleteDeviceRow,
  findDevice,
  findDeviceNames,
  findDevices,
  insertDevices,
  listDevices as listDeviceRows,
  replaceTags,
  tagsOfDevices,
  updateDevice,
} from '../../store/device.ts';
import { findGroupsByName } from '../../store/group.ts';
import { pageQuery } from '../../store/page.ts';
import type { Db, NewRow, Row } from '../../store/schema.ts';
import { takeNumbers } from '../../store/sequence.ts';
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
import { idsOnPath, type Target, tagSchema } from './target.ts';

const devicesPerCallMax = 10_000;
const tagsPerDeviceMax = 100;

const tagsSchema = z
  .array(tagSchema)
  .max(tagsPerDeviceMax)
  .transform((tags) => [...new Set(tags)]);
const deviceSchema = z.strictObject({
  name: nameSchema,
  group_id: idSchema.nullish(),
  /** A group by its name, for tables that people fill in by hand. */
  group: nameSchema.optional(),
  type: nameSchema.nullish(),
  tags: tagsSchema.default([]),
  metadata: metadataSchema.default({}),
});
const newDeviceSchema = deviceSchema.refine(
  (device) => device.group === undefined || device.group_id == null,
  'give group or group_id, not both',
);
const devicesSchema = z.array(newDeviceSchema).min(1).max(devicesPerCallMax);
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

type NewDevice = z.output<typeof deviceSchema>;

function viewDevice(ctx: Context, row: DeviceRow, tags: readonly string[]) {
  const online = ctx.live.presence.isOnline(row.id);
  return {
    id: row.id,
    name: row.name,
    group_id: row.group_id,
    group_path: idsOnPath(row.group_path ?? ''),
    type: row.type_name,
    tags,
    metadata: fromJson<Record<string, unknown>>(row.metadata_json),
    online,
    connected_at: instant(row.connected_at),
    last_seen_at: instant(online ? ctx.now() : row.last_seen_at),
    address: ctx.live.presence.connectionsOf(row.id)[0]?.address ?? row.address,
    created_at: instant(row.created_at),
  };
}

/** Makes one device. The answer is the only one that holds its token. */
export async function createDevice(ctx: Context, caller: Caller, input: unknown) {
  const given = parseInput(newDeviceSchema, input);
  const [made] = await addDevices(ctx, caller, [given]);
  if (!made) throw new Error('a device was added and is not there');
  return { ...(await getDevice(ctx, caller, made.id)), token: made.token };
}

/** Makes all the devices or none. */
export async function createDevices(ctx: Context, caller: Caller, input: unknown) {
  const given = parseInput(devicesSchema, input);
  requireDistinctNames(given);
  const made = await addDevices(ctx, caller, given);
  const rows = await findDevices(
    ctx.db,
    caller.projectId,
    made.map((device) => device.id),
  );
  const tokens = new Map(made.map(({ id, token }) => [id, token]));
  const views = await viewDevices(ctx, rows);
  return { items: views.map((view) => ({ ...view, token: tokens.get(view.id) ?? '' })) };
}

async function addDevices(ctx: Context, caller: Caller, given: readonly NewDevice[]) {
  const { projectId } = caller;
  return makeChange(ctx, caller, async (tx, note) => {
    await holdInventory(tx, caller);
    const groupIds = await requireGroupIds(tx, projectId, given);
    const typeNames = given.flatMap((device) => device.type ?? []);
    const typeIds = await requireTypeIds(tx, projectId, [...new Set(typeNames)]);
    await requireNewNames(tx, projectId, given);
    const firstId = await takeNumbers(tx, 'device', given.length);
    const made = given.map((device, place) => {
      const groupId =
        device.group_id ?? (device.group === undefined ? null : (groupIds.get(device.group) ?? null));
      return { id: firstId + place, token: makeToken('fhd'), device, groupId };
    });
    const now = ctx.now();
    const rows = made.map(
      ({ id, token, device, groupId }): NewRow<'devices'> => ({
        id,
        project_id: projectId,
        group_id: groupId,
        type_id: device.type ? (typeIds.get(device.type) ?? null) : null,
        name: device.name,
        metadata_json: toJson(device.metadata),
        token_hash: hashToken(token),
        created_at: now,
        connected_at: null,
        last_seen_at: null,
        address: null,
      }),
    );
    const tags = made.flatMap(({ id, device }) =>
      device.tags.map((tag) => ({ project_id: projectId, tag, device_id: id })),
    );
    await insertDevices(tx, rows, tags);
    if (made.length === 1)
      await note('device.create', { kind: 'device', id: firstId }, { name: rows[0]?.name });
    else
      await note('device.create', { kind: 'device', id: firstId }, { first_id: firstId, count: made.length });
    return made;
  });
}

async function requireGroupIds(
  db: Db,
  projectId: number,
  given: readonly NewDevice[],
): Promise<Map<string, number>> {
  const groupIds = [...new Set(given.flatMap((device) => device.group_id ?? []))];
  await requireGroups(db, projectId, groupIds);
  const names = [...new Set(given.flatMap((device) => device.group ?? []))];
  const found = await findGroupsByName(db, projectId, names);
  const ids = new Map<string, number>();
  for (const name of names) {
    const named = found.filter((row) => row.name === name);
    const [only] = named;
    if (!only) throw new Fault('unknown_target', `there is no group "${name}"`);
    if (named.length > 1)
      throw new Fault('unknown_target', `several groups are called "${name}": use group_id`);
    ids.set(name, only.id);
  }
  return ids;
}

function requireDistinctNames(given: readonly NewDevice[]): void {
  const seen = new Set<string>();
  for (const [place, { name }] of given.entries()) {
    if (seen.has(name))
      throw new Fault('name_taken', `device ${place + 1}: "${name}" stands twice in the list`);
    seen.add(name);
  }
}

async function requireNewNames(db: Db, projectId: number, given: readonly NewDevice[]): Promise<void> {
  const taken = await findDeviceNames(
    db,
    projectId,
    given.map((device) => device.name),
  );
  if (taken.length > 0) {
    throw new Fault('name_taken', `there is a device called ${taken.slice(0, 10).join(', ')} already`);
  }
}

export async function listDevices(ctx: Context, caller: Caller, input: unknown) {
  const { group_id, type, tag, q, online, ...paging } = parseInput(filterSchema, input);
  const query = pageQuery(paging);
  const onlineIds = online === undefined ? undefined : ctx.live.presence.onlineIds(caller.projectId);
  const page = await listDeviceRows(
    ctx.db,
    caller.projectId,
    {
      groupId: group_id,
      type,
      tag,
      text: q,
      ids: online === true ? onlineIds : undefined,
      notIds: online === false ? onlineIds : undefined,
    },
    query,
  );
  return { ...page, items: await viewDevices(ctx, page.items) };
}

async function viewDevices(ctx: Context, rows: readonly DeviceRow[]) {
  const tags = await tagsOfDevices(
    ctx.db,
    rows.map((row) => row.id),
  );
  return rows.map((row) => viewDevice(ctx, row, tags.get(row.id) ?? []));
}

export async function getDevice(ctx: Context, caller: Caller, id: number) {
  const row = await requireDevice(ctx.db, caller, id);
  return viewDevice(ctx, row, (await tagsOfDevices(ctx.db, [id])).get(id) ?? []);
}

/** A device that is connected gets the state of its new group and tags at once. */
export async function changeDevice(ctx: Context, caller: Caller, id: number, input: unknown) {
  const given = parseInput(deviceChangeSchema, input);
  const { projectId } = caller;
  await makeChange(ctx, caller, async (tx, note) => {
    await holdInventory(tx, caller);
    await requireDevice(tx, caller, id);
    const change: Partial<Row<'devices'>> = {};
    if (given.name !== undefined) change.name = given.name;
    if (given.group_id !== undefined) {
      if (given.group_id !== null) {
        await requireGroups(tx, projectId, [given.group_id]);
      }
      change.group_id = given.group_id;
    }
    if (given.type === null) change.type_id = null;
    else if (given.type !== undefined) {
      change.type_id = (await requireTypeIds(tx, projectId, [given.type])).get(given.type) ?? null;
    }
    if (given.metadata !== undefined) change.metadata_json = toJson(given.metadata);
    await updateDevice(tx, id, change);
    if (given.tags !== undefined) await replaceTags(tx, projectId, id, given.tags);
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
    await updateDevice(tx, id, { token_hash: hashToken(token) });
    await note('device.rotate_token', { kind: 'device', id });
  });
  disconnectDevice(ctx, id);
  return { id, token };
}

export async function deleteDevice(ctx: Context, caller: Caller, id: number): Promise<void> {
  await makeChange(ctx, caller, async (tx, note) => {
    await holdInventory(tx, caller);
    const row = await requireDevice(tx, caller, id);
    await deleteDeviceRow(tx, id);
    for (const webhookId of await selectDeviceWebhookIds(tx, caller.projectId, id))
      await deleteWebhook(tx, webhookId);
    await note('device.delete', { kind: 'device', id }, { name: row.name });
  });
  disconnectDevice(ctx, id);
}

/** What the device should be showing now, whether it is connected or not. */
export async function getDeviceState(ctx: Context, caller: Caller, id: number) {
  const row = await requireDevice(ctx.db, caller, id);
  const tags = (await tagsOfDevices(ctx.db, [id])).get(id) ?? [];
  const device = {
    id,
    projectId: caller.projectId,
    groupPath: idsOnPath(row.group_path ?? ''),
    tags: new Set(tags),
  };
  return stateOf(ctx.live.inForce, device, ctx.now());
}

async function requireDevice(db: Db, caller: Caller, id: number): Promise<DeviceRow> {
  const row = await findDevice(db, caller.projectId, id);
  if (!row) throw new Fault('not_found', 'there is no such device');
  return row;
}

/** Throws `unknown_target` unless every group and device it names is the project's. */
export async function requireTarget(db: Db, projectId: number, target: Target): Promise<void> {
  if ('groups' in target) await requireGroups(db, projectId, target.groups);
  if (!('devices' in target)) return;
  const found = new Set((await findDevices(db, projectId, target.devices)).map((row) => row.id));
  const missing = target.devices.filter((id) => !found.has(id));
  if (missing.length > 0)
    throw new Fault('unknown_target', `there is no device ${missing.slice(0, 10).join(', ')}`);
}
