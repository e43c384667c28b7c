import { sql } from 'kysely';
import { deleteWebhookDeliveries } from './delivery.ts';
import { type Page, type PageQuery, pageOf } from './page.ts';
import type { Db, NewRow, Row } from './schema.ts';
import { deleteWebhookLogs } from './webhook-log.ts';

export async function insertWebhooks(db: Db, rows: NewRow<'webhooks'>[]): Promise<void> {
  if (rows.length > 0) await db.insertInto('webhooks').values(rows).execute();
}

/** Every webhook of the project, by id: they are few, and all of them are asked about every event. */
export async function listWebhooksOf(db: Db, projectId: number): Promise<Row<'webhooks'>[]> {
  return db.selectFrom('webhooks').selectAll().where('project_id', '=', projectId).orderBy('id').execute();
}

export type WebhookListFilter = {
  enabled?: boolean | undefined;
  /** A part of the name or the URL. */
  text?: string | undefined;
  device_id?: number | undefined;
};

export async function listWebhooks(
  db: Db,
  projectId: number,
  filter: WebhookListFilter,
  page: PageQuery,
): Promise<Page<Row<'webhooks'>>> {
  let query = db.selectFrom('webhooks').selectAll().where('project_id', '=', projectId);
  if (filter.enabled !== undefined) query = query.where('enabled', '=', filter.enabled ? 1 : 0);
  if (filter.device_id !== undefined) query = query.where('device_id', '=', filter.device_id);
  if (filter.text !== undefined) {
    const { text } = filter;
    query = query.where((eb) =>
      eb.or([eb(sql<number>`instr(name, ${text})`, '>', 0), eb(sql<number>`instr(url, ${text})`, '>', 0)]),
    );
  }
  if (page.cursor) query = query.where('id', '>', page.cursor);
  const rows = await query
    .orderBy('id')
    .limit(page.limit + 1)
    .execute();
  return pageOf(rows, page.limit, (row) => row.id);
}

export async function updateWebhook(db: Db, id: string, change: Partial<Row<'webhooks'>>): Promise<void> {
  await db.updateTable('webhooks').set(change).where('id', '=', id).execute();
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

/** The ids of the webhooks that belong to a device alone. */
export async function listDeviceWebhooks(db: Db, projectId: number, deviceId: number): Promise<string[]> {
  const rows = await db
    .selectFrom('webhooks')
    .select('id')
    .where('project_id', '=', projectId)
    .where('device_id', '=', deviceId)
    .execute();
  return rows.map((row) => row.id);
}

export async function deleteProjectWebhooks(db: Db, projectId: number): Promise<void> {
  await db.deleteFrom('webhooks').where('project_id', '=', projectId).execute();
}
