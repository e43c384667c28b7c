/**
 * A webhook is a subscription of somebody outside: which events, where to, signed how, in which words. The secret is
 * made here unless one is given, and can be shown again to those who manage webhooks (secret.ts).
 */
import { z } from 'zod';
import type { Change } from '../../store/columns.ts';
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
import { Fault } from '../fault.ts';
import { newId } from '../id.ts';
import { flagSchema, instant, pageSchema, parseInput } from '../input.ts';
import {
  changeSchema,
  requireFilter,
  requireUsable,
  type WebhookChange,
  type WebhookInput,
  webhookSchema,
} from './input.ts';
import { commandSecretLabel, headersLabel, headersOf, secretLabel } from './ready-webhook.ts';
import { makeWebhookSecret, type SignatureScheme, secretProblem } from './signature.ts';

const webhooksPerProjectMax = 1_000;

function viewWebhook(ctx: Context, webhook: Webhook) {
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
    filter: webhook.filter,
    ordered: webhook.ordered,
    enabled: webhook.enabled,
    disabled_reason: webhook.disabledReason,
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
  return { ...viewWebhook(ctx, made), secret };
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
  await makeChange(ctx, caller, async (tx, note) => {
    await holdInventory(tx, caller);
    const known = await selectProjectWebhooks(tx, caller.projectId);
    if (known.length + webhooks.length > webhooksPerProjectMax)
      throw new Fault('conflict', `a project has ${webhooksPerProjectMax} webhooks at most`);
    for (const { filter } of given) await requireFilter(tx, caller.projectId, filter);
    await insertWebhooks(tx, webhooks);
    for (const { id, name, url } of webhooks)
      await note('webhook.create', { kind: 'webhook', id }, { name, url });
  });
  return webhooks;
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
    oldSecretSealed: null,
    oldSecretUntil: null,
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
    failingSince: null,
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
  return { ...page, items: page.items.map((webhook) => viewWebhook(ctx, webhook)) };
}

/** One webhook, with how many of its deliveries are in which status. */
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
  return {
    ...viewWebhook(ctx, webhook),
    deliveries: { pending: waiting + pending + sending, delivered, exhausted, failed, canceled },
  };
}

/** Deliveries that are pending go out as the webhook is then; switching it on again lets those go that waited. */
export async function changeWebhook(ctx: Context, caller: Caller, id: string, input: unknown) {
  const given = parseInput(changeSchema, input);
  await makeChange(ctx, caller, async (tx, note) => {
    const webhook = await requireWebhook(tx, caller, id);
    await applyChange(ctx, tx, webhook, given);
    await note('webhook.change', { kind: 'webhook', id }, { changed: Object.keys(given) });
  });
  ctx.live.outbound.wake([id]);
  return getWebhook(ctx, caller, id);
}

/** Writes a change that was parsed; whatever it leaves out stays. */
export async function applyChange(
  ctx: Context,
  tx: Db,
  webhook: Webhook,
  given: WebhookChange,
): Promise<void> {
  requireUsable({
    ...given,
    signature: given.signature ?? webhook.signature,
    url: given.url ?? webhook.url,
    command_url: given.command_url === undefined ? webhook.commandUrl : given.command_url,
  });
  if (given.filter) await requireFilter(tx, webhook.projectId, given.filter, webhook.filter);
  const now = ctx.now();
  if (given.ordered !== undefined && given.ordered !== webhook.ordered)
    await releaseTurns(tx, webhook.id, now);
  const close = (label: string, text: string | undefined) =>
    text === undefined ? undefined : ctx.seal.close(label, text);
  const scheme = schemeChange(ctx, webhook, given.signature ?? webhook.signature);
  await updateWebhook(tx, webhook.id, {
    ...scheme,
    moduleId: given.module_id,
    name: given.name,
    description: given.description,
    url: given.url,
    headersSealed: close(headersLabel, given.headers && JSON.stringify(given.headers)),
    body: given.body,
    commandUrl: given.command_url,
    filter: given.filter,
    metadata: given.metadata,
    secretSealed: close(secretLabel, given.secret) ?? scheme.secretSealed,
    commandSecretSealed: close(commandSecretLabel, given.command_secret) ?? scheme.commandSecretSealed,
    ordered: given.ordered,
    enabled: given.enabled,
    ...(given.enabled ? { disabledReason: null, failingSince: null } : {}),
    updatedAt: now,
  });
}

/** Another scheme wants secrets of its own form: those that were there stay where they fit. */
function schemeChange(ctx: Context, webhook: Webhook, scheme: SignatureScheme): Change<Webhook> {
  if (scheme === webhook.signature) return {};
  const { secretSealed, commandSecretSealed: sealed } = webhook;
  const known = secretSealed === null ? null : ctx.seal.open(secretLabel, secretSealed);
  const command = sealed === null ? null : ctx.seal.open(commandSecretLabel, sealed);
  const keepsCommand = scheme !== 'none' && command !== null && secretProblem(scheme, command) === null;
  const fits = scheme !== 'none' && known !== null && secretProblem(scheme, known) === null;
  const secret = scheme === 'none' ? null : fits ? known : makeWebhookSecret(scheme);
  return {
    signature: scheme,
    secretSealed: secret === null ? null : ctx.seal.close(secretLabel, secret),
    oldSecretSealed: null,
    oldSecretUntil: null,
    commandSecretSealed: keepsCommand ? sealed : null,
  };
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
