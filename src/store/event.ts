import { among } from './dialect.ts';
import { type Page, type PageQuery, pageOf } from './page.ts';
import type { Db, NewRow, Row } from './schema.ts';

/** One packet of the database stays well below what servers take by default (16 MiB), twice that when written as hex. */
const bytesPerInsert = 2 * 1_024 * 1_024;
const rowsPerInsert = 200;
/** A body above this is kept in parts, so that no list has to carry it and it can be streamed. */
export const inlineBytesMax = 64 * 1_024;
const partBytes = 1_024 * 1_024;

export type NewEvent = Omit<NewRow<'events'>, 'body' | 'body_bytes'> & { body: Uint8Array };

/** Stores events with their bodies, whatever their size. */
export async function insertEvents(db: Db, events: readonly NewEvent[]): Promise<void> {
  let rows: NewRow<'events'>[] = [];
  let bytes = 0;
  const flush = async () => {
    if (rows.length > 0) await db.insertInto('events').values(rows).execute();
    rows = [];
    bytes = 0;
  };
  for (const { body, ...event } of events) {
    const isLarge = body.length > inlineBytesMax;
    rows.push({ ...event, body: isLarge ? null : body, body_bytes: body.length });
    bytes += isLarge ? 0 : body.length;
    if (bytes >= bytesPerInsert || rows.length >= rowsPerInsert) await flush();
    if (isLarge) await insertParts(db, event.id, body);
  }
  await flush();
}

async function insertParts(db: Db, eventId: string, body: Uint8Array): Promise<void> {
  for (let place = 0; place * partBytes < body.length; place += 1) {
    const bytes = body.subarray(place * partBytes, (place + 1) * partBytes);
    await db.insertInto('event_parts').values({ event_id: eventId, place, bytes }).execute();
  }
}

/** The body of an event that is kept in parts, a part at a time. */
export async function* readParts(db: Db, eventId: string): AsyncGenerator<Uint8Array> {
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

export type EventFilter = {
  kind?: string | undefined;
  type?: string | undefined;
  label?: string | undefined;
  device_id?: number | undefined;
  /** True for what was not forwarded since it did not fit. */
  refused?: boolean | undefined;
  /** Ids from here on, and below. */
  from?: string | undefined;
  below?: string | undefined;
};

/** Newest first, without their bodies. */
export async function listEvents(
  db: Db,
  projectId: number,
  filter: EventFilter,
  page: PageQuery,
): Promise<Page<Row<'events'>>> {
  let query = db.selectFrom('events').selectAll().where('project_id', '=', projectId);
  if (filter.kind !== undefined) query = query.where('kind', '=', filter.kind);
  if (filter.type !== undefined) query = query.where('type', '=', filter.type);
  if (filter.label !== undefined) query = query.where('label', '=', filter.label);
  if (filter.device_id !== undefined) query = query.where('device_id', '=', filter.device_id);
  if (filter.refused !== undefined) query = query.where('problem', filter.refused ? 'is not' : 'is', null);
  if (filter.from !== undefined) query = query.where('id', '>=', filter.from);
  if (filter.below !== undefined) query = query.where('id', '<', filter.below);
  if (page.cursor) query = query.where('id', '<', page.cursor);
  const rows = await query
    .orderBy('id', 'desc')
    .limit(page.limit + 1)
    .execute();
  return pageOf(rows, page.limit, (row) => row.id);
}

/** The next events after `after` and below `below`, oldest first: for a replay, which reads them all. */
export async function listEventsBetween(
  db: Db,
  projectId: number,
  between: { after: string; below: string },
  limit: number,
): Promise<Row<'events'>[]> {
  return db
    .selectFrom('events')
    .selectAll()
    .where('project_id', '=', projectId)
    .where('id', '>', between.after)
    .where('id', '<', between.below)
    .orderBy('id')
    .limit(limit)
    .execute();
}

export async function findEvents(db: Db, ids: readonly string[]): Promise<Row<'events'>[]> {
  if (ids.length === 0) return [];
  return db.selectFrom('events').selectAll().where('id', 'in', among(db, ids)).execute();
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
