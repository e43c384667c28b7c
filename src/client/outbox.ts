/** What a device says, on its way to the server: sent in order, and again until it is answered. */
import type { DeviceMessage, EventMessage } from '../socket/protocol.ts';
import type { Connection, DeviceSocket } from './connection.ts';
import { createPause, type Timers, type Timing } from './timing.ts';
import { messageOf, readAnswer } from './wire.ts';

/**
 * Why something a device said was not stored. Codes of this library: `closed`, `queue_full`, `too_large`,
 * `bad_request` (can't be written as JSON); any other is the server's.
 */
export class DeviceError extends Error {
  readonly code: string;
  readonly detail: string;
  constructor(code: string, detail: string) {
    super(`${code}: ${detail}`);
    this.name = 'DeviceError';
    this.code = code;
    this.detail = detail;
  }
}

/** `id` is the server's name for what it stored. */
export type Stored = { id: string };

export type Outbox = {
  event: (event: EventMessage) => Promise<Stored>;
  message: (message: DeviceMessage) => Promise<Stored>;
  bulk: (label: string, bytes: Uint8Array) => Promise<Stored>;
  pump: () => void;
  up: () => void;
  close: () => void;
};

const waitingMessagesMax = 1_000;
const waitingBytesMax = 64 * 1024 * 1024;
/** The server's limit less some room for the frame: a longer one would cost the connection, time after time. */
const messageBytesMax = 16 * 1024 * 1024 - 1024;
const flyingMessagesMax = 32;
/** One large message flies alone: nobody behind it takes the slow line for a lost answer. */
const flyingBytesMax = 64 * 1024;
/** A line slower than this is no line. */
const bytesPerMsMin = 16;

type Send = (socket: DeviceSocket, take: (value: unknown) => void) => void;
type Entry = {
  send: Send;
  bytes: number;
  flying: boolean;
  resolve: (stored: Stored) => void;
  reject: (error: DeviceError) => void;
};

const passing: ReadonlySet<string> = new Set(['too_many', 'unavailable']);

export function createOutbox(parts: {
  connection: () => Connection;
  timers: Timers;
  timing: Timing;
  random: () => number;
}): Outbox {
  const { timing } = parts;
  const pause = createPause(parts.timers, timing, parts.random);
  const waiting: Entry[] = [];
  let waitingBytes = 0;
  let flying = 0;
  let flyingBytes = 0;
  let closed = false;

  function pump(): void {
    if (waiting.length === flying || pause.waiting() || !parts.connection().online()) return;
    for (const entry of waiting) {
      if (entry.flying) continue;
      if (flying >= flyingMessagesMax || (flying > 0 && flyingBytes + entry.bytes > flyingBytesMax)) return;
      void fly(entry);
    }
  }

  async function fly(entry: Entry): Promise<void> {
    entry.flying = true;
    flying++;
    flyingBytes += entry.bytes;
    const connection = parts.connection();
    const answer = readAnswer(
      await connection.ask(timing.answerMs + entry.bytes / bytesPerMsMin, entry.send),
    );
    entry.flying = false;
    flying--;
    flyingBytes -= entry.bytes;
    if (closed) return;
    if (answer.kind === 'none' || (answer.kind === 'refused' && passing.has(answer.error.code))) {
      if (connection.online()) pause.rest(pump);
      return;
    }
    waiting.splice(waiting.indexOf(entry), 1);
    waitingBytes -= entry.bytes;
    if (answer.kind === 'ok') {
      if (!pause.waiting()) pause.reset();
      entry.resolve({ id: answer.id });
    } else {
      entry.reject(new DeviceError(answer.error.code, answer.error.detail));
    }
    pump();
  }

  function submit(bytes: number, send: Send): Promise<Stored> {
    if (closed) return refused('closed', 'the device was closed');
    if (bytes > messageBytesMax) return refused('too_large', `${bytes} bytes, at most ${messageBytesMax}`);
    if (waiting.length >= waitingMessagesMax || waitingBytes + bytes > waitingBytesMax) {
      return refused('queue_full', `${waiting.length} messages of ${waitingBytes} bytes wait already`);
    }
    const stored = new Promise<Stored>((resolve, reject) => {
      waiting.push({ send, bytes, flying: false, resolve, reject });
    });
    waitingBytes += bytes;
    pump();
    return quiet(stored);
  }

  /** What the caller does to its object after the call changes nothing. */
  function submitJson<T>(value: T, sendValue: (value: T) => Send): Promise<Stored> {
    try {
      const text = JSON.stringify(value);
      return submit(new TextEncoder().encode(text).length, sendValue(JSON.parse(text)));
    } catch (error) {
      return refused('bad_request', messageOf(error));
    }
  }

  return {
    event: (event) => submitJson(event, (copy) => (socket, take) => socket.emit('event', copy, take)),
    message: (message) => submitJson(message, (copy) => (socket, take) => socket.emit('message', copy, take)),
    bulk(label, bytes) {
      const copy = new Uint8Array(bytes);
      return submit(copy.length, (socket, take) => socket.emit('bulk', label, copy, take));
    },
    pump,
    up() {
      pause.reset();
      pump();
    },
    close() {
      closed = true;
      for (const entry of waiting.splice(0)) entry.reject(new DeviceError('closed', 'the device was closed'));
    },
  };
}

function refused(code: string, detail: string): Promise<Stored> {
  return quiet(Promise.reject(new DeviceError(code, detail)));
}

/** Who says something and doesn't wait for the answer is not ended by an unhandled rejection. */
function quiet(stored: Promise<Stored>): Promise<Stored> {
  stored.catch(() => {});
  return stored;
}
