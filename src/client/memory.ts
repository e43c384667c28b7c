/** What a device remembers, and how it outlives the process. */
import { type DeviceState, emptyState, mergeState } from '../domain/device/state.ts';
import type { ReceiptMessage } from '../socket/protocol.ts';
import type { ServerClock } from './clock.ts';
import type { DeviceStorage } from './storage.ts';
import { type Timers, type Timing, withDeadline } from './timing.ts';
import { isId, isRecord, readAt, readMembers } from './wire.ts';

/** `waiting` has not begun and is not stored: should the device restart, the server sends it again. */
export type KnownStatus = 'waiting' | 'started' | 'applied' | 'failed';
/** One pulse; `until` by the server's clock, in milliseconds. */
export type Known = { function: string; until: number; status: KnownStatus; detail?: string };

export type Memory = {
  /** Null until the server, or the storage, has said something. */
  state: DeviceState | null;
  known: Map<string, Known>;
  /** Those not yet taken by the server, oldest first. */
  receipts: ReceiptMessage[];
};

export const createMemory = (): Memory => ({ state: null, known: new Map(), receipts: [] });

/** A pulse is known for this long after its end: a server that is set back may send it again. */
const knownMarginMs = 60 * 60_000;
const knownMax = 500;

/** Takes note of a new pulse, and forgets the ones that can't come again. */
export function remember(memory: Memory, id: string, name: string, ends: number, now: number): Known {
  const known: Known = { function: name, until: ends + knownMarginMs, status: 'waiting' };
  let tooMany = memory.known.size + 1 - knownMax;
  for (const [other, { until, status }] of memory.known) {
    if (status === 'waiting' || status === 'started' || (until > now && tooMany <= 0)) continue;
    memory.known.delete(other);
    tooMany--;
  }
  memory.known.set(id, known);
  return known;
}

/** Fits the limit on what is taken from a storage, too. */
const storedReceiptsMax = 2_000;

/** `at` is what the server's clock shows: what it leaves of each end is what is left when the device starts again. */
export function formatMemory({ state, known, receipts }: Memory, at: number | null): string {
  return JSON.stringify({
    version: 1,
    ...(at === null ? {} : { at: new Date(at).toISOString() }),
    state,
    known: [...known].filter(([, { status }]) => status !== 'waiting'),
    receipts: receipts.filter(({ status }) => status !== 'received'),
  });
}

/**
 * Takes what it can understand into the memory, and answers what the server's clock showed then; throws only for a text
 * that is not JSON at all.
 */
export function parseMemory(memory: Memory, text: string | null): number | null {
  const stored: unknown = text === null ? null : JSON.parse(text);
  if (!isRecord(stored)) return null;
  if (isRecord(stored.state)) memory.state = mergeState(emptyState, readMembers(stored.state).members);
  for (const pair of list(stored.known).slice(-knownMax)) {
    const [id, known] = list(pair);
    if (isId(id) && isKnown(known)) memory.known.set(id, known);
  }
  memory.receipts.push(...list(stored.receipts).filter(isFinalReceipt).slice(-storedReceiptsMax));
  return readAt(stored);
}

const list = (value: unknown): unknown[] => (Array.isArray(value) ? value : []);
const isOptionalText = (value: unknown) => value === undefined || typeof value === 'string';
const isOutcome = (value: unknown) => value === 'applied' || value === 'failed';

function isKnown(value: unknown): value is Known {
  return (
    isRecord(value) &&
    typeof value.function === 'string' &&
    typeof value.until === 'number' &&
    (value.status === 'started' || isOutcome(value.status)) &&
    isOptionalText(value.detail)
  );
}

function isFinalReceipt(value: unknown): value is ReceiptMessage {
  return isRecord(value) && isId(value.id) && isOutcome(value.status) && isOptionalText(value.detail);
}

export type Keeper = {
  /** Without a storage nothing outlives the process. */
  readonly durable: boolean;
  load: () => Promise<void>;
  /** Resolves when all that is in the memory now is stored, or could not be: a full disk stops no siren. */
  save: () => Promise<void>;
  saveLater: () => void;
  /** Saves a last time; nothing is written after that, the storage may have a new owner. */
  close: () => Promise<void>;
};

export function createKeeper(parts: {
  memory: Memory;
  clock: ServerClock;
  storage: DeviceStorage | undefined;
  timers: Timers;
  timing: Timing;
  problem: (error: unknown) => void;
}): Keeper {
  const { memory, clock, storage, timers, timing, problem } = parts;
  const done = Promise.resolve();
  if (!storage) {
    return { durable: false, load: () => done, save: () => done, saveLater: () => {}, close: () => done };
  }
  const saveText = (text: string) => storage.save(text);
  let last = done;
  let queued: Promise<void> | null = null;
  let later = false;
  let closed = false;
  let written: string | null = null;

  async function write(): Promise<void> {
    queued = null;
    later = false;
    const text = formatMemory(memory, null);
    const { emergency, content } = memory.state ?? emptyState;
    const isCounting = [emergency, content].some((member) => member?.expires_at != null);
    if (text === written && !isCounting) return;
    try {
      const timed = formatMemory(memory, clock.known());
      await withDeadline(timers, timing.storageMs, 'storage.save', saveText(timed));
      written = text;
    } catch (error) {
      problem(error);
    }
  }

  function save(): Promise<void> {
    if (closed) return done;
    if (!queued) {
      queued = last.then(write);
      last = queued;
    }
    return queued;
  }

  return {
    durable: true,
    async load() {
      try {
        const text = await withDeadline(timers, timing.storageMs, 'storage.load', storage.load());
        const at = parseMemory(memory, text);
        if (at !== null) clock.resume(at);
      } catch (error) {
        problem(error);
      }
    },
    save,
    saveLater() {
      if (later || closed) return;
      later = true;
      timers.after(timing.saveLaterMs, () => void save());
    },
    close() {
      const saved = save();
      closed = true;
      return saved;
    },
  };
}
