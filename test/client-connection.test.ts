/** The client library: how it comes back, waits, and ends. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createServer } from 'node:http';
import { type AddressInfo, createServer as createTcpServer } from 'node:net';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { Server } from 'socket.io';
import { memoryStorage } from '../src/client/device.ts';
import { devicesNamespace } from '../src/socket/protocol.ts';
import { emergency, nothing, openDevice, openPeer, pulse } from './support/peer.ts';
import { waitFor } from './support/wait.ts';

test('a device comes back after the server has put it out, and after a refused token', async () => {
  let refuse: string | null = null;
  await using peer = await openPeer({ refuse: () => refuse });
  await using opened = openDevice({ url: peer.url });
  await waitFor(() => peer.sockets.length === 1, { what: 'the first connection' });
  peer.socket().disconnect(true);
  await waitFor(() => peer.sockets.length === 2, { what: 'the second' });
  refuse = 'bad_token';
  peer.socket().disconnect();
  await waitFor(() => opened.connections.filter(({ error }) => error?.code === 'bad_token').length >= 2, {
    what: 'two refusals',
  });
  refuse = null;
  await waitFor(() => peer.sockets.length === 3 && opened.device.online, { what: 'the third' });
  assert.deepEqual(
    opened.connections.filter(({ online }) => online),
    [1, 2, 3].map(() => ({ online: true })),
  );
});

test('a refused token is tried again slowly', async () => {
  const refusals: number[] = [];
  await using peer = await openPeer({
    refuse: () => {
      refusals.push(performance.now());
      return 'bad_token';
    },
  });
  await using _opened = openDevice({ url: peer.url, random: () => 1, timing: { badTokenMs: 300 } });
  await waitFor(() => refusals.length === 2, { what: 'two attempts' });
  const [first = 0, second = 0] = refusals;
  assert.ok(second - first >= 290, `${second - first} ms between them`);
});

test('a connection that is accepted and never answered is given up for another', async (t) => {
  let accepted = 0;
  const server = createTcpServer((socket) => {
    accepted++;
    socket.on('error', () => {});
  });
  t.after(() => server.close());
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  await using _opened = openDevice({ url, timing: { connectMs: 30 } });
  await waitFor(() => accepted === 3, { what: 'three connections' });
});

test('close gives the last receipts a moment, and saves', async () => {
  let asked = 0;
  await using peer = await openPeer({
    welcome: (socket) => socket.emit('command', pulse('p1')),
    receipt: () => (++asked === 1 ? null : { ok: true }),
  });
  const storage = memoryStorage();
  await using opened = openDevice({
    url: peer.url,
    storage,
    timing: { saveLaterMs: 60_000, closeMs: 10_000 },
  });
  await waitFor(() => opened.pulses.length === 1, { what: 'the pulse' });
  await opened.device.close();
  assert.equal(asked, 2);
  assert.deepEqual(JSON.parse((await storage.load()) ?? '').receipts, []);
});

test('a device waits for a server that is not there yet, and for one that does not say welcome', async (t) => {
  const silent = new Server();
  t.after(() => silent.close());
  silent.of(devicesNamespace).use(() => {});
  silent.listen(0);
  const { port } = silent.httpServer.address() as AddressInfo;
  await using opened = openDevice({ url: `http://127.0.0.1:${port}`, timing: { connectMs: 100 } });
  await waitFor(() => opened.connections.some(({ error }) => error?.code === 'timeout'), {
    what: 'a timeout',
  });
  await silent.close();
  await waitFor(() => opened.connections.some(({ error }) => error?.code === 'unreachable'), {
    what: 'nobody',
  });
  const late = new Server(port);
  t.after(() => late.close());
  late.of(devicesNamespace);
  await waitFor(() => opened.device.online, { what: 'the connection' });
});

test('it falls back to polling where that is asked for', async (t) => {
  const http = createServer();
  const io = new Server(http, { transports: ['polling'] });
  t.after(() => io.close());
  http.listen(0, '127.0.0.1');
  await once(http, 'listening');
  io.of(devicesNamespace);
  const url = `http://127.0.0.1:${(http.address() as AddressInfo).port}`;
  await using opened = openDevice({ url, transports: ['websocket', 'polling'] });
  await waitFor(() => opened.device.online, { what: 'a connection by polling' });
});

test('close leaves nothing open: the process ends by itself', async (t) => {
  await using peer = await openPeer({
    welcome: (socket) => {
      socket.emit('state', { ...nothing, emergency: emergency('e', Date.now() + 600_000), causes: [] });
      socket.emit('command', pulse('reboot', { function: 'restart_device', params: { jitter: 250 } }));
      socket.emit('command', pulse('hangs'));
    },
    receipt: () => null,
  });
  const library = fileURLToPath(new URL('../src/client/device.ts', import.meta.url));
  const program = `
    import { connectDevice, memoryStorage } from ${JSON.stringify(library)};
    const open = (url, onCommand) => connectDevice({
      url, token: 't', storage: memoryStorage(), onCommand, timing: { closeMs: 50 },
    });
    const offline = open('http://127.0.0.1:1');
    offline.event('never');
    await new Promise((resolve) => {
      const device = open(${JSON.stringify(peer.url)}, async () => {
        device.event('unanswered');
        await device.close();
        resolve();
        await new Promise(() => {});
      });
    });
    await offline.close();
    await open('http://127.0.0.1:1').close();
    console.log('closed');
  `;
  const child = spawn(process.execPath, ['--input-type=module', '--eval', program]);
  t.after(() => child.kill());
  let output = '';
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (text) => (output += text));
  const timer = setTimeout(() => child.kill(), 10_000);
  const [code] = await once(child, 'close');
  clearTimeout(timer);
  assert.deepEqual({ code, output }, { code: 0, output: 'closed\n' });
});
