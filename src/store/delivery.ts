/** The table `deliveries`: one event for one webhook, and whose turn it is. */
import type { DeliveryStatus } from '../domain/delivery/attempt.ts';
import { type Change, defined, isEmpty } from './columns.ts';
import { among, chunksOf } from './dialect.ts';
import type { Db, Row } from './schema.ts';

export type Delivery = {
  id: string;
  projectId: number;
  webhookId: string;
  eventId: string;
  status: DeliveryStatus;
  attempts: number;
  /** When a pending one is due. */
  nextAt: number;
  /** The node that is sending it. */
  nodeId: string | null;
  /** Of which order it is, while it is unfinished and has to keep its turn. */
  orderKey: string | null;
  lastStatus: number | null;
  lastError: string | null;
  createdAt: number;
  finishedAt: number | null;
};

/** For the files of the store. */
export function deliveryOf(row: Row<'deliveries'>): Delivery {
  return {
    id: row.id,
    projectId: row.project_id,
    webhookId: row.webhook_id,
    eventId: row.event_id,
    status: row.status as DeliveryStatus,
    attempts: row.attempts,
    nextAt: row.next_at,
    nodeId: row.node_id,
    orderKey: row.order_key,
    lastStatus: row.last_status,
    lastError: row.last_error,
    createdAt: row.created_at,
    finishedAt: row.finished_at,
  };
}

function toRow(delivery: Delivery): Row<'deliveries'>;
function toRow(change: Change<Delivery>): Change<Row<'deliveries'>>;
function toRow(delivery: Change<Delivery>): Change<Row<'deliveries'>> {
  return {
    id: delivery.id,
    project_id: delivery.projectId,
    webhook_id: delivery.webhookId,
    event_id: delivery.eventId,
    status: delivery.status,
    attempts: delivery.attempts,
    next_at: delivery.nextAt,
    node_id: delivery.nodeId,
    order_key: delivery.orderKey,
    last_status: delivery.lastStatus,
    last_error: delivery.lastError,
    created_at: delivery.createdAt,
    finished_at: delivery.finishedAt,
  };
}

export async function insertDeliveries(db: Db, deliveries: readonly Delivery[]): Promise<void> {
  const rows = deliveries.map((delivery) => toRow(delivery));
  for (const chunk of chunksOf(db, rows)) await db.insertInto('deliveries').values(chunk).execute();
}

/**
 * Claims up to `limit` due deliveries of a webhook for a node: they are its own until it settles them or is found
 * dead. Two plain statements; what another node took in between is left out.
 */
export async function claimDeliveries(
  db: Db,
  claim: { webhookId: string; nodeId: string; now: number; limit: number },
): Promise<Delivery[]> {
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
  if (Number(claimed.numUpdatedRows) === due.length) return due.map(deliveryOf);
  const ours = await db
    .selectFrom('deliveries')
    .selectAll()
    .where('id', 'in', among(db, ids))
    .where('status', '=', 'sending')
    .where('node_id', '=', nodeId)
    .execute();
  return ours.map(deliveryOf);
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

/** The ids of what a node has claimed and not settled. */
export async function selectClaimedIds(db: Db, nodeId: string): Promise<string[]> {
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
  Delivery,
  'id' | 'status' | 'attempts' | 'nextAt' | 'lastStatus' | 'lastError' | 'finishedAt'
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
    const ids = group.map((settlement) => settlement.id);
    await db
      .updateTable('deliveries')
      .set({
        status: first.status,
        attempts: first.attempts,
        next_at: first.nextAt,
        last_status: first.lastStatus,
        last_error: first.lastError,
        finished_at: first.finishedAt,
        node_id: null,
        ...(first.finishedAt === null ? {} : { order_key: null }),
      })
      .where('id', 'in', among(db, ids))
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

/** False when it is gone, or no longer what it `was`. */
export async function updateDelivery(
  db: Db,
  id: string,
  change: Change<Delivery>,
  was?: DeliveryStatus,
): Promise<boolean> {
  if (isEmpty(change)) return true;
  let query = db
    .updateTable('deliveries')
    .set(defined(toRow(change)))
    .where('id', '=', id);
  if (was !== undefined) query = query.where('status', '=', was);
  return (await query.executeTakeFirst()).numUpdatedRows > 0n;
}

/** Makes up to `limit` deliveries due that wait for their next attempt; answers how many it has found. */
export async function hastenDeliveries(
  tx: Db,
  webhookId: string,
  now: number,
  limit: number,
): Promise<number> {
  const waiting = await tx
    .selectFrom('deliveries')
    .select('id')
    .where('webhook_id', '=', webhookId)
    .where('status', '=', 'pending')
    .where('next_at', '>', now)
    .limit(limit)
    .execute();
  if (waiting.length === 0) return 0;
  const ids = waiting.map((row) => row.id);
  await tx
    .updateTable('deliveries')
    .set({ next_at: now })
    .where('id', 'in', among(tx, ids))
    .where('status', '=', 'pending')
    .execute();
  return ids.length;
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
