/**
 * An event is what was said: by a device (`event`, `message`, `bulk`), about a device (`alarm`), by the server itself
 * (`system`), or by a caller to a command webhook (`command`). Events are facts: stored once, never changed.
 */
import { z } from 'zod';
import { type EventFilter, listEvents as listEventRows, readParts } from '../store/event.ts';
import { fromJson } from '../store/json.ts';
import { findOwned } from '../store/owned.ts';
import { pageQuery } from '../store/page.ts';
import type { Db, Row } from '../store/schema.ts';
import type { Caller } from './caller.ts';
import type { Context } from './context.ts';
import { parseJsonExactly } from './exact-json.ts';
import { Fault } from './fault.ts';
import { firstIdAt } from './id.ts';
import { flagSchema, idSchema, instant, instantSchema, parseInput, timedPageSchema } from './input.ts';

export const eventKinds = ['event', 'message', 'bulk', 'alarm', 'system', 'command'] as const;
export type EventKind = (typeof eventKinds)[number];

/** Who said it, as things stood then. */
export type Origin = {
  device?: {
    id: number;
    name: string;
    /** The type's own id where people chose one, its name otherwise. */
    class: string | null;
    type_id: string | null;
    type: string | null;
    group_id: number | null;
    group_path: readonly number[];
    tags: readonly string[];
    ip: string | null;
  };
  key?: { id: string; name: string };
  user?: { id: string };
  /** The rule behind an alarm. */
  rule_id?: string;
  /** The home of a command webhook. */
  home_id?: number;
};

export type StoredEvent = {
  id: string;
  projectId: number;
  kind: EventKind;
  /** Of an event its `eventType`, of a message its message type. */
  type: string | null;
  label: string | null;
  deviceId: number | null;
  origin: Origin;
  mediaType: string;
  /** Null when it is large: then it is read in parts. */
  body: Uint8Array | null;
  bodyBytes: number;
  problem: string | null;
  at: number;
};

export function eventOf(row: Row<'events'>): StoredEvent {
  return {
    id: row.id,
    projectId: row.project_id,
    kind: row.kind as EventKind,
    type: row.type,
    label: row.label,
    deviceId: row.device_id,
    origin: fromJson<Origin>(row.origin_json),
    mediaType: row.media_type,
    body: row.body,
    bodyBytes: Number(row.body_bytes),
    problem: row.problem,
    at: row.at,
  };
}

export function isJsonType(mediaType: string): boolean {
  return mediaType === 'application/json' || mediaType.endsWith('+json');
}

/** The body of an event, a part at a time where it is large. */
export async function* bodyOf(db: Db, event: StoredEvent): AsyncGenerator<Uint8Array> {
  if (event.body) yield event.body;
  else yield* readParts(db, event.id);
}

/** The whole body as bytes. */
export async function wholeBodyOf(db: Db, event: StoredEvent): Promise<Uint8Array> {
  if (event.body) return event.body;
  const parts: Uint8Array[] = [];
  for await (const part of bodyOf(db, event)) parts.push(part);
  return Buffer.concat(parts);
}

/** What was said as a value, its large numbers exact; undefined when it is bytes. */
export function payloadOf(event: { mediaType: string }, body: Uint8Array): unknown {
  return isJsonType(event.mediaType) ? parseJsonExactly(Buffer.from(body).toString('utf8')) : undefined;
}

function viewEvent(row: Row<'events'>) {
  const event = eventOf(row);
  return {
    id: event.id,
    kind: event.kind,
    type: event.type,
    label: event.label,
    device: viewDevice(event.origin.device),
    key: event.origin.key ?? null,
    user: event.origin.user ?? null,
    rule_id: event.origin.rule_id ?? null,
    media_type: event.mediaType,
    bytes: event.bodyBytes,
    problem: event.problem,
    at: instant(event.at),
  };
}

/** The device as it was then, in the words of the devices' own list. */
function viewDevice(device: Origin['device']) {
  if (!device) return null;
  const { id, name, type, group_id, group_path, tags, ip } = device;
  return { id, name, type, group_id, group_path, tags, address: ip };
}

const filterSchema = timedPageSchema.extend({
  kind: z.enum(eventKinds).optional(),
  type: z.string().optional(),
  label: z.string().optional(),
  device_id: idSchema.optional(),
  refused: flagSchema.optional(),
  from: instantSchema.optional(),
  to: instantSchema.optional(),
});

/** Newest first. `from` is part of the range, `to` is not. */
export async function listEvents(ctx: Context, caller: Caller, input: unknown) {
  const { from, to, ...given } = parseInput(filterSchema, input);
  const filter: EventFilter = {
    ...given,
    from: from === undefined ? undefined : firstIdAt(from),
    below: to === undefined ? undefined : firstIdAt(to),
  };
  const page = await listEventRows(ctx.db, caller.projectId, filter, pageQuery(given));
  return { ...page, items: page.items.map(viewEvent) };
}

/** One event with what it says: `data` where that is JSON of a size to read. */
export async function getEvent(ctx: Context, caller: Caller, id: string) {
  const row = await requireEvent(ctx, caller, id);
  const event = eventOf(row);
  return { ...viewEvent(row), data: event.body ? (payloadOf(event, event.body) ?? null) : null };
}

/** The bytes of an event as they came. */
export async function getEventBody(ctx: Context, caller: Caller, id: string) {
  const event = eventOf(await requireEvent(ctx, caller, id));
  return { mediaType: event.mediaType, bytes: event.bodyBytes, parts: bodyOf(ctx.db, event) };
}

async function requireEvent(ctx: Context, caller: Caller, id: string): Promise<Row<'events'>> {
  const row = await findOwned(ctx.db, 'events', caller.projectId, id);
  if (!row) throw new Fault('not_found', 'there is no such event');
  return row;
}
