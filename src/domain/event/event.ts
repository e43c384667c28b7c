/** An event is what was said: by a device, by an alarm, by the server itself, or by a caller to a module. */
import { parseJsonExactly } from '../json.ts';
import { isBinaryType, isJsonType } from '../media-type.ts';

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
  /** Why it was stored and not forwarded. */
  problem: string | null;
  at: number;
};

/** An event on its way in: its body is at hand, whatever its size. */
export type EventWithBody = StoredEvent & { body: Uint8Array };

/**
 * What was said as a value, its large numbers exact; of a message that is no JSON, its text. Undefined when it is bytes:
 * bulk data, what is announced as such, and what is no UTF-8.
 */
export function payloadOf(
  { kind, mediaType }: Pick<StoredEvent, 'kind' | 'mediaType'>,
  body: Uint8Array,
): unknown {
  if (isJsonType(mediaType)) return parseJsonExactly(Buffer.from(body).toString('utf8'));
  return kind === 'message' && !isBinaryType(mediaType) ? textOfBytes(body) : undefined;
}

/** The same as the bytes of JSON; `null` for what is bytes. */
export function jsonBodyOf(event: Pick<StoredEvent, 'kind' | 'mediaType'>, body: Uint8Array): Uint8Array {
  return isJsonType(event.mediaType) ? body : Buffer.from(JSON.stringify(payloadOf(event, body) ?? null));
}

const utf8 = new TextDecoder('utf-8', { fatal: true });

/** Without a byte order mark, and without the zeros that programs in C leave behind it. */
function textOfBytes(bytes: Uint8Array): string | undefined {
  let end = bytes.length;
  while (end > 0 && bytes[end - 1] === 0) end -= 1;
  try {
    return utf8.decode(bytes.subarray(0, end));
  } catch {
    // No text: then it is bytes.
    return undefined;
  }
}
