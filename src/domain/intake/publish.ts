/**
 * What a device says, whichever door it comes in by: an event, a message, or bytes. Each resolves with the id of the
 * event once it is stored, with its deliveries; until then nothing is acknowledged.
 */

import { z } from 'zod';
import type { Context } from '../context.ts';
import { originOf, type Sender } from '../event/origin.ts';
import { Fault } from '../fault.ts';
import { membersSchema, nameSchema, parseInput } from '../input.ts';
import { readJson, requireShallowValue, withoutByteOrderMark } from '../json.ts';
import { isJsonType } from '../media-type.ts';

type PublishContext = Pick<Context, 'db' | 'now' | 'cache' | 'queues'>;

/** Bulk data and any message of a device. */
export const messageBytesMax = 16 * 1_024 * 1_024;

const jsonType = 'application/json';

const eventSchema = z.object({ eventType: nameSchema, eventData: membersSchema.nullish() });
const labelSchema = nameSchema.refine((text) => !/[/+#]/.test(text), 'must not hold /, + or #');
/** Subtopics are parted by dots or slashes. */
const messageTypeSchema = nameSchema;
/** Without its parameters. */
const mediaTypeSchema = z.string().max(200, 'a media type has at most 200 characters');

/** `{eventType, eventData?}`. */
export async function publishEvent(ctx: PublishContext, sender: Sender, input: unknown): Promise<string> {
  requireShallowValue(input);
  const { eventType, eventData } = parseInput(eventSchema, input);
  const payload = eventData ?? {};
  return add(ctx, sender, {
    kind: 'event',
    type: eventType,
    label: null,
    mediaType: jsonType,
    body: requireSize(Buffer.from(JSON.stringify(payload))),
    payload,
  });
}

/** Like `publishEvent`, from the bytes of its JSON: numbers stay exact. */
export async function publishEventJson(
  ctx: PublishContext,
  sender: Sender,
  json: Uint8Array,
): Promise<string> {
  return publishEvent(ctx, sender, readJson(json, { bytesMax: messageBytesMax }));
}

/** A message as a value of JSON, or as bytes; `{type?, payload}`. */
export async function publishMessage(ctx: PublishContext, sender: Sender, input: unknown): Promise<string> {
  const { type, payload } = parseInput(messageSchema, input);
  if (ArrayBuffer.isView(payload) || payload instanceof ArrayBuffer) {
    return publishMessageBytes(ctx, sender, { type: type ?? null, mediaType: null, bytes: bytesOf(payload) });
  }
  requireShallowValue(payload);
  const body = requireSize(Buffer.from(JSON.stringify(payload)));
  return add(ctx, sender, {
    kind: 'message',
    type: type ?? null,
    label: null,
    mediaType: jsonType,
    body,
    payload,
  });
}

const messageSchema = z.object({
  type: messageTypeSchema.nullish(),
  payload: z.custom<unknown>((value) => value !== undefined && typeof value !== 'function', 'is missing'),
});

/**
 * A message as it came over the wire: it goes on byte for byte. What is announced as JSON has to be; without an
 * announcement it is JSON if it reads as JSON.
 */
export async function publishMessageBytes(
  ctx: PublishContext,
  sender: Sender,
  message: { type: string | null; mediaType: string | null; bytes: Uint8Array },
): Promise<string> {
  const type = message.type === null ? null : parseInput(messageTypeSchema, message.type);
  const mediaType = message.mediaType === null ? null : parseInput(mediaTypeSchema, message.mediaType);
  const read = readMessage(mediaType, requireSize(message.bytes));
  return add(ctx, sender, { kind: 'message', type, label: null, ...read });
}

function readMessage(
  announced: string | null,
  bytes: Uint8Array,
): { mediaType: string; body: Uint8Array; payload?: unknown } {
  if (announced !== null && !isJsonType(announced)) return { mediaType: announced, body: bytes };
  try {
    const payload = readJson(bytes);
    // Receivers get it inside of other JSON, where a byte order mark has no place.
    return { mediaType: announced ?? jsonType, body: withoutByteOrderMark(bytes), payload };
  } catch (error) {
    if (announced === null && error instanceof Fault)
      return { mediaType: 'application/octet-stream', body: bytes };
    throw error;
  }
}

/** Bytes under a label, untouched from end to end. */
export async function publishBulk(
  ctx: PublishContext,
  sender: Sender,
  label: unknown,
  bytes: unknown,
): Promise<string> {
  if (!ArrayBuffer.isView(bytes) && !(bytes instanceof ArrayBuffer))
    throw new Fault('bad_request', 'bulk data must be bytes');
  return add(ctx, sender, {
    kind: 'bulk',
    type: null,
    label: parseInput(labelSchema, label),
    mediaType: 'application/octet-stream',
    body: requireSize(bytesOf(bytes)),
  });
}

function bytesOf(view: ArrayBufferView | ArrayBuffer): Uint8Array {
  if (view instanceof ArrayBuffer) return new Uint8Array(view);
  return new Uint8Array(view.buffer, view.byteOffset, view.byteLength);
}

function requireSize(bytes: Uint8Array): Uint8Array {
  if (bytes.length <= messageBytesMax) return bytes;
  throw new Fault('too_large', `it has more than ${messageBytesMax} bytes`);
}

type Said = {
  kind: 'event' | 'message' | 'bulk';
  type: string | null;
  label: string | null;
  mediaType: string;
  body: Uint8Array;
  payload?: unknown;
};

async function add(ctx: PublishContext, sender: Sender, said: Said): Promise<string> {
  const { device } = sender;
  ctx.queues.sightings.deviceSeen(device.id, { lastSeenAt: ctx.now() });
  const origin = await originOf(ctx, sender);
  return ctx.queues.intake.add({ projectId: device.projectId, origin, ...said });
}
