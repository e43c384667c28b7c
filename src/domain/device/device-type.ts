/** A device type is a class of devices; it owns the message types its devices may send, each with a JSON Schema. */
import { z } from 'zod';
import { hasRulesOfType } from '../../store/alarm-rule.ts';
import { fromJson, toJson } from '../../store/columns.ts';
import { countDevices } from '../../store/device.ts';
import {
  deleteDeviceType as deleteDeviceTypeRow,
  findDeviceTypesNamed,
  insertDeviceType,
  listDeviceTypesOf,
  updateDeviceType,
} from '../../store/device-type.ts';
import { findOwned, listOwned } from '../../store/owned.ts';
import { pageQuery } from '../../store/page.ts';
import type { Db, Row } from '../../store/schema.ts';
import { holdInventory, makeChange } from '../access/audit.ts';
import type { Caller } from '../access/caller.ts';
import type { Context } from '../context.ts';
import { Fault } from '../fault.ts';
import { newId } from '../id.ts';
import { instant, nameSchema, pageSchema, parseInput } from '../input.ts';
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
    .union([z.record(z.string(), z.json()), z.boolean()])
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

function viewDeviceType(row: Row<'device_types'>) {
  return {
    id: row.id,
    name: row.name,
    message_types: fromJson<z.output<typeof messageTypeSchema>[]>(row.message_types_json),
    created_at: instant(row.created_at),
  };
}

/** Throws `bad_schema` for a schema that can't be taken, naming the message type. */
function requireSchemas(messageTypes: readonly { id: string; schema: object | boolean }[]): void {
  for (const { id, schema } of messageTypes) {
    try {
      compileMessageSchema(schema);
    } catch (error) {
      if (!(error instanceof Fault)) throw error;
      throw new Fault(error.code, `message type "${id}": ${error.message}`);
    }
  }
}

export async function createDeviceType(ctx: Context, caller: Caller, input: unknown) {
  const given = parseInput(deviceTypeSchema, input);
  requireSchemas(given.message_types);
  const row: Row<'device_types'> = {
    id: given.id ?? newId(ctx.now()),
    project_id: caller.projectId,
    name: given.name,
    message_types_json: toJson(given.message_types),
    created_at: ctx.now(),
  };
  await makeChange(ctx, caller, async (tx, note) => {
    await insertDeviceType(tx, row);
    await note('device_type.create', { kind: 'device_type', id: row.id }, { name: row.name });
  });
  return viewDeviceType(row);
}

export async function listDeviceTypes(ctx: Context, caller: Caller, input: unknown) {
  const page = await listOwned(
    ctx.db,
    'device_types',
    caller.projectId,
    pageQuery(parseInput(pageSchema, input)),
  );
  return { ...page, items: page.items.map(viewDeviceType) };
}

export async function getDeviceType(ctx: Context, caller: Caller, id: string) {
  return viewDeviceType(await requireDeviceType(ctx.db, caller, id));
}

export async function changeDeviceType(ctx: Context, caller: Caller, id: string, input: unknown) {
  const given = parseInput(deviceTypeChangeSchema, input);
  requireSchemas(given.message_types ?? []);
  await makeChange(ctx, caller, async (tx, note) => {
    await requireDeviceType(tx, caller, id);
    const change: { name?: string; message_types_json?: string } = {};
    if (given.name !== undefined) change.name = given.name;
    if (given.message_types !== undefined) change.message_types_json = toJson(given.message_types);
    if (Object.keys(change).length > 0) await updateDeviceType(tx, caller.projectId, id, change);
    await note('device_type.change', { kind: 'device_type', id }, { changed: Object.keys(given) });
  });
  return getDeviceType(ctx, caller, id);
}

export async function deleteDeviceType(ctx: Context, caller: Caller, id: string): Promise<void> {
  await makeChange(ctx, caller, async (tx, note) => {
    await holdInventory(tx, caller);
    const row = await requireDeviceType(tx, caller, id);
    if ((await countDevices(tx, caller.projectId, { typeId: id })) > 0) {
      throw new Fault('in_use', 'there are still devices of this type');
    }
    if (await hasRulesOfType(tx, caller.projectId, id))
      throw new Fault('in_use', 'there are still alarm rules for this type');
    await deleteDeviceTypeRow(tx, caller.projectId, id);
    await note('device_type.delete', { kind: 'device_type', id }, { name: row.name });
  });
}

async function requireDeviceType(db: Db, caller: Caller, id: string): Promise<Row<'device_types'>> {
  const row = await findOwned(db, 'device_types', caller.projectId, id);
  if (!row) throw new Fault('not_found', 'there is no such device type');
  return row;
}

/** Ids of the types that people name by id or by name; throws `unknown_target` for one that is not there. */
export async function requireTypeIds(
  db: Db,
  projectId: number,
  names: readonly string[],
): Promise<Map<string, string>> {
  const rows = await findDeviceTypesNamed(db, projectId, names);
  const ids = new Map<string, string>();
  for (const name of names) {
    const row = rows.find((type) => type.id === name) ?? rows.find((type) => type.name === name);
    if (!row) throw new Fault('unknown_target', `there is no device type "${name}"`);
    ids.set(name, row.id);
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
    const rows = await listDeviceTypesOf(ctx.db, projectId);
    return new Map(
      rows.map((row) => {
        const types = fromJson<z.output<typeof messageTypeSchema>[]>(row.message_types_json);
        const schemas = new Map(types.map((type) => [type.id, type.schema]));
        return [row.id, { id: row.id, name: row.name, class: classOf(row), schemas }];
      }),
    );
  });
}

/** Ids made here are of no use to people. */
function classOf({ id, name }: Row<'device_types'>): string {
  return /^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-/.test(id) ? name : id;
}
