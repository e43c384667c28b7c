/**
 * The servers Fleethook is compared with, each as small as it can be and still do that job, with the settings it
 * comes with. None of them stores anything. `node bench/peers.ts <name>`
 */
import { randomUUID } from 'node:crypto';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import express from 'express';
import { rateLimit } from 'express-rate-limit';
import helmet from 'helmet';
import { Server as SocketServer } from 'socket.io';
import { WebSocketServer } from 'ws';
import { answerAsks } from './child.ts';
import { measures } from './measure.ts';

export type PeerName = 'node:http' | 'Express' | 'Express+' | 'raw ws' | 'Socket.IO';
export type PeerAsks = typeof asks;

const limitPerMinute = 1_000_000_000;

const peers: Record<PeerName, () => Server> = {
  'node:http': () =>
    createServer((request, response) => {
      readJson(request, (body) => sendJson(response, answerTo(body)));
    }),

  Express() {
    const app = express();
    app.post('/', express.json(), (request, response) => void response.json(answerTo(request.body)));
    return createServer(app);
  },

  'Express+'() {
    const app = express();
    app.use(helmet());
    app.use(rateLimit({ limit: limitPerMinute, standardHeaders: 'draft-8', legacyHeaders: false }));
    app.post('/', express.json(), (request, response) => void response.json(answerTo(request.body)));
    return createServer(app);
  },

  /** One string, made once, sent to each; a receipt is parsed and answered. */
  'raw ws'() {
    const server = createServer((request, response) => {
      readJson(request, (body) => {
        const frame = JSON.stringify(['command', commandOf(body)]);
        for (const client of devices.clients) client.send(frame);
        sendJson(response, answerTo(body));
      });
    });
    const devices = new WebSocketServer({ server });
    devices.on('connection', (socket) => {
      socket.on('message', (data) => {
        const [, id] = JSON.parse(String(data)) as [string, number, unknown];
        socket.send(JSON.stringify(['ack', id, { ok: true }]));
      });
    });
    return server;
  },

  'Socket.IO'() {
    const server = createServer((request, response) => {
      if (request.url?.startsWith('/socket.io')) return;
      readJson(request, (body) => {
        devices.emit('command', commandOf(body));
        sendJson(response, answerTo(body));
      });
    });
    const devices = new SocketServer(server).of('/devices');
    devices.use((_socket, next) => next());
    devices.on('connection', (socket) => {
      socket.on('receipt', (_receipt: unknown, ack: (answer: { ok: true }) => void) => ack({ ok: true }));
    });
    return server;
  },
};

type Call = { event_id?: string; sensor_data?: { id?: string } };

function readJson(request: IncomingMessage, take: (call: Call) => void): void {
  let text = '';
  request.setEncoding('utf8');
  request.on('data', (part) => {
    text += part;
  });
  request.on('end', () => take(JSON.parse(text)));
}

function sendJson(response: ServerResponse, answer: object): void {
  const text = JSON.stringify(answer);
  response.writeHead(200, { 'content-type': 'application/json', 'content-length': Buffer.byteLength(text) });
  response.end(text);
}

/** As long as Fleethook's answer. */
function answerTo(call: Call) {
  return {
    message: 'success',
    trigger_id: randomUUID(),
    event_id: call.event_id,
    commands: [{ id: randomUUID(), function: 'show_toast', targeted: 5_000, online: 0 }],
  };
}

/** As long as Fleethook's command. */
function commandOf(call: Call) {
  const now = Date.now();
  return {
    id: randomUUID(),
    function: 'show_toast',
    params: { message: `Motion at ${call.sensor_data?.id}` },
    issued_at: new Date(now).toISOString(),
    expires_at: new Date(now + 300_000).toISOString(),
    trigger_id: randomUUID(),
  };
}

const name = process.argv[2] as PeerName;
const server = peers[name]();
await new Promise<void>((resolve) => {
  server.listen(0, '127.0.0.1', resolve);
});
const asks = {
  ...measures,
  url: (): string => `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
};
answerAsks(asks);
