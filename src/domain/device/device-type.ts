/** A device type is a class of devices; it owns the message types its devices may send, each with a JSON Schema. */
import { z } from 'zod';
import { hasRulesOfType } from '../../store/alarm-rule.ts';
import { countDevices } from '../../store/device.ts';
import {
  type DeviceType,
  deleteDeviceType,
  insertDeviceType,
  type MessageType,
  selectAllDeviceTypes,
  selectDeviceType,
  selectDeviceTypes,
  selectDeviceTypesNamed,
  updateDeviceType,
} from '../../store/device-type.ts';
import { pageQuery } from '../../store/page.ts';
import type { Db } from '../../store/schema.ts';
import { holdInventory, makeChange } from '../access/audit.ts';
import type { Caller } from '../access/caller.ts';
import type { Context } from '../context.ts';
import { Fault } from '../fault.ts';
import { newId } from '../id.ts';
import { instant, membersSchema, nameSchema, pageSchema, parseInput } from '../input.ts';
import { compileMessageSchema } from './message-schema.ts';

const messageTypesMax = 100;
const schemaBytesMax = 32_768;

const identifierSchema = z
  .string()
  .max(36)
  .regex(/^[A-Za-z0-9][\w.-]*$/, 'letters, digits, dot, dash and underscore only');
const messageTypeSchema = z.strictObject({
  id: identifierSchema,
  schema: z
    .union([membersSchema, z.boolean()])
    .default({})
    .refine(
      (schema) => JSON.stringify(schema).length <= schemaBytesMax,
      `at most ${schemaBytesMax} characters`,
    ),
});
const deviceTypeSchema = z.strictObject({
  id: identifierSchema.optional(),
  name: nameSchema,
  message_types: z
    .array(messageTypeSchema)
    .max(messageTypesMax)
    .refine((list) => new Set(list.map((type) => type.id)).size === list.length, 'ids must differ')
    .default([]),
});
const deviceTypeChangeSchema = z.strictObject({
  name: nameSchema.optional(),
  message_types: deviceTypeSchema.shape.message_types.removeDefault().optional(),
});

function viewDeviceType(type: DeviceType) {
  return {
    id: type.id,
    name: type.name,
    message_types: type.messageTypes,
    created_at: instant(type.createdAt),
  };
}

/** Throws `bad_schema` for a schema that can't be taken, naming the message type. */
function requireSchemas(messageTypes: readonly MessageType[]): void {
  for (const { id, schema } of messageTypes) {
    try {
      compileMessageSchema(schema);
    } catch (error) {
      if (!(error instanceof Fault)) throw error;
      throw new Fault(error.code, `message type "${id}": ${error.message}`);
    }
  }
}

export async function createDeviceType(
  ctx: Pick<Context, 'db' | 'now' | 'cache' | 'feed'>,
  caller: Caller,
  input: unknown,
) {
  const given = parseInput(deviceTypeSchema, input);
  requireSchemas(given.message_types);
  const type: DeviceType = {
    id: given.id ?? newId(ctx.now()),
    projectId: caller.projectId,
    name: given.name,
    messageTypes: given.message_types,
    createdAt: ctx.now(),
  };
  await makeChange(ctx, caller, async (tx, note) => {
    await insertDeviceType(tx, type);
    await note('device_type.create', { kind: 'device_type', id: type.id }, { name: type.name });
  });
  return viewDeviceType(type);
}

export async function listDeviceTypes(ctx: Pick<Context, 'db'>, caller: Caller, input: unknown) {
  const query = pageQuery(parseInput(pageSchema, input));
  const page = await selectDeviceTypes(ctx.db, caller.projectId, query);
  return { ...page, items: page.items.map(viewDeviceType) };
}

export async function getDeviceType(ctx: Pick<Context, 'db'>, caller: Caller, id: string) {
  return viewDeviceType(await requireDeviceType(ctx.db, caller, id));
}

export async function changeDeviceType(
  ctx: Pick<Context, 'db' | 'now' | 'cache' | 'feed'>,
  caller: Caller,
  id: string,
  input: unknown,
) {
  const given = parseInput(deviceTypeChangeSchema, input);
  requireSchemas(given.message_types ?? []);
  await makeChange(ctx, caller, async (tx, note) => {
    await requireDeviceType(tx, caller, id);
    await updateDeviceType(tx, caller.projectId, id, {
      name: given.name,
      messageTypes: given.message_types,
    });
    await note('device_type.change', { kind: 'device_type', id }, { changed: Object.keys(given) });
  });
  return getDeviceType(ctx, caller, id);
}

export async function removeDeviceType(
  ctx: Pick<Context, 'db' | 'now' | 'cache' | 'feed'>,
  caller: Caller,
  id: string,
): Promise<void> {
  await makeChange(ctx, caller, async (tx, note) => {
    await holdInventory(tx, caller);
    const type = await requireDeviceType(tx, caller, id);
    if ((await countDevices(tx, caller.projectId, { typeId: id })) > 0) {
      throw new Fault('in_use', 'there are still devices of this type');
    }
    if (await hasRulesOfType(tx, caller.projectId, id))
      throw new Fault('in_use', 'there are still alarm rules for this type');
    await deleteDeviceType(tx, caller.projectId, id);
    await note('device_type.delete', { kind: 'device_type', id }, { name: type.name });
  });
}

async function requireDeviceType(db: Db, caller: Caller, id: string): Promise<DeviceType> {
  const type = await selectDeviceType(db, caller.projectId, id);
  if (!type) throw new Fault('not_found', 'there is no such device type');
  return type;
}

/** Ids of the types that people name by id or by name; throws `unknown_target` for one that is not there. */
export async function requireTypeIds(
  db: Db,
  projectId: number,
  names: readonly string[],
): Promise<Map<string, string>> {
  const types = await selectDeviceTypesNamed(db, projectId, names);
  const ids = new Map<string, string>();
  for (const name of names) {
    const found = types.find((type) => type.id === name) ?? types.find((type) => type.name === name);
    if (!found) throw new Fault('unknown_target', `there is no device type "${name}"`);
    ids.set(name, found.id);
  }
  return ids;
}

/** A type as messages are held against it: its schemas by message type. */
export type ReadyType = {
  id: string;
  name: string;
  /** What devices of the type are called outside: the id where people chose one, the name otherwise. */
  class: string;
  schemas: ReadonlyMap<string, object | boolean>;
};

/** The types of a project by id; kept in the cache. */
export async function readyTypes(
  ctx: Pick<Context, 'db' | 'cache'>,
  projectId: number,
): Promise<ReadonlyMap<string, ReadyType>> {
  return ctx.cache.get(`device types ${projectId}`, async () => {
    const types = await selectAllDeviceTypes(ctx.db, projectId);
    return new Map(
      types.map((type) => {
        const schemas = new Map(type.messageTypes.map(({ id, schema }) => [id, schema]));
        return [type.id, { id: type.id, name: type.name, class: classOf(type), schemas }];
      }),
    );
  });
}

/** What people find a type under that is known by its id: its class, unless another one has that for its id. */
export function nameOfType(types: ReadonlyMap<string, ReadyType>, id: string): string {
  const name = types.get(id)?.class ?? id;
  return types.has(name) ? id : name;
}

/** Ids made here are of no use to people. */
function classOf({ id, name }: DeviceType): string {
  return /^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-/.test(id) ? name : id;
}
