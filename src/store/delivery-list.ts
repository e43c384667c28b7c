/** The table `deliveries` as people look at it: with the event each is of, and counted. */
import type { DeliveryStatus } from '../domain/delivery/attempt.ts';
import type { EventKind } from '../domain/event/event.ts';
import { type Delivery, deliveryOf } from './delivery.ts';
import { among } from './dialect.ts';
import { newestFirst, type Page, type PageQuery } from './page.ts';
import type { Db, Row } from './schema.ts';

/** What is known of the event is null once that is gone. */
export type DeliveryOfEvent = Delivery & {
  event: {
    id: string;
    kind: EventKind | null;
    type: string | null;
    label: string | null;
    deviceId: number | null;
  };
};

type JoinedRow = Row<'deliveries'> & {
  event_kind: string | null;
  event_type: string | null;
  event_label: string | null;
  event_device_id: number | null;
};

const fromJoinedRow = (row: JoinedRow): DeliveryOfEvent => ({
  ...deliveryOf(row),
  event: {
    id: row.event_id,
    kind: row.event_kind as EventKind | null,
    type: row.event_type,
    label: row.event_label,
    deviceId: row.event_device_id,
  },
});

function selectJoined(db: Db, projectId: number) {
  return db
    .selectFrom('deliveries')
    .leftJoin('events', 'events.id', 'deliveries.event_id')
    .selectAll('deliveries')
    .select([
      'events.kind as event_kind',
      'events.type as event_type',
      'events.label as event_label',
      'events.device_id as event_device_id',
    ])
    .where('deliveries.project_id', '=', projectId);
}

export type DeliveryListFilter = {
  webhookId?: string | undefined;
  status?: DeliveryStatus | undefined;
  eventId?: string | undefined;
};

/** Newest first. */
export async function selectDeliveries(
  db: Db,
  projectId: number,
  { webhookId, status, eventId }: DeliveryListFilter,
  page: PageQuery,
): Promise<Page<DeliveryOfEvent>> {
  let query = selectJoined(db, projectId);
  if (webhookId !== undefined) query = query.where('deliveries.webhook_id', '=', webhookId);
  if (eventId !== undefined) query = query.where('deliveries.event_id', '=', eventId);
  if (status !== undefined) query = query.where('deliveries.status', '=', status);
  return newestFirst(query, page, fromJoinedRow, 'deliveries.id');
}

export async function selectDelivery(
  db: Db,
  projectId: number,
  id: string,
): Promise<DeliveryOfEvent | undefined> {
  const row = await selectJoined(db, projectId).where('deliveries.id', '=', id).executeTakeFirst();
  return row && fromJoinedRow(row);
}

/** How many of a webhook's deliveries are in each status. */
export async function countDeliveries(
  db: Db,
  webhookId: string,
): Promise<Partial<Record<DeliveryStatus, number>>> {
  const rows = await db
    .selectFrom('deliveries')
    .select(['status', (eb) => eb.fn.countAll<number>().as('count')])
    .where('webhook_id', '=', webhookId)
    .groupBy('status')
    .execute();
  return Object.fromEntries(rows.map((row) => [row.status, Number(row.count)]));
}

/** The deliveries of these events to one webhook. */
export async function selectDeliveriesOfEvents(
  db: Db,
  webhookId: string,
  eventIds: readonly string[],
): Promise<Delivery[]> {
  if (eventIds.length === 0) return [];
  const rows = await db
    .selectFrom('deliveries')
    .selectAll()
    .where('webhook_id', '=', webhookId)
    .where('event_id', 'in', among(db, eventIds))
    .execute();
  return rows.map(deliveryOf);
}
