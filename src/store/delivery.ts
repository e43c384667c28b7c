import { among, chunksOf } from './dialect.ts';
import { type Page, type PageQuery, pageOf } from './page.ts';
import type { Db, NewRow, Row } from './schema.ts';

/** Tries in vain stay `pending`; `waiting` is for one before it, of the same device, of an ordered webhook. */
export type DeliveryStatus =
  | 'waiting'
  | 'pending'
  | 'sending'
  | 'delivered'
  | 'exhausted'
  | 'failed'
  | 'canceled';

export async function insertDeliveries(db: Db, rows: readonly NewRow<'deliveries'>[]): Promise<void> {
  for (const chunk of chunksOf(db, rows)) await db.insertInto('deliveries').values(chunk).execute();
}

/** Webhooks that are enabled and have a delivery due: one look into the index for each. */
export async function listDueWebhooks(db: Db, now: number): Promise<string[]> {
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

/**
 * Claims up to `limit` due deliveries of a webhook for a node: they are its own until it settles them or is found
 * dead. Two plain statements; what another node took in between is left out.
 */
export async function claimDeliveries(
  db: Db,
  claim: { webhookId: string; nodeId: string; now: number; limit: number },
): Promise<Row<'deliveries'>[]> {
  const { webhookId, nodeId, now, limit } = claim;
  const due = await db
    .selectFrom('deliveries')
    .selectAll()
    .where('webhook_id', '=', webhookId)
    .where('status', '=', 'pending')
    .where('next_at', '<=', now)
    .orderBy('next_at')
    .limit(limit)
    .execute();
  if (due.length === 0) return [];
  const ids = due.map((row) => row.id);
  const claimed = await db
    .updateTable('deliveries')
    .set({ status: 'sending', node_id: nodeId })
    .where('id', 'in', among(db, ids))
    .where('status', '=', 'pending')
    .executeTakeFirst();
  if (Number(claimed.numUpdatedRows) === due.length) return due;
  return db
    .selectFrom('deliveries')
    .selectAll()
    .where('id', 'in', among(db, ids))
    .where('status', '=', 'sending')
    .where('node_id', '=', nodeId)
    .execute();
}

/** Gives back what a node has claimed and not settled: everything, or of these ids alone. */
export async function releaseDeliveries(
  db: Db,
  nodeId: string,
  now: number,
  ids?: readonly string[],
): Promise<void> {
  if (ids?.length === 0) return;
  const release = released(db, now).where('node_id', '=', nodeId);
  if (ids === undefined) await release.where('webhook_id', 'in', await everyWebhook(db)).execute();
  else await release.where('id', 'in', among(db, ids)).execute();
}

/** Gives back what is claimed by nodes that nobody knows of. */
export async function releaseOrphans(db: Db, now: number): Promise<void> {
  await released(db, now)
    .where('webhook_id', 'in', await everyWebhook(db))
    .where('node_id', 'not in', db.selectFrom('nodes').select('nodes.id'))
    .execute();
}

const released = (db: Db, now: number) =>
  db
    .updateTable('deliveries')
    .set({ status: 'pending', node_id: null, next_at: now })
    .where('status', '=', 'sending');

/** The index of what is unfinished begins with the webhook: naming all of them makes it of use. */
async function everyWebhook(db: Db) {
  const rows = await db.selectFrom('webhooks').select('id').execute();
  return among(
    db,
    rows.map((row) => row.id),
  );
}

/** What a node has claimed and not settled. */
export async function listClaimed(db: Db, nodeId: string): Promise<string[]> {
  const rows = await db
    .selectFrom('deliveries')
    .select('deliveries.id')
    .where('webhook_id', 'in', await everyWebhook(db))
    .where('status', '=', 'sending')
    .where('node_id', '=', nodeId)
    .execute();
  return rows.map((row) => row.id);
}

export type Settlement = Pick<
  Row<'deliveries'>,
  'id' | 'status' | 'attempts' | 'next_at' | 'last_status' | 'last_error' | 'finished_at'
>;

/**
 * Writes what became of deliveries. Those of a node are written only while they are still its own: one that a
 * person canceled meanwhile stays canceled. Successes of a first attempt share one statement.
 */
export async function settleDeliveries(
  db: Db,
  nodeId: string,
  settlements: readonly Settlement[],
): Promise<void> {
  const alike = Map.groupBy(settlements, ({ id: _id, ...same }) => JSON.stringify(same));
  for (const group of alike.values()) {
    const [first] = group;
    if (!first) continue;
    const { id: _id, ...change } = first;
    const isFinished = first.finished_at !== null;
    await db
      .updateTable('deliveries')
      .set({ ...change, node_id: null, ...(isFinished ? { order_key: null } : {}) })
      .where(
        'id',
        'in',
        among(
          db,
          group.map((settlement) => settlement.id),
        ),
      )
      .where('status', '=', 'sending')
      .where('node_id', '=', nodeId)
      .execute();
  }
}

/** Is a delivery of this order unfinished? Call it with the webhook held. */
export async function hasUnfinished(tx: Db, orderKey: string): Promise<boolean> {
  const row = await tx
    .selectFrom('deliveries')
    .select('id')
    .where('order_key', '=', orderKey)
    .limit(1)
    .executeTakeFirst();
  return row !== undefined;
}

/** Gives the turn to the oldest unfinished delivery of the order. Call it with the webhook held. */
export async function passTurn(tx: Db, orderKey: string, now: number): Promise<void> {
  const next = await tx
    .selectFrom('deliveries')
    .select(['id', 'status'])
    .where('order_key', '=', orderKey)
    .orderBy('id')
    .limit(1)
    .executeTakeFirst();
  if (next?.status !== 'waiting') return;
  await tx
    .updateTable('deliveries')
    .set({ status: 'pending', next_at: now })
    .where('id', '=', next.id)
    .execute();
}

/** Puts all deliveries of a webhook in or out of turns, when `ordered` was changed. */
export async function releaseTurns(tx: Db, webhookId: string, now: number): Promise<void> {
  await tx
    .updateTable('deliveries')
    .set({ status: 'pending', next_at: now })
    .where('webhook_id', '=', webhookId)
    .where('status', '=', 'waiting')
    .execute();
  await tx
    .updateTable('deliveries')
    .set({ order_key: null })
    .where('webhook_id', '=', webhookId)
    .where('status', 'in', ['pending', 'sending'])
    .execute();
}

export type DeliveryFilter = {
  webhook_id?: string;
  status?: string | undefined;
  event_id?: string | undefined;
};

/** Newest first, with the event each is of. */
export async function listDeliveries(
  db: Db,
  projectId: number,
  filter: DeliveryFilter,
  page: PageQuery,
): Promise<Page<DeliveryRow>> {
  let query = selectDeliveries(db).where('deliveries.project_id', '=', projectId);
  if (filter.webhook_id !== undefined) query = query.where('deliveries.webhook_id', '=', filter.webhook_id);
  if (filter.event_id !== undefined) query = query.where('deliveries.event_id', '=', filter.event_id);
  if (filter.status !== undefined) query = query.where('deliveries.status', '=', filter.status);
  if (page.cursor) query = query.where('deliveries.id', '<', page.cursor);
  const rows = await query
    .orderBy('deliveries.id', 'desc')
    .limit(page.limit + 1)
    .execute();
  return pageOf(rows, page.limit, (row) => row.id);
}

export type DeliveryRow = Row<'deliveries'> & {
  event_kind: string | null;
  event_type: string | null;
  event_label: string | null;
  event_device_id: number | null;
};

function selectDeliveries(db: Db) {
  return db
    .selectFrom('deliveries')
    .leftJoin('events', 'events.id', 'deliveries.event_id')
    .selectAll('deliveries')
    .select([
      'events.kind as event_kind',
      'events.type as event_type',
      'events.label as event_label',
      'events.device_id as event_device_id',
    ]);
}

export async function findDelivery(db: Db, projectId: number, id: string): Promise<DeliveryRow | undefined> {
  return selectDeliveries(db)
    .where('deliveries.project_id', '=', projectId)
    .where('deliveries.id', '=', id)
    .executeTakeFirst();
}

/** The deliveries of these events to one webhook. */
export async function findDeliveriesOf(
  db: Db,
  webhookId: string,
  eventIds: readonly string[],
): Promise<Row<'deliveries'>[]> {
  if (eventIds.length === 0) return [];
  return db
    .selectFrom('deliveries')
    .selectAll()
    .where('webhook_id', '=', webhookId)
    .where('event_id', 'in', among(db, eventIds))
    .execute();
}

export async function updateDelivery(db: Db, id: string, change: Partial<Row<'deliveries'>>): Promise<void> {
  await db.updateTable('deliveries').set(change).where('id', '=', id).execute();
}

/** How many of a webhook's deliveries are in each status. */
export async function countDeliveries(db: Db, webhookId: string): Promise<Map<string, number>> {
  const rows = await db
    .selectFrom('deliveries')
    .select(['status', (eb) => eb.fn.countAll<number>().as('count')])
    .where('webhook_id', '=', webhookId)
    .groupBy('status')
    .execute();
  return new Map(rows.map((row) => [row.status, Number(row.count)]));
}

export async function deleteWebhookDeliveries(db: Db, webhookId: string): Promise<void> {
  await db.deleteFrom('deliveries').where('webhook_id', '=', webhookId).execute();
}

/** Deletes up to `limit` deliveries whose id is below `id`, oldest first; the unfinished only when told so. */
export async function deleteDeliveriesBelow(
  db: Db,
  id: string,
  limit: number,
  which: 'finished' | 'all',
): Promise<number> {
  let query = db.selectFrom('deliveries').select('id').where('id', '<', id);
  if (which === 'finished') query = query.where('finished_at', 'is not', null);
  const old = await query.orderBy('id').limit(limit).execute();
  const ids = old.map((row) => row.id);
  if (ids.length > 0) await db.deleteFrom('deliveries').where('id', 'in', ids).execute();
  return old.length;
}
