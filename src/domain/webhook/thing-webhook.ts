/**
 * Webhooks that belong to one device, as Mainflux has them (seed 003): every message of the device goes to each of
 * them, byte for byte and unsigned, and they end with the device.
 */
import { z } from 'zod';
import { selectDevice, selectDevicesById } from '../../store/device.ts';
import { selectGroup } from '../../store/group.ts';
import type { Db } from '../../store/schema.ts';
import { deleteWebhook, selectProjectWebhooks, type Webhook } from '../../store/webhook.ts';
import { makeChange } from '../access/audit.ts';
import type { Caller } from '../access/caller.ts';
import type { Context } from '../context.ts';
import { Fault } from '../fault.ts';
import { membersSchema, metadataSchema, parseInput } from '../input.ts';
import { parseJsonExactly } from '../json.ts';
import { headersSchema, urlSchema } from './input.ts';
import { headersOf } from './ready-webhook.ts';
import { renewReceiver } from './renew.ts';
import { addWebhooks, applyChange, requireWebhook } from './webhook.ts';

const nameMax = 254;
const webhooksPerCallMax = 100;
const limitDefault = 10;
const limitMax = 200;

/** Trimmed like every name: one database takes trailing spaces for equal and the other doesn't. */
const thingNameSchema = z.string().trim().max(nameMax);
const thingWebhookSchema = z.object({
  name: thingNameSchema.min(1),
  url: urlSchema,
  headers: headersSchema.nullish(),
  metadata: metadataSchema.nullish(),
});
const newSchema = z.array(thingWebhookSchema).min(1, 'the list is empty').max(webhooksPerCallMax);
const changeSchema = thingWebhookSchema.extend({ name: thingNameSchema.default('') });
const removalSchema = z.object({ webhook_ids: z.array(z.string().min(1)).min(1, 'the list is empty') });

const whole = (fallback: number, min: number, max: number) =>
  z
    .string()
    .regex(/^-?\d{1,9}$/, 'must be a whole number')
    .transform(Number)
    .pipe(z.int().min(min).max(max))
    .default(fallback);
/** A parameter that stands twice is a list by now, and refused; unknown ones are passed over. */
const pageSchema = z.object({
  offset: whole(0, 0, 999_999_999),
  limit: whole(limitDefault, 1, limitMax),
  order: z.enum(['id', 'name']).default('id'),
  dir: z.enum(['asc', 'desc']).default('desc'),
  name: z.string().default(''),
  url: z.string().default(''),
  metadata: z
    .string()
    .transform((text, issue) => {
      try {
        return membersSchema.parse(parseJsonExactly(text));
      } catch {
        issue.addIssue({ code: 'custom', message: 'must be a JSON object' });
        return z.NEVER;
      }
    })
    .optional(),
});

export type ThingWebhook = {
  id: string;
  group_id: number | null;
  thing_id: number;
  name: string;
  url: string;
  headers?: Record<string, string>;
  metadata?: Record<string, unknown>;
};

type DeviceWebhook = Webhook & { deviceId: number };

const belongsToDevice = (webhook: Webhook): webhook is DeviceWebhook => webhook.deviceId !== null;

/** Makes all or none; throws `not_allowed` for a device that is not the caller's, as for one that is not there. */
export async function createThingWebhooks(
  ctx: Context,
  caller: Caller,
  thingId: number | null,
  input: unknown,
): Promise<ThingWebhook[]> {
  const given = parseInput(newSchema, input);
  const device = await requireThing(ctx.db, caller, thingId);
  const webhooks = await addWebhooks(
    ctx,
    caller,
    device.id,
    given.map(({ name, url, headers, metadata }) => ({
      name,
      url,
      description: '',
      signature: 'none' as const,
      headers: headers ?? {},
      filter: { devices: [device.id], kinds: ['message' as const] },
      metadata: metadata ?? {},
      ordered: false,
      enabled: true,
    })),
  );
  return viewAll(ctx, caller, webhooks.filter(belongsToDevice));
}

export async function listThingWebhooks(
  ctx: Context,
  caller: Caller,
  thingId: number | null,
  query: unknown,
) {
  const page = parseInput(pageSchema, query);
  const device = await requireThing(ctx.db, caller, thingId);
  const webhooks = await deviceWebhooksOf(ctx.db, caller);
  return pageOf(
    ctx,
    caller,
    page,
    webhooks.filter((webhook) => webhook.deviceId === device.id),
  );
}

/** The webhooks of all devices in the group and below it. */
export async function listGroupWebhooks(
  ctx: Context,
  caller: Caller,
  groupId: number | null,
  query: unknown,
) {
  const page = parseInput(pageSchema, query);
  const group = groupId === null ? undefined : await selectGroup(ctx.db, caller.projectId, groupId);
  if (!group) throw new Fault('not_allowed', 'there is no such group for this caller');
  const webhooks = await deviceWebhooksOf(ctx.db, caller);
  const devices = await selectDevicesById(
    ctx.db,
    caller.projectId,
    webhooks.map((webhook) => webhook.deviceId),
  );
  const inside = new Set(
    devices.filter((device) => device.groupPath.includes(group.id)).map((device) => device.id),
  );
  return pageOf(
    ctx,
    caller,
    page,
    webhooks.filter((webhook) => inside.has(webhook.deviceId)),
  );
}

type Page = z.output<typeof pageSchema>;

/** They are few, so they are sorted and searched in memory, as the query asks. */
async function pageOf(ctx: Context, caller: Caller, page: Page, webhooks: readonly DeviceWebhook[]) {
  const { offset, limit, order, dir, name, url, metadata } = page;
  const holds = (text: string, part: string) => text.toLowerCase().includes(part.toLowerCase());
  const found = webhooks.filter(
    (webhook) =>
      holds(webhook.name, name) &&
      holds(webhook.url, url) &&
      (metadata === undefined || contains(webhook.metadata, metadata)),
  );
  const sign = dir === 'asc' ? 1 : -1;
  // Those of the same name, on different things, stay in the order of their ids.
  found.sort((one, other) => sign * (Number(one[order] > other[order]) - Number(one[order] < other[order])));
  const shown = await viewAll(ctx, caller, found.slice(offset, offset + limit));
  return { total: found.length, offset, limit, order, dir, ...(name ? { name } : {}), webhooks: shown };
}

/** Containment as PostgreSQL has it for JSON: every member that is asked for is there, with that value. */
function contains(value: unknown, part: unknown): boolean {
  if (typeof part !== 'object' || part === null) return value === part;
  if (typeof value !== 'object' || value === null) return false;
  if (Array.isArray(part))
    return Array.isArray(value) && part.every((item) => value.some((own) => contains(own, item)));
  return Object.entries(part).every(
    ([key, item]) => Object.hasOwn(value, key) && contains((value as Record<string, unknown>)[key], item),
  );
}

export async function getThingWebhook(ctx: Context, caller: Caller, id: string): Promise<ThingWebhook> {
  const [view] = await viewAll(ctx, caller, [await requireThingWebhook(ctx.db, caller, id)]);
  if (!view) throw new Fault('not_found', 'there is no such webhook');
  return view;
}

/** Replaces name, URL, headers and metadata; what is left out becomes empty. */
export async function replaceThingWebhook(
  ctx: Context,
  caller: Caller,
  id: string,
  input: unknown,
): Promise<void> {
  const { name, url, headers, metadata } = parseInput(changeSchema, input);
  await makeChange(ctx, caller, async (tx, note) => {
    const webhook = await requireThingWebhook(tx, caller, id);
    await applyChange(ctx, tx, webhook, { name, url, headers: headers ?? {}, metadata: metadata ?? {} });
    await note(
      'webhook.change',
      { kind: 'webhook', id },
      { changed: ['name', 'url', 'headers', 'metadata'] },
    );
  });
  await renewReceiver(ctx, id);
}

/** Removes all of them or none. */
export async function removeThingWebhooks(ctx: Context, caller: Caller, input: unknown): Promise<void> {
  const { webhook_ids } = parseInput(removalSchema, input);
  await makeChange(ctx, caller, async (tx, note) => {
    for (const id of new Set(webhook_ids)) {
      const { name } = await requireThingWebhook(tx, caller, id);
      await deleteWebhook(tx, id);
      await note('webhook.delete', { kind: 'webhook', id }, { name });
    }
  });
}

async function viewAll(
  ctx: Context,
  caller: Caller,
  webhooks: readonly DeviceWebhook[],
): Promise<ThingWebhook[]> {
  const ids = new Set(webhooks.map((webhook) => webhook.deviceId));
  const devices = await selectDevicesById(ctx.db, caller.projectId, [...ids]);
  const groups = new Map(devices.map((device) => [device.id, device.groupId]));
  return webhooks.map((webhook) => {
    const headers = headersOf(ctx, webhook);
    const { id, deviceId, name, url, metadata } = webhook;
    return {
      id,
      group_id: groups.get(deviceId) ?? null,
      thing_id: deviceId,
      name,
      url,
      ...(Object.keys(headers).length > 0 ? { headers } : {}),
      ...(Object.keys(metadata).length > 0 ? { metadata } : {}),
    };
  });
}

async function deviceWebhooksOf(db: Db, caller: Caller): Promise<DeviceWebhook[]> {
  return (await selectProjectWebhooks(db, caller.projectId)).filter(belongsToDevice);
}

async function requireThing(db: Db, caller: Caller, id: number | null) {
  const device = id === null ? undefined : await selectDevice(db, caller.projectId, id);
  if (!device) throw new Fault('not_allowed', 'there is no such thing for this caller');
  return device;
}

/** Those of the project itself, which belong to no device, are not for this door. */
async function requireThingWebhook(db: Db, caller: Caller, id: string): Promise<DeviceWebhook> {
  const webhook = await requireWebhook(db, caller, id);
  if (!belongsToDevice(webhook)) throw new Fault('not_found', 'there is no such webhook of a thing');
  return webhook;
}
