/**
 * A call is what a third party sent: which event, its sensor data, and whatever else came along, for the
 * templates of the action. It is decoded by a door and read here, so that all doors agree on its spellings.
 */
import json5 from 'json5';
import { Fault } from '../fault.ts';
import { eventIdSchema } from '../input.ts';
import { isMembers, type Members, parseExactly, requireShallow, requireShallowValue } from '../json.ts';
import { textOf } from '../template.ts';

export type Call = {
  eventId: string;
  sensorData: Record<string, unknown> | null;
  payload: unknown;
  query: Record<string, string>;
  /** What of the body was not taken, in words. */
  leftOut?: readonly string[];
};

/** How the caller wants to be answered. Times in milliseconds, `quorum` in percent. */
export type CallOptions = { dryRun: boolean; waitMs: number; quorum: number };

/** Who fires: the key or link that was presented, and where from. */
export type TriggerCaller = {
  projectId: number;
  keyId: string | null;
  linkId: string | null;
  /** The event_ids the key is for, null for all. */
  eventIds: ReadonlySet<string> | null;
  address: string | null;
  userAgent: string | null;
};

export type TriggerSource = 'post' | 'get' | 'link' | 'test' | 'alarm';

export const triggerStatuses = ['fired', 'seen', 'refused'] as const;
/** What came of a call; `seen` is one that nobody meant to fire with. */
export type TriggerStatus = (typeof triggerStatuses)[number];

export type TriggerRequest = CallOptions & {
  call: Call;
  /** What the trigger log keeps as the payload, where that is not the whole of it. */
  loggedPayload?: unknown;
  source: TriggerSource;
  /** The caller's own name for this call, and the hash of everything it sent. */
  idempotency: { key: string; callHash: string } | null;
  /** Aborted when the caller is gone; made when it is asked for, since few callers wait. */
  signalOf: () => AbortSignal;
};

const waitMsMax = 60_000;
const sensorTextMax = 10_000;
const optionNames = ['dry_run', 'wait', 'quorum'] as const;
const ownNames = new Set<string>(['event_id', 'eventId', 'sensor_data', ...optionNames]);
/** Never shown to templates or logs: the key, and what was decoded from it. */
const secretQueryNames = ['api_key', 'apiKey', 'payload'];

/** Reads a call whose body is ours by shape: `event_id` and `sensor_data` beside the payload. */
export function callOfMembers(
  members: Members,
  query: Record<string, string>,
  leftOut: readonly string[] = [],
): { call: Call; options: CallOptions } {
  const eventId = members.event_id ?? members.eventId ?? query.event_id ?? query.eventId;
  const payload = Object.fromEntries(Object.entries(members).filter(([name]) => !ownNames.has(name)));
  return {
    call: {
      eventId: readEventId(eventId),
      sensorData: readSensorData(members.sensor_data),
      payload,
      query: openQuery(query),
      leftOut,
    },
    options: readOptions({ ...query, ...pick(members, optionNames) }),
  };
}

/**
 * Reads a call whose body has a shape of its own: all of it is payload, the event stands in the path. A member
 * `sensor_data` is sensor data where it is some; otherwise the sender means something else by that name.
 */
export function callOfPayload(
  eventId: string,
  payload: unknown,
  query: Record<string, string>,
  leftOut: readonly string[] = [],
): { call: Call; options: CallOptions } {
  const sensorData = isMembers(payload) ? sensorDataOf(payload.sensor_data) : null;
  return {
    call: { eventId: readEventId(eventId), sensorData, payload, query: openQuery(query), leftOut },
    options: readOptions(query),
  };
}

/** The event that a call names, as far as that can be told of one that can't be read. */
export function eventIdOf(value: unknown): string {
  const parsed = eventIdSchema.safeParse(value);
  return parsed.success ? parsed.data : '';
}

function readEventId(value: unknown): string {
  if (value === undefined || value === null || value === '')
    throw new Fault('bad_request', 'event_id is missing');
  const parsed = eventIdSchema.safeParse(value);
  if (!parsed.success)
    throw new Fault('bad_request', `event_id ${parsed.error.issues[0]?.message ?? 'is wrong'}`);
  return parsed.data;
}

function readSensorData(value: unknown): Record<string, unknown> | null {
  if (value === undefined || value === null) return null;
  const read = sensorDataOf(value);
  if (read) return read;
  throw new Fault('bad_request', 'sensor_data must be an object, or the text of one');
}

/** An object, or the old text form `{id: 's1', value: '1'}`, which is JSON5; null for anything else. */
function sensorDataOf(value: unknown): Record<string, unknown> | null {
  if (isMembers(value)) return { ...value };
  if (typeof value !== 'string' || value.length > sensorTextMax) return null;
  try {
    requireShallow(Buffer.from(value));
    const read = parseExactly(value, (text) => json5.parse(text) as unknown);
    requireShallowValue(read);
    return isMembers(read) ? { ...read } : null;
  } catch {
    return null; // told by whoever wanted some, in words that fit what was sent
  }
}

function openQuery(query: Record<string, string>): Record<string, string> {
  return Object.fromEntries(Object.entries(query).filter(([name]) => !secretQueryNames.includes(name)));
}

function pick(members: Members, names: readonly string[]): Members {
  return Object.fromEntries(
    names.filter((name) => Object.hasOwn(members, name)).map((name) => [name, members[name]]),
  );
}

/** `dry_run=true`, `wait=10s` (or 500ms, 1m, plain seconds), `quorum=95%`. Throws `bad_request`. */
export function readOptions(given: Members): CallOptions {
  return { dryRun: readFlag(given.dry_run), waitMs: readWait(given.wait), quorum: readQuorum(given.quorum) };
}

function readFlag(value: unknown): boolean {
  if (value === undefined || value === false || value === 'false' || value === '0') return false;
  // In doubt, nothing is fired: whoever writes dry_run at all wants to be careful.
  if (value === true || value === 'true' || value === '1' || value === '') return true;
  throw new Fault('bad_request', 'dry_run must be true or false');
}

const unitMs: Readonly<Record<string, number>> = { ms: 1, s: 1_000, m: 60_000 };

function readWait(value: unknown): number {
  if (value === undefined) return 0;
  const match = /^(\d+(?:\.\d+)?)(ms|s|m)?$/.exec(textOf(value));
  const waitMs = match ? Number(match[1]) * (unitMs[match[2] ?? 's'] ?? 0) : Number.NaN;
  if (!(waitMs >= 0 && waitMs <= waitMsMax)) throw new Fault('bad_request', 'wait must be 0s to 60s');
  return waitMs;
}

function readQuorum(value: unknown): number {
  if (value === undefined) return 100;
  const match = /^(\d+(?:\.\d+)?)%?$/.exec(textOf(value));
  const quorum = match ? Number(match[1]) : Number.NaN;
  if (!(quorum > 0 && quorum <= 100))
    throw new Fault('bad_request', 'quorum must be above 0% and at most 100%');
  return quorum;
}
