/** The device library: a device that does what it is told once, and proves it. In Node and in browsers. */
import { type DeviceState, emptyState, type Slot } from '../domain/device/state.ts';
import type { CommandMessage, WireError } from '../socket/protocol.ts';
import { createApply } from './apply.ts';
import { createServerClock } from './clock.ts';
import { createConnection, type DeviceSocket, type Transport } from './connection.ts';
import { createKeeper, createMemory } from './memory.ts';
import { createOutbox, type Stored } from './outbox.ts';
import { createReceipts } from './receipts.ts';
import type { DeviceStorage } from './storage.ts';
import { createTimers, defaultTiming, type Timing } from './timing.ts';

// biome-ignore-start lint/performance/noBarrelFile: what the package exports is one file.
export type { ContentState, DeviceState, EmergencyState, LoopState, Slot } from '../domain/device/state.ts';
export type { CommandMessage, WireError } from '../socket/protocol.ts';
export { DeviceError, type Stored } from './outbox.ts';
export { type DeviceStorage, memoryStorage, webStorage } from './storage.ts';
export type { Timing } from './timing.ts';
// biome-ignore-end lint/performance/noBarrelFile: that is all of it.

export type DeviceOptions = {
  /** Of the server, with a path when it lives under one: `https://hooks.example/fleet`. */
  url: string;
  token: string;
  /**
   * Shows the state. Called with all members as the first thing a device does (with the stored state, when there is
   * one, even before there is a network), then whenever a member changed. When it has come back the commands behind
   * it are reported as applied, when it throws as failed with that text, and the next state shows those members again.
   */
  onState?: (state: DeviceState, changed: Slot[]) => void | Promise<void>;
  /** Does a pulse; reported as applied when it has come back, as failed when it throws. Once for each id. */
  onCommand?: (command: CommandMessage) => void | Promise<void>;
  /** `error` says why it is offline: a code of the server (`bad_token`), `unreachable`, `timeout` or `disconnected`. */
  onConnection?: (connection: { online: boolean; error?: WireError }) => void;
  /** What a hook or the storage threw, and receipts the server refused. Nothing of it stops the device. */
  onProblem?: (problem: { where: ProblemPlace; error: unknown }) => void;
  /** Without one, a device forgets with its process what it has done; see `memory.ts` for what is kept. */
  storage?: DeviceStorage;
  /** WebSocket alone unless said; `['websocket', 'polling']` falls back where a proxy forbids it. */
  transports?: readonly Transport[];
  /** Milliseconds since the epoch. Asked only until the server has said what time it is: its clock decides. */
  now?: () => number;
  random?: () => number;
  timing?: Partial<Timing>;
};

export type ProblemPlace = 'onState' | 'onCommand' | 'onConnection' | 'storage' | 'receipt';

export type Device = {
  /** What it should be showing now. */
  readonly state: DeviceState;
  readonly online: boolean;
  /** The connection beneath, for drills and simulators. */
  readonly socket: DeviceSocket;
  /**
   * `event`, `message` and `bulk` resolve when the server has stored it, and go out again until it has answered,
   * in order as far as no refusal for the moment comes between. One whose answer was lost may be stored twice.
   * They reject with a `DeviceError`; who doesn't wait for them need not catch it.
   */
  event: (type: string, data?: Record<string, unknown>) => Promise<Stored>;
  message: (message: { type?: string; payload: unknown }) => Promise<Stored>;
  bulk: (label: string, bytes: Uint8Array) => Promise<Stored>;
  /** Gives the last receipts a moment, saves, says goodbye: nothing is left open. A hook under way is not awaited. */
  close: () => Promise<void>;
};

/**
 * Connects, and stays connected until `close`. States and commands are applied one after another in the order they
 * came in; a restart with `jitter` waits outside of the line and then takes its turn. A pulse is applied once, also
 * across restarts when there is a `storage`: one that was begun and not finished is reported as failed
 * (`interrupted`), a restart as applied. The server's clock decides when something ends, and the device's own calendar
 * never: without a network the time that is left runs on by a clock that nobody can set, and after a restart it goes on
 * from what was left.
 *
 * @example
 * const device = connectDevice({
 *   url: 'http://localhost:8080',
 *   token: 'fhd_…',
 *   onState: ({ emergency, content }) => console.log(emergency?.message ?? content?.url ?? 'the usual'),
 *   onCommand: ({ function: name, params }) => console.log(name, params),
 * });
 * await device.event('motion', { zone: 4 }); // stored, and on its way to every webhook that asks for it
 * await device.close();
 */
export function connectDevice(options: DeviceOptions): Device {
  const timing = options.timing ? { ...defaultTiming, ...options.timing } : defaultTiming;
  const { now = Date.now, random = Math.random } = options;
  const clock = createServerClock({ deviceNow: now, monotonicNow: () => performance.now() });
  const timers = createTimers();
  const memory = createMemory();
  const shared = { memory, clock, timers, timing, random };

  const problem = (where: ProblemPlace) => (error: unknown) => {
    void contain(() => options.onProblem?.({ where, error }));
  };
  const announce = (connection: { online: boolean; error?: WireError }) => {
    void contain(() => options.onConnection?.(connection)).then(
      (failed) => failed && problem('onConnection')(failed.error),
    );
  };

  const keeper = createKeeper({ ...shared, storage: options.storage, problem: problem('storage') });
  const receipts = createReceipts({
    ...shared,
    keeper,
    connection: () => connection,
    problem: problem('receipt'),
  });
  const apply = createApply({
    ...shared,
    keeper,
    receipts,
    online: () => connection.online(),
    hooks: options,
    problem: (where, error) => problem(where)(error),
  });
  const outbox = createOutbox({ ...shared, connection: () => connection });
  const connection = createConnection({
    ...shared,
    url: options.url,
    token: options.token,
    transports: options.transports ?? ['websocket'],
    up() {
      apply.up();
      receipts.up();
      outbox.up();
      announce({ online: true });
    },
    down(error) {
      apply.down();
      announce({ online: false, error });
    },
    state: apply.state,
    command: apply.command,
  });

  let closing: Promise<void> | null = null;

  async function start(): Promise<void> {
    if (keeper.durable) await keeper.load();
    if (closing !== null) return;
    apply.start();
    connection.open();
    apply.down();
  }

  async function close(): Promise<void> {
    apply.close();
    outbox.close();
    await started;
    receipts.flush();
    if (connection.online()) await receipts.drained(timing.closeMs);
    await keeper.close();
    await connection.close();
    timers.close();
  }

  const started = start();
  return {
    get state() {
      return memory.state ?? emptyState;
    },
    get online() {
      return connection.online();
    },
    socket: connection.socket,
    event: (type, data) =>
      outbox.event({ eventType: type, ...(data === undefined ? {} : { eventData: data }) }),
    message: outbox.message,
    bulk: outbox.bulk,
    close() {
      closing ??= close();
      return closing;
    },
  };
}

/** Runs a hook whose failure must not reach us, whether it throws or rejects; answers what it threw. */
async function contain(hook: () => unknown): Promise<{ error: unknown } | null> {
  try {
    await hook();
    return null;
  } catch (error) {
    return { error };
  }
}
