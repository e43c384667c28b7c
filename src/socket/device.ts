/** A device over Socket.IO: authenticates by its token, is caught up, gives receipts. */

import type { IncomingMessage } from 'node:http';
import type { Namespace, Socket } from 'socket.io';
import { noteReceived, takeReceipts } from '../domain/command/receipt.ts';
import type { Context } from '../domain/context.ts';
import { authenticateDevice } from '../domain/device/connection.ts';
import type { ConnectedDevice, Door } from '../domain/device/presence.ts';
import { createSession, explained, type Session } from '../domain/device/session.ts';
import type { Sender } from '../domain/event/origin.ts';
import { describeFault } from '../domain/fault.ts';
import { publishBulk, publishEvent, publishMessage } from '../domain/intake/publish.ts';
import { frameOf, sendIfIdle } from './broadcast.ts';
import {
  type DeviceToServer,
  finalWhenReceived,
  type ReceiptAnswer,
  type ServerToDevice,
  type StoredAnswer,
} from './protocol.ts';

const instanceCharactersMax = 100;

type SocketData = { device: ConnectedDevice };
export type DeviceNamespace = Namespace<DeviceToServer, ServerToDevice, Record<string, never>, SocketData>;
type DeviceSocket = Socket<DeviceToServer, ServerToDevice, Record<string, never>, SocketData>;

export function useDevices(
  ctx: Context,
  namespace: DeviceNamespace,
  addressOf: (request: IncomingMessage) => string | null,
): void {
  const door: Door = {
    name: 'socket',
    deliver(connections, { event, message }) {
      if (event === 'command' && finalWhenReceived.includes(message.function)) {
        for (const connection of connections) {
          const take = () => noteReceived(ctx, connection.device, message.id);
          (connection.handle as DeviceSocket).emit('command', message, take);
        }
        return;
      }
      const frame = frameOf(namespace.name, event, message);
      const others: string[] = [];
      for (const connection of connections) {
        const socket = connection.handle as DeviceSocket;
        if (frame === null || !sendIfIdle(socket.conn, frame)) others.push(socket.id);
      }
      if (others.length === 0) return;
      const sockets = namespace.to(others);
      if (event === 'state') sockets.emit('state', message);
      else sockets.emit('command', message);
    },
    disconnect: (connection) => (connection.handle as DeviceSocket).disconnect(true),
    isAlive: ({ handle }) => isAlive((handle as DeviceSocket).conn),
  };

  namespace.use((socket, next) => {
    authenticateDevice(ctx, socket.handshake.auth.token).then(
      (device) => {
        socket.data.device = device;
        next();
      },
      (error: unknown) => next(refusalOf(ctx, error)),
    );
  });

  namespace.on('connection', (socket) => {
    const session = createSession(ctx, {
      door,
      handle: socket,
      address: addressOf(socket.request),
      instance: instanceOf(socket),
      tooFast: 'refuse',
      drop: () => socket.disconnect(true),
    });
    socket.on('disconnect', () => session.gone());
    listen(ctx, socket, session);
    session.welcome(socket.data.device);
  });
}

/** A client that does not say which machine it is, is another one at each connection. */
function instanceOf({ id, handshake }: DeviceSocket): string {
  const { instance } = handshake.auth;
  const isGood = typeof instance === 'string' && instance !== '' && instance.length <= instanceCharactersMax;
  return isGood ? instance : id;
}

type EngineSocket = DeviceSocket['conn'];
const questions = new WeakMap<EngineSocket, Promise<boolean>>();

/** Asks out of turn what is asked every 25 seconds; anything at all that comes back will do. */
function isAlive(conn: EngineSocket): Promise<boolean> {
  const asked = questions.get(conn);
  if (asked !== undefined) return asked;
  const { promise, resolve } = Promise.withResolvers<boolean>();
  const onPacket = () => resolve(true);
  const onClose = () => resolve(false);
  conn.once('packet', onPacket).once('close', onClose);
  if (conn.readyState === 'open') (conn as unknown as { sendPacket(type: 'ping'): void }).sendPacket('ping');
  else resolve(false);
  const answered = promise.finally(() => {
    conn.off('packet', onPacket).off('close', onClose);
    questions.delete(conn);
  });
  questions.set(conn, answered);
  return answered;
}

type Ack = (answer: StoredAnswer | ReceiptAnswer) => void;

function listen(ctx: Context, socket: DeviceSocket, session: Session): void {
  /** Does the work and tells the acknowledgement, which is the last thing sent if it was asked for at all. */
  const hear = (
    event: keyof DeviceToServer,
    work: (sender: Sender, said: readonly unknown[]) => Promise<string | undefined>,
  ) =>
    socket.on(event, (...said: unknown[]) => {
      const last = said.at(-1);
      const reply: Ack = typeof last === 'function' ? (last as Ack) : () => undefined;
      session
        .hear(bytesOf(said), (sender) => work(sender, said))
        .then(
          (id) => reply(id === undefined ? { ok: true } : { ok: true, id }),
          (error: unknown) => reply({ ok: false, error: describeFault(error) }),
        );
    });
  hear('receipt', async (sender, [receipts]) => {
    await takeReceipts(ctx, sender.device, receipts);
    return undefined;
  });
  hear('event', (sender, [event]) => publishEvent(ctx, sender, event));
  hear('message', (sender, [message]) => publishMessage(ctx, sender, message));
  hear('bulk', (sender, [label, bytes]) => publishBulk(ctx, sender, label, bytes));
}

function bytesOf(said: readonly unknown[]): number {
  return said.reduce<number>((sum, part) => sum + (ArrayBuffer.isView(part) ? part.byteLength : 0), 0);
}

function refusalOf(ctx: Context, thrown: unknown): Error {
  const data = describeFault(explained(ctx, thrown, 'a device could not be let in'));
  return Object.assign(new Error(data.detail), { data });
}
