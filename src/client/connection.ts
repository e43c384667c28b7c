/** The connection of one device: it comes back for ever, whoever ended it, until it is closed. */
import { Manager, type Socket } from 'socket.io-client';
import {
  type DeviceToServer,
  devicesNamespace,
  type ServerToDevice,
  type WireError,
} from '../socket/protocol.ts';
import { backOffMs, type Timers, type Timing } from './timing.ts';
import { messageOf, readError } from './wire.ts';

export type DeviceSocket = Socket<ServerToDevice, DeviceToServer>;
export type Transport = 'websocket' | 'polling';

export type Connection = {
  readonly socket: DeviceSocket;
  online: () => boolean;
  open: () => void;
  /** Sends one message and hands back what the server answers; undefined when it is late or lost. */
  ask: (
    milliseconds: number,
    send: (socket: DeviceSocket, answer: (value: unknown) => void) => void,
  ) => Promise<unknown>;
  /** Says goodbye and resolves when nothing of it is left open. */
  close: () => Promise<void>;
};

const protocols: ReadonlySet<string> = new Set(['http:', 'https:', 'ws:', 'wss:']);
const nothing = () => {};

/** What both kinds of sockets have in common, and only the one of Node: an end without a farewell. */
type RawSocket = {
  readyState: number;
  addEventListener: (name: 'close', run: () => void) => void;
  terminate?: () => void;
};
const rawClosed = 3;

export function createConnection(parts: {
  url: string;
  token: string;
  transports: readonly Transport[];
  timers: Timers;
  timing: Timing;
  random: () => number;
  up: () => void;
  down: (error: WireError) => void;
  state: (message: unknown) => void;
  command: (message: unknown) => void;
}): Connection {
  const { timers, timing } = parts;
  const { origin, pathname, protocol } = new URL(parts.url);
  if (!protocols.has(protocol)) throw new TypeError(`not a URL of a server: ${parts.url}`);
  const manager = new Manager(origin, {
    path: `${pathname.replace(/\/+$/, '')}/socket.io`,
    transports: [...parts.transports],
    ...(parts.transports.length > 1 ? { tryAllTransports: true } : {}),
    autoConnect: false,
    reconnection: false,
  });
  manager.timeout(false);
  const auth = { token: parts.token, instance: newInstance() };
  const socket: DeviceSocket = manager.socket(devicesNamespace, { auth });
  const unanswered = new Set<() => void>();
  let attempt = 0;
  let upSince = 0;
  let closed = false;
  /** Held until it is surely gone: a goodbye to a server that is dead would hold the process for long. */
  let raw: RawSocket | null = null;
  /** The one wait there is at a time: for the welcome, or for the next attempt. */
  let callOff = nothing;

  function connect(): void {
    callOff = timers.after(timing.connectMs, () => {
      socket.disconnect();
      fell({ code: 'timeout', detail: 'the server did not answer in time' });
    });
    socket.connect();
  }

  /** One fall may be reported twice, as an error and as a disconnect: the last wait counts. */
  function fell(error: WireError): void {
    if (closed) return;
    if (upSince > 0 && performance.now() - upSince >= timing.stableMs) attempt = 0;
    upSince = 0;
    socket.sendBuffer = [];
    raw?.terminate?.();
    raw = null;
    for (const giveUp of [...unanswered]) giveUp();
    const wait =
      error.code === 'bad_token'
        ? backOffMs(0, timing.badTokenMs, timing.badTokenMs, parts.random)
        : backOffMs(attempt++, timing.reconnectFirstMs, timing.reconnectMostMs, parts.random);
    callOff();
    callOff = timers.after(wait, connect);
    parts.down(error);
  }

  socket.on('connect', () => {
    callOff();
    callOff = nothing;
    upSince = performance.now();
    raw = rawOf(socket);
    parts.up();
  });
  socket.on('connect_error', (error) => {
    fell(readError(error.data) ?? { code: 'unreachable', detail: messageOf(error) });
  });
  socket.on('disconnect', (reason) => fell({ code: 'disconnected', detail: reason }));
  socket.on('state', (message: unknown) => parts.state(message));
  socket.on('command', (message: unknown) => parts.command(message));

  return {
    socket,
    online: () => socket.connected,
    open: connect,
    ask(milliseconds, send) {
      return new Promise((resolve) => {
        const settle = (value: unknown) => {
          callOffAnswer();
          unanswered.delete(giveUp);
          resolve(value);
        };
        const giveUp = () => settle(undefined);
        const callOffAnswer = timers.after(milliseconds, giveUp);
        unanswered.add(giveUp);
        send(socket, settle);
      });
    },
    async close() {
      closed = true;
      callOff();
      raw = rawOf(socket);
      socket.disconnect();
      socket.removeAllListeners();
      for (const giveUp of [...unanswered]) giveUp();
      if (raw) await ended(raw, timing.closeMs);
    },
  };
}

/** The server tells machines that share a token apart by it. No secret; `crypto` is not everywhere in browsers. */
function newInstance(): string {
  return Array.from({ length: 3 }, () => Math.random().toString(36).slice(2)).join('');
}

/** Ends the connection under the library as a pulled cable would: for drills, tests and simulators. */
export function cutConnection(socket: DeviceSocket): void {
  const raw = rawOf(socket);
  if (raw?.terminate) raw.terminate();
  else socket.io.engine?.close();
}

function rawOf(socket: DeviceSocket): RawSocket | null {
  const transport: unknown = socket.io.engine?.transport;
  return (transport as { ws?: RawSocket | null } | undefined)?.ws ?? null;
}

/** Waits for the goodbye to be answered, not for long. */
function ended(raw: RawSocket, milliseconds: number): Promise<void> {
  return new Promise((resolve) => {
    if (raw.readyState === rawClosed) return resolve();
    const timer = setTimeout(() => {
      raw.terminate?.();
      resolve();
    }, milliseconds);
    raw.addEventListener('close', () => {
      clearTimeout(timer);
      resolve();
    });
  });
}
