import { chunksOf } from './dialect.ts';
import { type Page, type PageQuery, pageOf } from './page.ts';
import type { Db, NewRow, Row } from './schema.ts';

/** An entry has up to 16 KiB of answer, so that few of them fill a packet. */
const rowsPerInsert = 100;

export async function insertWebhookLogs(db: Db, rows: readonly NewRow<'webhook_logs'>[]): Promise<void> {
  for (const chunk of chunksOf(db, rows)) {
    for (let from = 0; from < chunk.length; from += rowsPerInsert) {
      await db
        .insertInto('webhook_logs')
        .values(chunk.slice(from, from + rowsPerInsert))
        .execute();
    }
  }
}

/** Newest first. */
export async function listWebhookLogs(
  db: Db,
  webhookId: string,
  filter: { levels?: readonly string[] | undefined },
  page: PageQuery,
): Promise<Page<Row<'webhook_logs'>>> {
  let query = db.selectFrom('webhook_logs').selectAll().where('webhook_id', '=', webhookId);
  if (filter.levels !== undefined) query = query.where('level', 'in', filter.levels);
  if (page.cursor) query = query.where('id', '<', page.cursor);
  const rows = await query
    .orderBy('id', 'desc')
    .limit(page.limit + 1)
    .execute();
  return pageOf(rows, page.limit, (row) => row.id);
}

/** Every entry about one delivery, oldest first. */
export async function listDeliveryLogs(db: Db, deliveryId: string): Promise<Row<'webhook_logs'>[]> {
  return db
    .selectFrom('webhook_logs')
    .selectAll()
    .where('delivery_id', '=', deliveryId)
    .orderBy('id')
    .execute();
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
