/** A fleet in one process: thousands of real devices of the device library, well behaved or not. */
import { setTimeout as sleep } from 'node:timers/promises';
import { cutConnection } from '../client/connection.ts';
import { type CommandMessage, connectDevice, type Device, type DeviceState } from '../client/device.ts';

export type FleetStats = {
  devices: number;
  connected: number;
  reconnects: number;
  /** Attempts to connect that failed, and what the latest of them said. */
  attemptsFailed: number;
  lastError: string | null;
  states: number;
  pulses: number;
  /** Of states and pulses together. */
  applied: number;
  failed: number;
};

export type Fleet = {
  /** Live: read it whenever you like. */
  readonly stats: Readonly<FleetStats>;
  /** Resolves when the signal was given and every device is closed. */
  readonly ended: Promise<void>;
};

export type FleetOptions = {
  url: string;
  /** One device for each. */
  tokens: readonly string[];
  /** Cuts connections, dawdles, fails at times and sends receipts that are none. */
  chaos?: boolean;
  applyMilliseconds?: number;
  random?: () => number;
  /** `device` is the place of its token. */
  onApplied?: (device: number, applied: CommandMessage | DeviceState) => void;
  signal: AbortSignal;
  connectPerSecond?: number;
};

const tickMs = 50;
const connectPerSecondDefault = 500;

/** With chaos, each device is cut off and sends garbage this often on average. */
const cutEveryMs = 60_000;
const garbageEveryMs = 120_000;
const chaosAwayMsMost = 10_000;
const chaosApplyMsMost = 2_000;
const chaosFailedShare = 0.01;
const garbage: readonly unknown[] = [
  null,
  'receipt',
  {},
  [],
  [null],
  { id: 7, status: 'applied' },
  { id: 'nobody', status: 'applied' },
  { id: 'nobody', status: 'exploded' },
];

export function simulateFleet(options: FleetOptions): Fleet {
  const { tokens, signal, chaos = false, random = Math.random } = options;
  const perTick = ((options.connectPerSecond ?? connectPerSecondDefault) * tickMs) / 1000;
  const devices: Device[] = [];
  const stats: FleetStats = {
    devices: tokens.length,
    connected: 0,
    reconnects: 0,
    attemptsFailed: 0,
    lastError: null,
    states: 0,
    pulses: 0,
    applied: 0,
    failed: 0,
  };
  /** What has come due by now, in fractions: one clock for the whole fleet, none for a device. */
  const due = { connects: 0, cuts: 0, garbage: 0 };

  async function apply(device: number, what: CommandMessage | DeviceState): Promise<void> {
    const wait = (options.applyMilliseconds ?? 0) + (chaos ? random() * chaosApplyMsMost : 0);
    if (wait > 0) await sleep(wait, undefined, { ref: false });
    if (chaos && random() < chaosFailedShare) {
      stats.failed++;
      throw new Error('chaos');
    }
    stats.applied++;
    options.onApplied?.(device, what);
  }

  function connect(index: number, token: string): Device {
    let online = false;
    let known = false;
    const device = connectDevice({
      url: options.url,
      token,
      random,
      ...(chaos ? { timing: { reconnectFirstMs: chaosAwayMsMost } } : {}),
      onState(state) {
        stats.states++;
        return apply(index, state);
      },
      async onCommand(command) {
        stats.pulses++;
        await apply(index, command);
        if (command.function === 'restart_device') cutConnection(device.socket);
      },
      onConnection(connection) {
        if (connection.online !== online) stats.connected += connection.online ? 1 : -1;
        if (connection.online && known) stats.reconnects++;
        if (!connection.online && !online) stats.attemptsFailed++;
        if (connection.error) stats.lastError = `${connection.error.code}: ${connection.error.detail}`;
        online = connection.online;
        known ||= online;
      },
    });
    return device;
  }

  function some<T>(of: readonly T[]): T | undefined {
    return of[Math.floor(random() * of.length)];
  }

  function tick(): void {
    for (due.connects += perTick; due.connects >= 1 && devices.length < tokens.length; due.connects--) {
      devices.push(connect(devices.length, tokens[devices.length] ?? ''));
    }
    if (!chaos) return;
    for (due.cuts += (devices.length * tickMs) / cutEveryMs; due.cuts >= 1; due.cuts--) {
      const device = some(devices);
      if (device?.online) cutConnection(device.socket);
    }
    for (due.garbage += (devices.length * tickMs) / garbageEveryMs; due.garbage >= 1; due.garbage--) {
      const device = some(devices);
      if (device?.online) device.socket.emit('receipt', some(garbage) as never);
    }
  }

  const ended = new Promise<void>((resolve, reject) => {
    const clock = setInterval(tick, tickMs);
    const stop = () => {
      clearInterval(clock);
      Promise.all(devices.map((device) => device.close())).then(() => {
        stats.connected = 0;
        resolve();
      }, reject);
    };
    if (signal.aborted) stop();
    else signal.addEventListener('abort', stop, { once: true });
  });
  return { stats, ended };
}
