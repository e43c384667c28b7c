/** The table `webhooks`: subscriptions of others, their secrets and headers sealed. */
import { sql } from 'kysely';
import type { WebhookFilter } from '../domain/webhook/filter.ts';
import type { SignatureScheme } from '../domain/webhook/signature.ts';
import { type Change, defined, fromFlag, fromJson, isEmpty, toFlag, toJson } from './columns.ts';
import { deleteWebhookDeliveries } from './delivery.ts';
import { among } from './dialect.ts';
import { oldestFirst, type Page, type PageQuery } from './page.ts';
import type { Db, Row } from './schema.ts';
import { deleteWebhookLogs } from './webhook-log.ts';

export type OldSecret = { sealed: string; until: number };

export type Webhook = {
  id: string;
  projectId: number;
  /** The device that it belongs to and ends with; null for one of the project. */
  deviceId: number | null;
  moduleId: string | null;
  name: string;
  description: string;
  url: string;
  signature: SignatureScheme;
  secretSealed: string | null;
  /** Those that were replaced and are good for a while, newest first. */
  oldSecrets: readonly OldSecret[];
  /** They hold the receivers' keys. */
  headersSealed: string;
  body: string | null;
  commandUrl: string | null;
  commandSecretSealed: string | null;
  filter: WebhookFilter;
  metadata: Record<string, unknown>;
  ordered: boolean;
  enabled: boolean;
  disabledReason: string | null;
  /** Why nothing passes its filter any more. */
  problem: string | null;
  /** Since when every attempt has failed; null while the last one has not. */
  failingSince: number | null;
  /** How many those are, and on how many days of it there were any. */
  failures: number;
  failingDays: number;
  lastFailureAt: number | null;
  lastSuccessAt: number | null;
  createdAt: number;
  updatedAt: number;
};

const noDevice = 0;

function fromRow(row: Row<'webhooks'>): Webhook {
  return {
    id: row.id,
    projectId: row.project_id,
    deviceId: row.device_id === noDevice ? null : row.device_id,
    moduleId: row.module_id,
    name: row.name,
    description: row.description,
    url: row.url,
    signature: row.signature as SignatureScheme,
    secretSealed: row.secret_sealed,
    oldSecrets: oldSecretsOf(row),
    headersSealed: row.headers_sealed,
    body: row.body,
    commandUrl: row.command_url,
    commandSecretSealed: row.command_secret_sealed,
    filter: fromJson(row.filter_json),
    metadata: fromJson(row.metadata_json),
    ordered: fromFlag(row.ordered),
    enabled: fromFlag(row.enabled),
    disabledReason: row.disabled_reason,
    problem: row.problem,
    failingSince: row.failing_since,
    failures: row.failures ?? 0,
    failingDays: row.failing_days ?? 0,
    lastFailureAt: row.last_failure_at,
    lastSuccessAt: row.last_success_at,
    createdAt: row.created_at,
    updatedAt: row.updated_at,
  };
}

function oldSecretsOf(row: Row<'webhooks'>): readonly OldSecret[] {
  const { old_secrets_json: json, old_secret_sealed: sealed, old_secret_until: until } = row;
  if (json !== null) return fromJson(json);
  return sealed === null || until === null ? [] : [{ sealed, until }];
}

function toRow(webhook: Webhook): Row<'webhooks'>;
function toRow(change: Change<Webhook>): Change<Row<'webhooks'>>;
function toRow(webhook: Change<Webhook>): Change<Row<'webhooks'>> {
  return {
    id: webhook.id,
    project_id: webhook.projectId,
    device_id: webhook.deviceId === null ? noDevice : webhook.deviceId,
    module_id: webhook.moduleId,
    name: webhook.name,
    description: webhook.description,
    url: webhook.url,
    signature: webhook.signature,
    secret_sealed: webhook.secretSealed,
    old_secret_sealed: webhook.oldSecrets && null,
    old_secret_until: webhook.oldSecrets && null,
    old_secrets_json: toJson(webhook.oldSecrets),
    headers_sealed: webhook.headersSealed,
    body: webhook.body,
    command_url: webhook.commandUrl,
    command_secret_sealed: webhook.commandSecretSealed,
    filter_json: toJson(webhook.filter),
    metadata_json: toJson(webhook.metadata),
    ordered: toFlag(webhook.ordered),
    enabled: toFlag(webhook.enabled),
    disabled_reason: webhook.disabledReason,
    problem: webhook.problem,
    failing_since: webhook.failingSince,
    failures: webhook.failures,
    failing_days: webhook.failingDays,
    last_failure_at: webhook.lastFailureAt,
    last_success_at: webhook.lastSuccessAt,
    created_at: webhook.createdAt,
    updated_at: webhook.updatedAt,
  };
}

export async function insertWebhooks(db: Db, webhooks: readonly Webhook[]): Promise<void> {
  if (webhooks.length > 0)
    await db
      .insertInto('webhooks')
      .values(webhooks.map((webhook) => toRow(webhook)))
      .execute();
}

export async function selectWebhook(db: Db, projectId: number, id: string): Promise<Webhook | undefined> {
  const row = await selectWebhooksOf(db, projectId).where('id', '=', id).executeTakeFirst();
  return row && fromRow(row);
}

/** Every webhook of the project, by id: they are few, and all of them are asked about every event. */
export async function selectProjectWebhooks(db: Db, projectId: number): Promise<Webhook[]> {
  return (await selectWebhooksOf(db, projectId).orderBy('id').execute()).map(fromRow);
}

export type WebhookListFilter = {
  enabled?: boolean | undefined;
  /** A part of the name or the URL. */
  text?: string | undefined;
};

export async function selectWebhooks(
  db: Db,
  projectId: number,
  { enabled, text }: WebhookListFilter,
  page: PageQuery,
): Promise<Page<Webhook>> {
  let query = selectWebhooksOf(db, projectId);
  if (enabled !== undefined) query = query.where('enabled', '=', toFlag(enabled));
  if (text !== undefined)
    query = query.where((eb) =>
      eb.or([eb(sql<number>`instr(name, ${text})`, '>', 0), eb(sql<number>`instr(url, ${text})`, '>', 0)]),
    );
  return oldestFirst(query, page, fromRow);
}

function selectWebhooksOf(db: Db, projectId: number) {
  return db.selectFrom('webhooks').selectAll().where('project_id', '=', projectId);
}

/** These webhooks, as the transaction sees them. */
export async function selectWebhooksById(tx: Db, ids: readonly string[]): Promise<Webhook[]> {
  if (ids.length === 0) return [];
  const rows = await tx
    .selectFrom('webhooks')
    .selectAll()
    .where('id', 'in', among(tx, ids))
    .orderBy('id')
    .execute();
  return rows.map(fromRow);
}

/** The ids of the webhooks that belong to a device alone. */
export async function selectDeviceWebhookIds(db: Db, projectId: number, deviceId: number): Promise<string[]> {
  const rows = await db
    .selectFrom('webhooks')
    .select('id')
    .where('project_id', '=', projectId)
    .where('device_id', '=', deviceId)
    .execute();
  return rows.map((row) => row.id);
}

/** The ids of webhooks that are enabled and have a delivery due: one look into the index for each. */
export async function selectDueWebhookIds(db: Db, now: number): Promise<string[]> {
  const rows = await db
    .selectFrom('webhooks')
    .select('webhooks.id')
    .where('webhooks.enabled', '=', 1)
    .where((eb) =>
      eb.exists(
        eb
          .selectFrom('deliveries')
          .select('deliveries.id')
          .whereRef('deliveries.webhook_id', '=', 'webhooks.id')
          .where('deliveries.status', '=', 'pending')
          .where('deliveries.next_at', '<=', now),
      ),
    )
    .execute();
  return rows.map((row) => row.id);
}

export async function updateWebhook(db: Db, id: string, change: Change<Webhook>): Promise<void> {
  if (isEmpty(change)) return;
  await db
    .updateTable('webhooks')
    .set(defined(toRow(change)))
    .where('id', '=', id)
    .execute();
}

/** False when its problem is another than `before` by now. */
export async function updateWebhookProblem(
  db: Db,
  id: string,
  { before, problem }: { before: string | null; problem: string | null },
): Promise<boolean> {
  const changed = await db
    .updateTable('webhooks')
    .set({ problem })
    .where('id', '=', id)
    .where('problem', before === null ? 'is' : '=', before)
    .executeTakeFirst();
  return changed.numUpdatedRows > 0n;
}

/**
 * Lets one change of the turns of an ordered webhook at a time pass, until the transaction ends. False when the
 * webhook is gone.
 */
export async function holdWebhook(tx: Db, id: string): Promise<boolean> {
  const held = await tx
    .updateTable('webhooks')
    .set((eb) => ({ name: eb.ref('name') }))
    .where('id', '=', id)
    .executeTakeFirst();
  return held.numUpdatedRows > 0n;
}

/** Deletes a webhook with its deliveries and its log. */
export async function deleteWebhook(db: Db, id: string): Promise<void> {
  await deleteWebhookDeliveries(db, id);
  await deleteWebhookLogs(db, id);
  await db.deleteFrom('webhooks').where('id', '=', id).execute();
}

/** Deletes the webhooks of a project with their deliveries and logs. */
export async function deleteProjectWebhooks(db: Db, projectId: number): Promise<void> {
  const rows = await db.selectFrom('webhooks').select('id').where('project_id', '=', projectId).execute();
  for (const { id } of rows) await deleteWebhook(db, id);
}
