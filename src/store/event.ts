/** The tables `events` and `event_parts`: what was said, whatever its size. */
import type { EventKind, EventWithBody, StoredEvent } from '../domain/event/event.ts';
import { fromJson, toJson } from './columns.ts';
import { among, packetsOf } from './dialect.ts';
import { newestFirst, type Page, type PageQuery } from './page.ts';
import type { Db, Row } from './schema.ts';

/** A body above this is kept in parts, so that no list has to carry it and it can be streamed. */
export const inlineBytesMax = 64 * 1_024;
const partBytes = 1_024 * 1_024;

function fromRow(row: Row<'events'>): StoredEvent {
  return {
    id: row.id,
    projectId: row.project_id,
    kind: row.kind as EventKind,
    type: row.type,
    label: row.label,
    deviceId: row.device_id,
    origin: fromJson(row.origin_json),
    mediaType: row.media_type,
    body: row.body,
    bodyBytes: Number(row.body_bytes),
    problem: row.problem,
    at: row.at,
  };
}

function toRow(event: EventWithBody): Row<'events'> {
  return {
    id: event.id,
    project_id: event.projectId,
    kind: event.kind,
    type: event.type,
    label: event.label,
    device_id: event.deviceId,
    origin_json: toJson(event.origin),
    media_type: event.mediaType,
    body: isLarge(event) ? null : event.body,
    body_bytes: event.bodyBytes,
    problem: event.problem,
    at: event.at,
  };
}

/** Whether the body is kept in parts. */
export function isLarge({ bodyBytes }: { bodyBytes: number }): boolean {
  return bodyBytes > inlineBytesMax;
}

/** Stores events with their bodies, whatever their size. */
export async function insertEvents(db: Db, events: readonly EventWithBody[]): Promise<void> {
  for (const rows of packetsOf(events.map(toRow), (row) => row.body?.length ?? 0))
    await db.insertInto('events').values(rows).execute();
  for (const event of events) if (isLarge(event)) await insertParts(db, event.id, event.body);
}

async function insertParts(db: Db, eventId: string, body: Uint8Array): Promise<void> {
  for (let place = 0; place * partBytes < body.length; place += 1) {
    const bytes = body.subarray(place * partBytes, (place + 1) * partBytes);
    await db.insertInto('event_parts').values({ event_id: eventId, place, bytes }).execute();
  }
}

/** The body of an event that is kept in parts, a part at a time. */
export async function* selectEventParts(db: Db, eventId: string): AsyncGenerator<Uint8Array> {
  for (let place = 0; ; place += 1) {
    const row = await db
      .selectFrom('event_parts')
      .select('bytes')
      .where('event_id', '=', eventId)
      .where('place', '=', place)
      .executeTakeFirst();
    if (!row) return;
    yield row.bytes;
  }
}

export async function selectEvent(db: Db, projectId: number, id: string): Promise<StoredEvent | undefined> {
  const row = await selectEventsOf(db, projectId).where('id', '=', id).executeTakeFirst();
  return row && fromRow(row);
}

function selectEventsOf(db: Db, projectId: number) {
  return db.selectFrom('events').selectAll().where('project_id', '=', projectId);
}

export type EventFilter = {
  kind?: EventKind | undefined;
  type?: string | undefined;
  label?: string | undefined;
  deviceId?: number | undefined;
  /** True for what was not forwarded since it did not fit. */
  refused?: boolean | undefined;
  /** Ids from here on, and below. */
  from?: string | undefined;
  below?: string | undefined;
};

/** Newest first. */
export async function selectEvents(
  db: Db,
  projectId: number,
  filter: EventFilter,
  page: PageQuery,
): Promise<Page<StoredEvent>> {
  let query = selectEventsOf(db, projectId);
  if (filter.kind !== undefined) query = query.where('kind', '=', filter.kind);
  if (filter.type !== undefined) query = query.where('type', '=', filter.type);
  if (filter.label !== undefined) query = query.where('label', '=', filter.label);
  if (filter.deviceId !== undefined) query = query.where('device_id', '=', filter.deviceId);
  if (filter.refused !== undefined) query = query.where('problem', filter.refused ? 'is not' : 'is', null);
  if (filter.from !== undefined) query = query.where('id', '>=', filter.from);
  if (filter.below !== undefined) query = query.where('id', '<', filter.below);
  return newestFirst(query, page, fromRow);
}

/** The next events after `after` and below `below`, oldest first: for a replay, which reads them all. */
export async function selectEventsBetween(
  db: Db,
  projectId: number,
  between: { after: string; below: string },
  limit: number,
): Promise<StoredEvent[]> {
  const rows = await selectEventsOf(db, projectId)
    .where('id', '>', between.after)
    .where('id', '<', between.below)
    .orderBy('id')
    .limit(limit)
    .execute();
  return rows.map(fromRow);
}

/** Of any project. */
export async function selectEventsById(db: Db, ids: readonly string[]): Promise<StoredEvent[]> {
  if (ids.length === 0) return [];
  const rows = await db.selectFrom('events').selectAll().where('id', 'in', among(db, ids)).execute();
  return rows.map(fromRow);
}

/** Deletes up to `limit` events whose id is below `id` and that nobody has to deliver any more, oldest first. */
export async function deleteEventsBelow(db: Db, id: string, limit: number): Promise<number> {
  const old = await db
    .selectFrom('events')
    .select('id')
    .where('id', '<', id)
    .where((eb) =>
      eb.not(
        eb.exists(
          eb
            .selectFrom('deliveries')
            .select('deliveries.id')
            .whereRef('deliveries.event_id', '=', 'events.id'),
        ),
      ),
    )
    .orderBy('id')
    .limit(limit)
    .execute();
  const ids = old.map((row) => row.id);
  if (ids.length > 0) {
    await db.deleteFrom('event_parts').where('event_id', 'in', ids).execute();
    await db.deleteFrom('events').where('id', 'in', ids).execute();
  }
  return old.length;
}
