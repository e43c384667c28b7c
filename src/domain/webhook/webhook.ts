/**
 * A webhook is a subscription of somebody outside: which events, where to, signed how, in which words. The secret is
 * made here unless one is given, and can be shown again to those who manage webhooks (secret.ts).
 */
import { z } from 'zod';
import { releaseTurns } from '../../store/delivery.ts';
import { countDeliveries } from '../../store/delivery-list.ts';
import { pageQuery } from '../../store/page.ts';
import type { Db } from '../../store/schema.ts';
import {
  deleteWebhook,
  insertWebhooks,
  selectProjectWebhooks,
  selectWebhook,
  selectWebhooks,
  updateWebhook,
  type Webhook,
} from '../../store/webhook.ts';
import { holdInventory, makeChange } from '../access/audit.ts';
import type { Caller } from '../access/caller.ts';
import type { Context } from '../context.ts';
import { nameOfType, type ReadyType, readyTypes } from '../device/device-type.ts';
import { Fault } from '../fault.ts';
import { newId } from '../id.ts';
import { flagSchema, instant, pageSchema, parseInput } from '../input.ts';
import { healthy } from './health.ts';
import {
  changeSchema,
  requireFilter,
  requireUsable,
  type WebhookChange,
  type WebhookInput,
  webhookSchema,
} from './input.ts';
import { namesSame } from './missing.ts';
import { headersLabel, headersOf } from './ready-webhook.ts';
import { renewReceiver } from './renew.ts';
import { makeWebhookSecret } from './signature.ts';
import { commandSecretLabel, secretChange, secretLabel } from './signing-secret.ts';

const webhooksPerProjectMax = 1_000;

function viewWebhook(ctx: Context, webhook: Webhook, types: ReadonlyMap<string, ReadyType>) {
  const { filter } = webhook;
  const named = filter.device_types?.map((id) => nameOfType(types, id));
  return {
    id: webhook.id,
    module_id: webhook.moduleId,
    device_id: webhook.deviceId,
    name: webhook.name,
    description: webhook.description,
    url: webhook.url,
    signature: webhook.signature,
    headers: headersOf(ctx, webhook),
    body: webhook.body,
    command_url: webhook.commandUrl,
    filter: named ? { ...filter, device_types: named } : filter,
    ordered: webhook.ordered,
    enabled: webhook.enabled,
    disabled_reason: webhook.disabledReason,
    problem: webhook.problem,
    failing_since: instant(webhook.failingSince),
    last_success_at: instant(webhook.lastSuccessAt),
    metadata: webhook.metadata,
    created_at: instant(webhook.createdAt),
    updated_at: instant(webhook.updatedAt),
  };
}

/** Makes a webhook. The answer holds its secret, as `GET …/secret` does later. */
export async function createWebhook(ctx: Context, caller: Caller, input: unknown) {
  const given = parseInput(webhookSchema, input);
  const [made] = await addWebhooks(ctx, caller, null, [given]);
  if (!made) throw new Error('a webhook was added and is not there');
  const secret = made.secretSealed === null ? null : ctx.seal.open(secretLabel, made.secretSealed);
  return { ...viewWebhook(ctx, made, await readyTypes(ctx, caller.projectId)), secret };
}

/** Makes all the webhooks or none. `deviceId` is the device they belong to and end with, if any. */
export async function addWebhooks(
  ctx: Context,
  caller: Caller,
  deviceId: number | null,
  given: readonly WebhookInput[],
): Promise<Webhook[]> {
  for (const webhook of given) requireUsable(webhook);
  const now = ctx.now();
  const webhooks = given.map((webhook) => newWebhook(ctx, caller, deviceId, webhook, now));
  return makeChange(ctx, caller, async (tx, note) => {
    await holdInventory(tx, caller);
    const known = await selectProjectWebhooks(tx, caller.projectId);
    if (known.length + webhooks.length > webhooksPerProjectMax)
      throw new Fault('conflict', `a project has ${webhooksPerProjectMax} webhooks at most`);
    const kept: Webhook[] = [];
    for (const webhook of webhooks)
      kept.push({ ...webhook, filter: await requireFilter(tx, caller.projectId, webhook.filter) });
    await insertWebhooks(tx, kept);
    for (const { id, name, url } of kept)
      await note('webhook.create', { kind: 'webhook', id }, { name, url });
    return kept;
  });
}

function newWebhook(
  ctx: Context,
  caller: Caller,
  deviceId: number | null,
  given: WebhookInput,
  now: number,
): Webhook {
  const secret = given.secret ?? (given.signature === 'none' ? null : makeWebhookSecret(given.signature));
  return {
    id: newId(now),
    projectId: caller.projectId,
    deviceId,
    moduleId: given.module_id ?? null,
    name: given.name,
    description: given.description,
    url: given.url,
    signature: given.signature,
    secretSealed: secret === null ? null : ctx.seal.close(secretLabel, secret),
    oldSecrets: [],
    headersSealed: ctx.seal.close(headersLabel, JSON.stringify(given.headers)),
    body: given.body ?? null,
    commandUrl: given.command_url ?? null,
    commandSecretSealed:
      given.command_secret === undefined ? null : ctx.seal.close(commandSecretLabel, given.command_secret),
    filter: given.filter,
    metadata: given.metadata,
    ordered: given.ordered,
    enabled: given.enabled,
    disabledReason: null,
    problem: null,
    ...healthy,
    lastSuccessAt: null,
    createdAt: now,
    updatedAt: now,
  };
}

const listSchema = pageSchema.extend({
  q: z.string().optional(),
  enabled: flagSchema.optional(),
});

export async function listWebhooks(ctx: Context, caller: Caller, input: unknown) {
  const { q, enabled, ...paging } = parseInput(listSchema, input);
  const page = await selectWebhooks(ctx.db, caller.projectId, { text: q, enabled }, pageQuery(paging));
  const types = await readyTypes(ctx, caller.projectId);
  return { ...page, items: page.items.map((webhook) => viewWebhook(ctx, webhook, types)) };
}

/** One webhook, with how many of its deliveries are in which status, and whether it is sent to at this moment. */
export async function getWebhook(ctx: Context, caller: Caller, id: string) {
  const webhook = await requireWebhook(ctx.db, caller, id);
  const counts = await countDeliveries(ctx.db, id);
  const {
    waiting = 0,
    pending = 0,
    sending = 0,
    delivered = 0,
    exhausted = 0,
    failed = 0,
    canceled = 0,
  } = counts;
  const hold = webhook.enabled ? ctx.live.outbound.holdOf(id) : null;
  return {
    ...viewWebhook(ctx, webhook, await readyTypes(ctx, caller.projectId)),
    held_until: instant(hold?.until ?? null),
    held_reason: hold?.reason ?? null,
    deliveries: { pending: waiting + pending + sending, delivered, exhausted, failed, canceled },
  };
}

/** Deliveries that are pending go out as the webhook is then; switching it on again lets those go that waited. */
export async function changeWebhook(ctx: Context, caller: Caller, id: string, input: unknown) {
  const given = parseInput(changeSchema, input);
  const isRenewed = await makeChange(ctx, caller, async (tx, note) => {
    const webhook = await requireWebhook(tx, caller, id);
    await note('webhook.change', { kind: 'webhook', id }, { changed: Object.keys(given) });
    return applyChange(ctx, tx, webhook, given);
  });
  if (isRenewed) await renewReceiver(ctx, id);
  else ctx.live.outbound.wake([id]);
  return getWebhook(ctx, caller, id);
}

/** Members that decide what a receiver gets, and where: with another value it may do what it did not do before. */
const renewing = [
  'url',
  'command_url',
  'signature',
  'secret',
  'command_secret',
  'headers',
  'body',
] as const satisfies (keyof WebhookChange)[];

/**
 * Writes a change that was parsed; whatever it leaves out stays. True when the receiver is another now, or may be
 * mended by it: then it is to be renewed (renew.ts) once the change is committed.
 */
export async function applyChange(
  ctx: Context,
  tx: Db,
  webhook: Webhook,
  given: WebhookChange,
): Promise<boolean> {
  const isReworded = given.headers !== undefined || given.body !== undefined;
  requireUsable({
    ...given,
    ...(isReworded
      ? {
          headers: given.headers ?? headersOf(ctx, webhook),
          body: given.body === undefined ? webhook.body : given.body,
        }
      : {}),
    signature: given.signature ?? webhook.signature,
    url: given.url ?? webhook.url,
    command_url: given.command_url === undefined ? webhook.commandUrl : given.command_url,
  });
  const filter = given.filter && (await requireFilter(tx, webhook.projectId, given.filter, webhook.filter));
  const now = ctx.now();
  if (given.ordered !== undefined && given.ordered !== webhook.ordered)
    await releaseTurns(tx, webhook.id, now);
  const isAnother = given.url !== undefined && given.url !== webhook.url;
  await updateWebhook(tx, webhook.id, {
    ...secretChange(ctx, webhook, given),
    moduleId: given.module_id,
    name: given.name,
    description: given.description,
    url: given.url,
    headersSealed: given.headers && ctx.seal.close(headersLabel, JSON.stringify(given.headers)),
    body: given.body,
    commandUrl: given.command_url,
    filter,
    problem: filter && !namesSame(filter, webhook.filter) ? null : undefined,
    metadata: given.metadata,
    ordered: given.ordered,
    enabled: given.enabled,
    ...(given.enabled || isAnother ? healthy : {}),
    ...(given.enabled ? { disabledReason: null } : {}),
    updatedAt: now,
  });
  return given.enabled === true || renewing.some((member) => given[member] !== undefined);
}

/** Removes a webhook with its deliveries and its log. */
export async function removeWebhook(ctx: Context, caller: Caller, id: string): Promise<void> {
  await makeChange(ctx, caller, async (tx, note) => {
    const { name } = await requireWebhook(tx, caller, id);
    await deleteWebhook(tx, id);
    await note('webhook.delete', { kind: 'webhook', id }, { name });
  });
}

export async function requireWebhook(db: Db, caller: Caller, id: string): Promise<Webhook> {
  const webhook = await selectWebhook(db, caller.projectId, id);
  if (!webhook) throw new Fault('not_found', 'there is no such webhook');
  return webhook;
}
