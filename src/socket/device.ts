/** A device over Socket.IO: authenticates by its token, is caught up, gives receipts. */

import type { IncomingMessage } from 'node:http';
import type { Namespace, Socket } from 'socket.io';
import { takeReceipts } from '../domain/command/receipt.ts';
import type { Context } from '../domain/context.ts';
import { authenticateDevice, closeConnection, openConnection } from '../domain/device/connection.ts';
import { createFlood, type Flood } from '../domain/device/flood.ts';
import type { ConnectedDevice, Connection, Door } from '../domain/device/presence.ts';
import type { Sender } from '../domain/event/origin.ts';
import { describeFault, Fault } from '../domain/fault.ts';
import { publishBulk, publishEvent, publishMessage } from '../domain/intake/publish.ts';
import { withoutDatabase } from '../domain/readiness.ts';
import { frameOf, sendIfIdle } from './broadcast.ts';
import type { DeviceToServer, ReceiptAnswer, Refusal, ServerToDevice, StoredAnswer } from './protocol.ts';

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
    let connection: Connection | null = null;
    let isGone = false;
    socket.on('disconnect', () => {
      isGone = true;
      if (connection) closeConnection(ctx, connection);
    });
    const { device } = socket.data;
    const address = addressOf(socket.request);
    listen(ctx, socket, () => ({ device: connection?.device ?? device, address }));
    openConnection(ctx, { door, handle: socket, address, device }).then(
      (opened) => {
        connection = opened;
        if (isGone) closeConnection(ctx, opened);
      },
      (error: unknown) => {
        // Without its state a device must not believe that it is up to date: it comes back and asks again.
        ctx.log.error({ err: error, device: device.id }, 'a device could not be caught up');
        socket.disconnect(true);
      },
    );
  });
}

type Ack = (answer: StoredAnswer | ReceiptAnswer) => void;

/** `sender` is asked at each message: a device may be moved while it is connected. */
function listen(ctx: Context, socket: DeviceSocket, sender: () => Sender): void {
  const flood = createFlood(() => performance.now());
  /** Does the work and tells the acknowledgement, which is the last thing sent if it was asked for at all. */
  const hear = (
    event: keyof DeviceToServer,
    work: (said: readonly unknown[]) => Promise<string | undefined>,
  ) =>
    socket.on(event, (...said: unknown[]) => {
      const last = said.at(-1);
      const reply: Ack = typeof last === 'function' ? (last as Ack) : () => undefined;
      withinFlood(flood, said, () => work(said)).then(
        (id) => reply(id === undefined ? { ok: true } : { ok: true, id }),
        (error: unknown) => reply(refusal(ctx, error)),
      );
    });
  hear('receipt', async ([receipts]) => {
    await takeReceipts(ctx, sender().device, receipts);
    return undefined;
  });
  hear('event', ([event]) => publishEvent(ctx, sender(), event));
  hear('message', ([message]) => publishMessage(ctx, sender(), message));
  hear('bulk', ([label, bytes]) => publishBulk(ctx, sender(), label, bytes));
}

async function withinFlood<T>(flood: Flood, said: readonly unknown[], work: () => Promise<T>): Promise<T> {
  const bytes = said.reduce<number>((sum, part) => sum + (ArrayBuffer.isView(part) ? part.byteLength : 0), 0);
  if (!flood.take(bytes)) throw new Fault('too_many', 'the device sends too fast', { retryAfter: 1 });
  return work();
}

function refusal(ctx: Context, thrown: unknown): Refusal {
  const error = withoutDatabase(thrown);
  if (!(error instanceof Fault)) ctx.log.error({ err: error }, 'a message of a device failed');
  return { ok: false, error: describeFault(error) };
}

function refusalOf(ctx: Context, error: unknown): Error {
  const { error: data } = refusal(ctx, error);
  return Object.assign(new Error(data.detail), { data });
}
