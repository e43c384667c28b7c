/** Devices come in: one by one or by the table, all of it or nothing. Each gets its token, which is shown once. */
import { z } from 'zod';
import { insertDevices, type NewDevice, selectDevicesById, selectTakenNames } from '../../store/device.ts';
import { selectGroupsByName } from '../../store/group.ts';
import type { Db } from '../../store/schema.ts';
import { takeNumbers } from '../../store/sequence.ts';
import { holdInventory, makeChange } from '../access/audit.ts';
import type { Caller } from '../access/caller.ts';
import { hashToken, makeToken } from '../access/token.ts';
import type { Context } from '../context.ts';
import { Fault } from '../fault.ts';
import { idSchema, metadataSchema, nameSchema, parseInput } from '../input.ts';
import { getDevice, tagsSchema, viewDevice } from './device.ts';
import { requireTypeIds } from './device-type.ts';
import { requireGroups } from './group.ts';

const devicesPerCallMax = 10_000;

const deviceSchema = z
  .strictObject({
    name: nameSchema,
    group_id: idSchema.nullish(),
    /** A group by its name, for tables that people fill in by hand. */
    group: nameSchema.optional(),
    type: nameSchema.nullish(),
    tags: tagsSchema.default([]),
    metadata: metadataSchema.default({}),
  })
  .refine(
    (device) => device.group === undefined || device.group_id == null,
    'give group or group_id, not both',
  );
const devicesSchema = z.array(deviceSchema).min(1).max(devicesPerCallMax);

type Given = z.output<typeof deviceSchema>;

/** Makes one device. The answer is the only one that holds its token. */
export async function createDevice(
  ctx: Pick<Context, 'db' | 'now' | 'cache' | 'feed' | 'live'>,
  caller: Caller,
  input: unknown,
) {
  const [made] = await addDevices(ctx, caller, [parseInput(deviceSchema, input)]);
  if (!made) throw new Error('a device was added and is not there');
  return { ...(await getDevice(ctx, caller, made.id)), token: made.token };
}

/** Makes all the devices or none. */
export async function createDevices(
  ctx: Pick<Context, 'db' | 'now' | 'cache' | 'feed' | 'live'>,
  caller: Caller,
  input: unknown,
) {
  const given = parseInput(devicesSchema, input);
  requireDistinctNames(given);
  const made = await addDevices(ctx, caller, given);
  const tokens = new Map(made.map(({ id, token }) => [id, token]));
  const devices = await selectDevicesById(ctx.db, caller.projectId, [...tokens.keys()]);
  const items = devices.map((device) => ({ ...viewDevice(ctx, device), token: tokens.get(device.id) ?? '' }));
  return { items };
}

async function addDevices(
  ctx: Pick<Context, 'db' | 'now' | 'cache' | 'feed'>,
  caller: Caller,
  given: readonly Given[],
): Promise<{ id: number; token: string }[]> {
  const { projectId } = caller;
  return makeChange(ctx, caller, async (tx, note) => {
    await holdInventory(tx, caller);
    const groupIds = await requireGroupIds(tx, projectId, given);
    const typeNames = given.flatMap((device) => device.type ?? []);
    const typeIds = await requireTypeIds(tx, projectId, [...new Set(typeNames)]);
    await requireNewNames(tx, projectId, given);
    const firstId = await takeNumbers(tx, 'device', given.length);
    const made = given.map((device, place) => ({ id: firstId + place, token: makeToken('fhd'), device }));
    const now = ctx.now();
    const devices = made.map(({ id, token, device }): NewDevice => {
      const named = device.group === undefined ? undefined : groupIds.get(device.group);
      return {
        id,
        projectId,
        groupId: device.group_id ?? named ?? null,
        typeId: device.type ? (typeIds.get(device.type) ?? null) : null,
        name: device.name,
        tags: device.tags,
        metadata: device.metadata,
        tokenHash: hashToken(token),
        createdAt: now,
        connectedAt: null,
        lastSeenAt: null,
        address: null,
        onlineNode: null,
        onlineDoor: null,
      };
    });
    await insertDevices(tx, devices);
    const details =
      given.length === 1 ? { name: given[0]?.name } : { first_id: firstId, count: given.length };
    await note('device.create', { kind: 'device', id: firstId }, details);
    return made;
  });
}

async function requireGroupIds(
  db: Db,
  projectId: number,
  given: readonly Given[],
): Promise<Map<string, number>> {
  const groupIds = [...new Set(given.flatMap((device) => device.group_id ?? []))];
  await requireGroups(db, projectId, groupIds);
  const names = [...new Set(given.flatMap((device) => device.group ?? []))];
  const found = await selectGroupsByName(db, projectId, names);
  const ids = new Map<string, number>();
  for (const name of names) {
    const named = found.filter((group) => group.name === name);
    const [only] = named;
    if (!only) throw new Fault('unknown_target', `there is no group "${name}"`);
    if (named.length > 1)
      throw new Fault('unknown_target', `several groups are called "${name}": use group_id`);
    ids.set(name, only.id);
  }
  return ids;
}

function requireDistinctNames(given: readonly Given[]): void {
  const seen = new Set<string>();
  for (const [place, { name }] of given.entries()) {
    if (seen.has(name))
      throw new Fault('name_taken', `device ${place + 1}: "${name}" stands twice in the list`);
    seen.add(name);
  }
}

async function requireNewNames(db: Db, projectId: number, given: readonly Given[]): Promise<void> {
  const names = given.map((device) => device.name);
  const taken = await selectTakenNames(db, projectId, names);
  if (taken.length > 0) {
    throw new Fault('name_taken', `there is a device called ${taken.slice(0, 10).join(', ')} already`);
  }
}
