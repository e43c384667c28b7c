import { fromJson } from '../../store/columns.ts';
import { readParts } from '../../store/event.ts';
import type { Db, Row } from '../../store/schema.ts';
import { parseJsonExactly } from '../json.ts';

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
