/** The other end of a device's wire, and a device that notes what it is told. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { type Namespace, Server, type Socket } from 'socket.io';
import {
  connectDevice,
  type Device,
  type DeviceOptions,
  type DeviceState,
  type Slot,
} from '../../src/client/device.ts';
import {
  type CommandMessage,
  type DeviceToServer,
  devicesNamespace,
  type ReceiptAnswer,
  type ReceiptMessage,
  type ServerToDevice,
  type StoredAnswer,
} from '../../src/socket/protocol.ts';

type PeerSocket = Socket<DeviceToServer, ServerToDevice>;

/** The other end of the wire: real Socket.IO, and what it says is up to each test. */
export async function openPeer(open: {
  refuse?: (token: unknown) => string | null;
  welcome?: (socket: PeerSocket) => void;
  receipt?: (receipts: ReceiptMessage[]) => ReceiptAnswer | null;
  event?: (type: string) => StoredAnswer | null;
}) {
  const http = createServer();
  const io = new Server(http);
  const namespace: Namespace<DeviceToServer, ServerToDevice> = io.of(devicesNamespace);
  const peer = {
    url: '',
    sockets: [] as PeerSocket[],
    /** Each message as it came: an array of receipts is one. */
    messages: [] as ReceiptMessage[][],
    events: [] as unknown[],
    receipts: () => peer.messages.flat(),
    statuses: (id: string) =>
      peer.receipts().flatMap((receipt) => (receipt.id === id ? [receipt.status] : [])),
    socket: (): PeerSocket => {
      const socket = peer.sockets.at(-1);
      assert.ok(socket, 'a device is connected');
      return socket;
    },
    cut: () => peer.socket().conn.close(),
    [Symbol.asyncDispose]: async () => {
      await io.close();
    },
  };
  namespace.use((socket, next) => {
    const code = open.refuse?.(socket.handshake.auth.token);
    next(code ? Object.assign(new Error(code), { data: { code, detail: 'refused' } }) : undefined);
  });
  namespace.on('connection', (socket) => {
    peer.sockets.push(socket);
    socket.on('receipt', (receipts, take) => {
      const batch = Array.isArray(receipts) ? receipts : [receipts];
      peer.messages.push(batch);
      const answer = open.receipt ? open.receipt(batch) : ({ ok: true } as const);
      if (answer) take?.(answer);
    });
    const store = (name: string, said: unknown, take?: (answer: StoredAnswer) => void) => {
      peer.events.push(said);
      const answer = open.event
        ? open.event(name)
        : { ok: true as const, id: `stored-${peer.events.length}` };
      if (answer) take?.(answer);
    };
    socket.on('event', (event, take) => store(event.eventType, event, take));
    socket.on('message', (message, take) => store(message.type ?? '', message, take));
    socket.on('bulk', (label, bytes, take) => store(label, { label, bytes: [...bytes] }, take));
    open.welcome?.(socket);
  });
  http.listen(0, '127.0.0.1');
  await once(http, 'listening');
  peer.url = `http://127.0.0.1:${(http.address() as AddressInfo).port}`;
  return peer;
}

export const fast = {
  reconnectFirstMs: 20,
  reconnectMostMs: 50,
  badTokenMs: 60,
  answerMs: 100,
  retryFirstMs: 10,
  retryMostMs: 30,
  saveLaterMs: 5,
};

/** A device that notes what it is told. */
export function openDevice(options: { url: string } & Partial<DeviceOptions>) {
  const states: { state: DeviceState; changed: Slot[] }[] = [];
  const pulses: string[] = [];
  const connections: { online: boolean; error?: { code: string } }[] = [];
  const problems: unknown[] = [];
  const { timing, ...others } = options;
  const device: Device = connectDevice({
    token: 'secret',
    onState: (state, changed) => void states.push({ state, changed }),
    onCommand: (command) => void pulses.push(command.id),
    onConnection: (connection) => void connections.push(connection),
    onProblem: ({ error }) => void problems.push(error),
    ...others,
    timing: { ...fast, ...timing },
  });
  return {
    device,
    states,
    pulses,
    connections,
    problems,
    [Symbol.asyncDispose]: () => device.close(),
  };
}

export const nothing: DeviceState = { emergency: null, content: null, loop: null };

export const content = (id: string, ends: number | null = null) => ({
  command_id: id,
  url: `https://example.test/${id}`,
  expires_at: ends === null ? null : new Date(ends).toISOString(),
});

export const emergency = (id: string, ends: number | null = null) => ({
  command_id: id,
  message: 'Leave the building',
  url: null,
  level: 'critical' as const,
  priority: 50,
  drill: false,
  expires_at: ends === null ? null : new Date(ends).toISOString(),
});

export const pulse = (id: string, more: Partial<CommandMessage> = {}): CommandMessage => ({
  id,
  function: 'custom',
  params: {},
  issued_at: new Date().toISOString(),
  expires_at: new Date(Date.now() + 300_000).toISOString(),
  trigger_id: null,
  ...more,
});

export const never = new Promise<void>(() => {});
