/** The Socket.IO door: shares the port of the HTTP door. */
import type { Server as HttpServer, IncomingMessage } from 'node:http';
import { Server } from 'socket.io';
import type { Context } from '../domain/context.ts';
import { useDevices } from './device.ts';
import { devicesNamespace } from './protocol.ts';

/** The largest message of a device, with room for what wraps it. */
const messageBytesMax = 16 * 1_024 * 1_024 + 65_536;

export type SocketDoor = {
  /** Sends every device away; they come back to whoever answers then. */
  close(): Promise<void>;
};

export function openSockets(
  ctx: Context,
  server: HttpServer,
  addressOf: (request: IncomingMessage) => string | null,
): SocketDoor {
  const io = new Server(server, {
    serveClient: false,
    maxHttpBufferSize: messageBytesMax,
    // Devices bring a token of their own in the handshake, never a cookie: any page may be a player.
    cors: { origin: '*' },
  });
  useDevices(ctx, io.of(devicesNamespace), addressOf);
  return {
    close: async () => {
      io.disconnectSockets(true);
      await io.close();
    },
  };
}
