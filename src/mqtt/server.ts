/** The MQTT door: TCP or TLS on a port of its own, WebSocket on the port of the HTTP door. */
import { readFileSync } from 'node:fs';
import type { Server as HttpServer, IncomingMessage } from 'node:http';
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { createServer as createTlsServer } from 'node:tls';
import { createWebSocketStream, WebSocketServer } from 'ws';
import type { Config } from '../config.ts';
import type { Context } from '../domain/context.ts';
import { Fault } from '../domain/fault.ts';
import { messageBytesMax } from '../domain/intake/publish.ts';
import { plainAddress } from '../network.ts';
import { openBroker } from './broker.ts';

/** A WebSocket frame of a device: one packet of the largest kind, as clients send them. */
const frameBytesMax = messageBytesMax + 65_536;
/** Finds out that a device is gone that asked for no keep-alive of its own. */
const keepAliveMs = 60_000;
const webSocketPath = '/mqtt';
/** What clients call it: as in MQTT 3.1.1 §6, and before. */
const subprotocols = ['mqtt', 'mqttv3.1'];

export type MqttDoor = {
  /** Null when MQTT is off. */
  port: number | null;
  /** Stops listening, and sends every device away when what it has published is stored. */
  close(): Promise<void>;
};

type Take = (socket: Duplex, address: string | null) => void;

/** Rejects when the port is taken, with the error's `setting` saying whose; throws a `Fault` for unusable PEM files. */
export async function openMqtt(options: {
  ctx: Context;
  config: Config;
  server: HttpServer;
  addressOf: (request: IncomingMessage) => string | null;
  onError: (error: unknown) => void;
}): Promise<MqttDoor> {
  const { ctx, config, server, addressOf, onError } = options;
  if (config.mqttPort === null) return { port: null, close: async () => undefined };
  await using opened = new AsyncDisposableStack();
  const broker = await openBroker(ctx, onError);
  opened.defer(() => broker.close());
  const listener = createListener(config.mqttTls, broker.take, (error) =>
    ctx.log.debug({ detail: error.message }, 'a TLS handshake failed'),
  );
  const sockets = new Set<Socket>();
  listener.on('connection', (socket: Socket) => {
    sockets.add(socket);
    socket.once('close', () => sockets.delete(socket));
  });
  await listen(listener, config.mqttPort, config.host);
  listener.on('error', onError);
  const detach = attach(server, (socket, request) => broker.take(socket, addressOf(request)));
  opened.move();

  async function close(): Promise<void> {
    detach();
    const closed = new Promise<void>((resolve) => listener.close(() => resolve()));
    await broker.close();
    // Those that have said nothing yet, and are in the midst of a handshake.
    for (const socket of sockets) if (!socket.writableEnded) socket.destroy();
    await closed;
  }
  let closing: Promise<void> | undefined;
  return { port: (listener.address() as AddressInfo).port, close: () => (closing ??= close()) };
}

function createListener(tls: Config['mqttTls'], take: Take, onTlsError: (error: Error) => void): Server {
  const options = { noDelay: true, keepAlive: true, keepAliveInitialDelay: keepAliveMs };
  const onSocket = (socket: Socket) => take(socket, plainAddress(socket.remoteAddress));
  if (tls === null) return createServer(options, onSocket);
  const cert = readPem('MQTT_TLS_CERT', tls.certFile);
  const key = readPem('MQTT_TLS_KEY', tls.keyFile);
  try {
    return createTlsServer({ ...options, cert, key }, onSocket).on('tlsClientError', onTlsError);
  } catch (cause) {
    const { message } = cause as Error;
    throw new Fault('bad_request', `MQTT_TLS_CERT and MQTT_TLS_KEY cannot be used: ${message}`, { cause });
  }
}

function readPem(setting: string, path: string): Buffer {
  try {
    return readFileSync(path);
  } catch (cause) {
    throw new Fault('bad_request', `${setting} cannot be read: ${(cause as Error).message}`, { cause });
  }
}

function listen(listener: Server, port: number, host: string): Promise<void> {
  return new Promise((resolve, reject) => {
    const fail = (error: Error) => reject(Object.assign(error, { setting: 'MQTT_PORT' }));
    listener.once('error', fail);
    listener.listen(port, host, () => {
      listener.off('error', fail);
      resolve();
    });
  });
}

/** Takes the upgrades to MQTT from the HTTP server, and leaves the others to whoever shares it; answers the end of it. */
function attach(server: HttpServer, take: (socket: Duplex, request: IncomingMessage) => void): () => void {
  const webSockets = new WebSocketServer({
    noServer: true,
    clientTracking: false,
    maxPayload: frameBytesMax,
    perMessageDeflate: false,
    handleProtocols: (offered) => subprotocols.find((name) => offered.has(name)) ?? false,
  });
  const onUpgrade = (request: IncomingMessage, socket: Duplex, head: Buffer) => {
    if (request.url?.split('?', 1)[0] !== webSocketPath) return;
    if (!offeredBy(request).some((name) => subprotocols.includes(name))) {
      socket.end('HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\nThe subprotocol has to be mqtt.\n');
      return;
    }
    webSockets.handleUpgrade(request, socket, head, (webSocket) => {
      // In binary frames alone (MQTT 3.1.1 §6).
      webSocket.on('message', (_data, isBinary) => {
        if (!isBinary) webSocket.terminate();
      });
      take(createWebSocketStream(webSocket), request);
    });
  };
  server.on('upgrade', onUpgrade);
  return () => server.off('upgrade', onUpgrade);
}

function offeredBy(request: IncomingMessage): string[] {
  return (request.headers['sec-websocket-protocol'] ?? '').split(',').map((name) => name.trim());
}
