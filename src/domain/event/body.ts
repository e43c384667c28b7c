/** The body of an event is with it, or in parts where it is large. */
import { selectEventParts } from '../../store/event.ts';
import type { Db } from '../../store/schema.ts';
import type { StoredEvent } from './event.ts';

/** The body of an event, a part at a time where it is large. */
export async function* bodyOf(db: Db, event: StoredEvent): AsyncGenerator<Uint8Array> {
  if (event.body) yield event.body;
  else yield* selectEventParts(db, event.id);
}

/** The whole body as bytes. */
export async function wholeBodyOf(db: Db, event: StoredEvent): Promise<Uint8Array> {
  if (event.body) return event.body;
  const parts: Uint8Array[] = [];
  for await (const part of bodyOf(db, event)) parts.push(part);
  return Buffer.concat(parts);
}
