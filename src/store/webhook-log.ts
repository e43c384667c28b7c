/** The table `webhook_logs`: a line for every attempt and every test. */
import type { LogLevel } from '../domain/delivery/attempt.ts';
import { chunksOf } from './dialect.ts';
import { newestFirst, type Page, type PageQuery } from './page.ts';
import type { Db, Row } from './schema.ts';

/** An entry has up to 16 KiB of answer, so that few of them fill a packet. */
const rowsPerInsert = 100;

export type WebhookLog = {
  id: string;
  projectId: number;
  webhookId: string;
  /** Null for a test. */
  deliveryId: string | null;
  level: LogLevel;
  message: string;
  attempt: number | null;
  status: number | null;
  durationMs: number | null;
  answer: string | null;
  at: number;
};

function fromRow(row: Row<'webhook_logs'>): WebhookLog {
  return {
    id: row.id,
    projectId: row.project_id,
    webhookId: row.webhook_id,
    deliveryId: row.delivery_id,
    level: row.level as LogLevel,
    message: row.message,
    attempt: row.attempt,
    status: row.status,
    durationMs: row.duration_ms,
    answer: row.answer,
    at: row.at,
  };
}

function toRow(log: WebhookLog): Row<'webhook_logs'> {
  return {
    id: log.id,
    project_id: log.projectId,
    webhook_id: log.webhookId,
    delivery_id: log.deliveryId,
    level: log.level,
    message: log.message,
    attempt: log.attempt,
    status: log.status,
    duration_ms: log.durationMs,
    answer: log.answer,
    at: log.at,
  };
}

export async function insertWebhookLogs(db: Db, logs: readonly WebhookLog[]): Promise<void> {
  for (const chunk of chunksOf(db, logs.map(toRow))) {
    for (let from = 0; from < chunk.length; from += rowsPerInsert) {
      await db
        .insertInto('webhook_logs')
        .values(chunk.slice(from, from + rowsPerInsert))
        .execute();
    }
  }
}

/** Newest first. */
export async function selectWebhookLogs(
  db: Db,
  webhookId: string,
  filter: { levels?: readonly LogLevel[] | undefined },
  page: PageQuery,
): Promise<Page<WebhookLog>> {
  let query = db.selectFrom('webhook_logs').selectAll().where('webhook_id', '=', webhookId);
  if (filter.levels !== undefined) query = query.where('level', 'in', filter.levels);
  return newestFirst(query, page, fromRow);
}

/** Every entry about one delivery, oldest first. */
export async function selectDeliveryLogs(db: Db, deliveryId: string): Promise<WebhookLog[]> {
  const rows = await db
    .selectFrom('webhook_logs')
    .selectAll()
    .where('delivery_id', '=', deliveryId)
    .orderBy('id')
    .execute();
  return rows.map(fromRow);
}

export async function deleteWebhookLogs(db: Db, webhookId: string): Promise<void> {
  await db.deleteFrom('webhook_logs').where('webhook_id', '=', webhookId).execute();
}

/** Deletes up to `limit` entries whose id is below `id`, oldest first. */
export async function deleteWebhookLogsBelow(db: Db, id: string, limit: number): Promise<number> {
  const old = await db
    .selectFrom('webhook_logs')
    .select('id')
    .where('id', '<', id)
    .orderBy('id')
    .limit(limit)
    .execute();
  const last = old.at(-1);
  if (last) await db.deleteFrom('webhook_logs').where('id', '<=', last.id).execute();
  return old.length;
}
