/** Simulated fleets, and the enrolling of their devices. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { test } from 'node:test';
import { enrollDevices } from '../src/fleet/enroll.ts';
import { simulateFleet } from '../src/fleet/simulated-fleet.ts';
import { content, nothing, openPeer, pulse } from './support/peer.ts';
import { waitFor } from './support/wait.ts';

test('a simulated fleet connects, applies, and leaves when it is told to', async (t) => {
  await using peer = await openPeer({
    welcome: (socket) => {
      socket.emit('state', { ...nothing, content: content('c1'), causes: ['c1'] });
      socket.emit('command', pulse('p1'));
    },
  });
  const tokens = Array.from({ length: 50 }, (_, index) => `token-${index}`);
  const stop = new AbortController();
  const applied = new Set<number>();
  const fleet = simulateFleet({
    url: peer.url,
    tokens,
    applyMilliseconds: 1,
    connectPerSecond: 1000,
    onApplied: (device) => applied.add(device),
    signal: stop.signal,
  });
  t.after(() => stop.abort());
  await waitFor(() => peer.receipts().length >= 100, { what: 'a receipt for everything from everyone' });
  const { lastError, ...counts } = fleet.stats;
  assert.equal(lastError, null);
  assert.deepEqual(counts, {
    devices: 50,
    connected: 50,
    reconnects: 0,
    attemptsFailed: 0,
    states: 50,
    pulses: 50,
    applied: 100,
    failed: 0,
  });
  assert.equal(applied.size, 50);
  stop.abort();
  await fleet.ended;
  await waitFor(() => peer.sockets.every(({ connected }) => !connected), { what: 'all to be gone' });
});

test('enrolling reuses the devices there are, makes the others, and waits when there were too many calls', async (t) => {
  const calls: string[] = [];
  let busy = true;
  const http = createServer(async (request, response) => {
    let body = '';
    for await (const chunk of request) body += chunk;
    const { pathname, searchParams } = new URL(request.url ?? '', 'http://x');
    calls.push(`${request.method} ${pathname}`);
    assert.equal(request.headers.authorization, 'Bearer key');
    const say = (status: number, value: unknown, headers = {}) =>
      response.writeHead(status, headers).end(JSON.stringify(value));
    if (pathname === '/api/v1/groups') return say(201, { id: 9 });
    if (pathname.endsWith('/rotate-token')) {
      if (busy) {
        busy = false;
        return say(429, { code: 'too_many' }, { 'retry-after': '0.01' });
      }
      return say(200, { token: `token of ${pathname.split('/')[4]}` });
    }
    if (request.method === 'GET') {
      assert.equal(searchParams.get('q'), 'sim');
      if (!searchParams.has('cursor'))
        return say(200, { items: [{ id: 1, name: 'simple' }], next_cursor: 'more' });
      return say(200, { items: [{ id: 2, name: 'sim-2', group_id: null }], next_cursor: null });
    }
    const wanted = JSON.parse(body) as { name: string; group_id: number }[];
    assert.ok(wanted.every(({ group_id }) => group_id === 9));
    return say(201, {
      items: wanted.map(({ name }, index) => ({ id: 10 + index, name, token: `t-${name}` })),
    });
  });
  const close = () => {
    http.close();
    http.closeAllConnections();
  };
  t.after(close);
  http.listen(0, '127.0.0.1');
  await once(http, 'listening');
  const url = `http://127.0.0.1:${(http.address() as AddressInfo).port}/`;
  assert.deepEqual(await enrollDevices({ url, key: 'key', count: 3 }), [
    { id: 10, name: 'sim-1', token: 't-sim-1' },
    { id: 2, name: 'sim-2', token: 'token of 2' },
    { id: 11, name: 'sim-3', token: 't-sim-3' },
  ]);
  assert.equal(calls.filter((call) => call === 'POST /api/v1/devices/2/rotate-token').length, 2);
  close();
  await assert.rejects(
    enrollDevices({ url, key: 'key', count: 1 }),
    /GET \/api\/v1\/devices: .* can't be reached: ./,
  );
});
