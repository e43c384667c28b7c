/**
 * A webhook is a subscription of somebody outside: which events, where to, signed how, in which words. The secret is
 * made here unless one is given, and can be shown again to those who manage webhooks (webhook-secret.ts).
 */
import { z } from 'zod';
import { fromJson, toJson } from '../../store/columns.ts';
import { countDeliveries, releaseTurns } from '../../store/delivery.ts';
import { findOwned } from '../../store/owned.ts';
import { pageQuery } from '../../store/page.ts';
import type { Db, Row } from '../../store/schema.ts';
import {
  deleteWebhook as deleteWebhookRow,
  insertWebhooks,
  listWebhooks as listWebhookRows,
  listWebhooksOf,
  updateWebhook,
} from '../../store/webhook.ts';
import { holdInventory, makeChange } from '../access/audit.ts';
import type { Caller } from '../access/caller.ts';
import type { Context } from '../context.ts';
import { Fault } from '../fault.ts';
import { newId } from '../id.ts';
import { flagSchema, instant, pageSchema, parseInput } from '../input.ts';
import type { WebhookFilter } from './filter.ts';
import {
  changeSchema,
  requireFilter,
  requireUsable,
  type WebhookChange,
  type WebhookInput,
  webhookSchema,
} from './input.ts';
import { commandSecretLabel, headersLabel, secretLabel } from './ready-webhook.ts';
import { makeWebhookSecret, type SignatureScheme, secretProblem } from './signature.ts';

const webhooksPerProjectMax = 1_000;

function viewWebhook(ctx: Context, row: Row<'webhooks'>) {
  return {
    id: row.id,
    module_id: row.module_id,
    device_id: row.device_id === 0 ? null : row.device_id,
    name: row.name,
    description: row.description,
    url: row.url,
    signature: row.signature as SignatureScheme,
    headers: headersOf(ctx, row),
    body: row.body,
    command_url: row.command_url,
    filter: fromJson<WebhookFilter>(row.filter_json),
    ordered: row.ordered === 1,
    enabled: row.enabled === 1,
    disabled_reason: row.disabled_reason,
    failing_since: instant(row.failing_since),
    last_success_at: instant(row.last_success_at),
    metadata: fromJson<Record<string, unknown>>(row.metadata_json),
    created_at: instant(row.created_at),
    updated_at: instant(row.updated_at),
  };
}

export function headersOf(ctx: Context, row: Row<'webhooks'>): Record<string, string> {
  return fromJson<Record<string, string>>(ctx.seal.open(headersLabel, row.headers_sealed));
}

/** Makes a webhook. The answer holds its secret, as `GET …/secret` does later. */
export async function createWebhook(ctx: Context, caller: Caller, input: unknown) {
  const given = parseInput(webhookSchema, input);
  const [made] = await addWebhooks(ctx, caller, 0, [given]);
  if (!made) throw new Error('a webhook was added and is not there');
  const secret = made.secret_sealed === null ? null : ctx.seal.open(secretLabel, made.secret_sealed);
  return { ...viewWebhook(ctx, made), secret };
}

/** Makes all the webhooks or none. `deviceId` is 0, or the device they belong to and end with. */
export async function addWebhooks(
  ctx: Context,
  caller: Caller,
  deviceId: number,
  given: readonly WebhookInput[],
): Promise<Row<'webhooks'>[]> {
  for (const webhook of given) requireUsable(webhook);
  const now = ctx.now();
  const rows = given.map((webhook) => newRow(ctx, caller, deviceId, webhook, now));
  await makeChange(ctx, caller, async (tx, note) => {
    await holdInventory(tx, caller);
    const known = await listWebhooksOf(tx, caller.projectId);
    if (known.length + rows.length > webhooksPerProjectMax)
      throw new Fault('conflict', `a project has ${webhooksPerProjectMax} webhooks at most`);
    for (const { filter } of given) await requireFilter(tx, caller.projectId, filter);
    await insertWebhooks(tx, rows);
    for (const row of rows)
      await note('webhook.create', { kind: 'webhook', id: row.id }, { name: row.name, url: row.url });
  });
  return rows;
}

function newRow(
  ctx: Context,
  caller: Caller,
  deviceId: number,
  given: WebhookInput,
  now: number,
): Row<'webhooks'> {
  const secret = given.secret ?? (given.signature === 'none' ? null : makeWebhookSecret(given.signature));
  return {
    id: newId(now),
    project_id: caller.projectId,
    device_id: deviceId,
    module_id: given.module_id ?? null,
    name: given.name,
    description: given.description,
    url: given.url,
    signature: given.signature,
    secret_sealed: secret === null ? null : ctx.seal.close(secretLabel, secret),
    old_secret_sealed: null,
    old_secret_until: null,
    headers_sealed: ctx.seal.close(headersLabel, toJson(given.headers)),
    body: given.body ?? null,
    command_url: given.command_url ?? null,
    command_secret_sealed:
      given.command_secret === undefined ? null : ctx.seal.close(commandSecretLabel, given.command_secret),
    filter_json: toJson(given.filter),
    metadata_json: toJson(given.metadata),
    ordered: given.ordered ? 1 : 0,
    enabled: given.enabled ? 1 : 0,
    disabled_reason: null,
    failing_since: null,
    last_success_at: null,
    created_at: now,
    updated_at: now,
  };
}

const listSchema = pageSchema.extend({
  q: z.string().optional(),
  enabled: flagSchema.optional(),
});

export async function listWebhooks(ctx: Context, caller: Caller, input: unknown) {
  const { q, enabled, ...paging } = parseInput(listSchema, input);
  const page = await listWebhookRows(ctx.db, caller.projectId, { text: q, enabled }, pageQuery(paging));
  return { ...page, items: page.items.map((row) => viewWebhook(ctx, row)) };
}

/** One webhook, with how many of its deliveries are in which status. */
export async function getWebhook(ctx: Context, caller: Caller, id: string) {
  const row = await requireWebhook(ctx.db, caller, id);
  const counts = await countDeliveries(ctx.db, id);
  const of = (...statuses: string[]) => statuses.reduce((sum, status) => sum + (counts.get(status) ?? 0), 0);
  return {
    ...viewWebhook(ctx, row),
    deliveries: {
      pending: of('waiting', 'pending', 'sending'),
      delivered: of('delivered'),
      exhausted: of('exhausted'),
      failed: of('failed'),
      canceled: of('canceled'),
    },
  };
}

/** Deliveries that are pending go out as the webhook is then; switching it on again lets those go that waited. */
export async function changeWebhook(ctx: Context, caller: Caller, id: string, input: unknown) {
  const given = parseInput(changeSchema, input);
  await makeChange(ctx, caller, async (tx, note) => {
    const row = await requireWebhook(tx, caller, id);
    await applyChange(ctx, tx, row, given);
    await note('webhook.change', { kind: 'webhook', id }, { changed: Object.keys(given) });
  });
  ctx.live.outbound.wake([id]);
  return getWebhook(ctx, caller, id);
}

/** Writes a change that was parsed; whatever it leaves out stays. */
export async function applyChange(
  ctx: Context,
  tx: Db,
  row: Row<'webhooks'>,
  given: WebhookChange,
): Promise<void> {
  const signature = given.signature ?? (row.signature as SignatureScheme);
  requireUsable({
    ...given,
    signature,
    url: given.url ?? row.url,
    command_url: given.command_url === undefined ? row.command_url : given.command_url,
  });
  if (given.filter)
    await requireFilter(tx, row.project_id, given.filter, fromJson<WebhookFilter>(row.filter_json));
  const now = ctx.now();
  const change: Partial<Row<'webhooks'>> = { updated_at: now };
  if (given.module_id !== undefined) change.module_id = given.module_id;
  if (given.name !== undefined) change.name = given.name;
  if (given.description !== undefined) change.description = given.description;
  if (given.url !== undefined) change.url = given.url;
  if (given.headers !== undefined)
    change.headers_sealed = ctx.seal.close(headersLabel, toJson(given.headers));
  if (given.body !== undefined) change.body = given.body;
  if (given.command_url !== undefined) change.command_url = given.command_url;
  if (given.filter !== undefined) change.filter_json = toJson(given.filter);
  if (given.metadata !== undefined) change.metadata_json = toJson(given.metadata);
  if (given.signature !== undefined) Object.assign(change, schemeColumns(ctx, row, given.signature));
  if (given.secret !== undefined) change.secret_sealed = ctx.seal.close(secretLabel, given.secret);
  if (given.command_secret !== undefined)
    change.command_secret_sealed = ctx.seal.close(commandSecretLabel, given.command_secret);
  if (given.ordered !== undefined && given.ordered !== (row.ordered === 1)) {
    change.ordered = given.ordered ? 1 : 0;
    await releaseTurns(tx, row.id, now);
  }
  if (given.enabled !== undefined) {
    change.enabled = given.enabled ? 1 : 0;
    if (given.enabled) Object.assign(change, { disabled_reason: null, failing_since: null });
  }
  await updateWebhook(tx, row.id, change);
}

/** Another scheme wants secrets of its own form: those that were there stay where they fit. */
function schemeColumns(
  ctx: Context,
  row: Row<'webhooks'>,
  scheme: SignatureScheme,
): Partial<Row<'webhooks'>> {
  if (scheme === row.signature) return {};
  const known = row.secret_sealed === null ? null : ctx.seal.open(secretLabel, row.secret_sealed);
  const sealed = row.command_secret_sealed;
  const command = sealed === null ? null : ctx.seal.open(commandSecretLabel, sealed);
  const keepsCommand = scheme !== 'none' && command !== null && secretProblem(scheme, command) === null;
  const fits = scheme !== 'none' && known !== null && secretProblem(scheme, known) === null;
  const secret = scheme === 'none' ? null : fits ? known : makeWebhookSecret(scheme);
  return {
    signature: scheme,
    secret_sealed: secret === null ? null : ctx.seal.close(secretLabel, secret),
    old_secret_sealed: null,
    old_secret_until: null,
    command_secret_sealed: keepsCommand ? sealed : null,
  };
}

/** Deletes a webhook with its deliveries and its log. */
export async function deleteWebhook(ctx: Context, caller: Caller, id: string): Promise<void> {
  await makeChange(ctx, caller, async (tx, note) => {
    const row = await requireWebhook(tx, caller, id);
    await deleteWebhookRow(tx, id);
    await note('webhook.delete', { kind: 'webhook', id }, { name: row.name });
  });
}

export async function requireWebhook(db: Db, caller: Caller, id: string): Promise<Row<'webhooks'>> {
  const row = await findOwned(db, 'webhooks', caller.projectId, id);
  if (!row) throw new Fault('not_found', 'there is no such webhook');
  return row;
}
