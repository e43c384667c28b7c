/** Posts on the way out, and receivers that answer them byte for byte as a test says. */
import type { LookupAddress } from 'node:dns';
import { once } from 'node:events';
import { createServer as createHttpServer, type IncomingMessage, type RequestListener } from 'node:http';
import { type AddressInfo, createServer as createTcpServer, type Server, type Socket } from 'node:net';
import type { TestContext } from 'node:test';
import type { OutgoingRequest } from '../../src/domain/delivery/attempt.ts';
import { createPoster, type PosterOptions } from '../../src/outbound/post.ts';

const loopback = '127.0.0.1/32';
export const attemptMs = 300;
const running = () => new AbortController().signal;

/** Listens on a free port of 127.0.0.1 for the length of the test, and counts who comes. */
export async function listen(t: TestContext, server: Server) {
  const sockets = new Set<Socket>();
  let connections = 0;
  server.on('connection', (socket: Socket) => {
    connections += 1;
    sockets.add(socket);
    socket.on('error', () => undefined).on('close', () => sockets.delete(socket));
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.after(() => {
    server.close();
    for (const socket of sockets) socket.destroy();
  });
  const { port } = server.address() as AddressInfo;
  return {
    port,
    url: `http://127.0.0.1:${port}/`,
    connections: () => connections,
    open: () => sockets.size,
  };
}

export const receiver = (t: TestContext, answer: RequestListener) => listen(t, createHttpServer(answer));

/** Sends these bytes to whoever says something, and then hangs up if told to. */
export const rawReceiver = (t: TestContext, bytes: string, hangsUp = true) =>
  listen(
    t,
    createTcpServer((socket) => {
      socket.once('data', () => (hangsUp ? socket.end(bytes) : socket.write(bytes)));
    }),
  );

export function poster(t: TestContext, options: Partial<PosterOptions> = {}) {
  const made = createPoster({ allowNetworks: [loopback], ...options });
  t.after(() => made.close());
  return {
    ...made,
    send: (url: string, request: Partial<OutgoingRequest> = {}, signal = running()) =>
      made.post({ receiver: url, url, headers: {}, body: '', bodyBytes: 0, ...request }, signal),
  };
}

export async function readAll(request: IncomingMessage): Promise<Buffer> {
  return Buffer.concat(await request.toArray());
}

export const resolveTo =
  (...addresses: string[]) =>
  async (): Promise<LookupAddress[]> =>
    addresses.map((address) => ({ address, family: address.includes(':') ? 6 : 4 }));
