/** The client library: a receipt is kept until the server has taken it. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { memoryStorage } from '../src/client/device.ts';
import type { ReceiptAnswer } from '../src/socket/protocol.ts';
import { never, nothing, openDevice, openPeer, pulse } from './support/peer.ts';
import { waitFor } from './support/wait.ts';

test('received is said only when applying takes long, and a hook that never comes back is given up', async () => {
  await using peer = await openPeer({
    welcome: (socket) => {
      socket.emit('command', pulse('slow'));
      socket.emit('command', pulse('quick'));
    },
  });
  await using _opened = openDevice({
    url: peer.url,
    timing: { receivedAfterMs: 30, applyMsMax: 120 },
    onCommand: ({ id }) => (id === 'slow' ? never : undefined),
  });
  await waitFor(() => peer.statuses('quick').length > 0, { what: 'the receipt of the quick one' });
  assert.deepEqual(peer.statuses('slow'), ['received', 'failed']);
  assert.deepEqual(peer.statuses('quick'), ['applied']);
});

test('receipts are kept until taken, re-sent after a reconnect and after a restart', async () => {
  let deaf = true;
  const peer = await openPeer({
    welcome: (socket) => {
      if (peer.sockets.length === 1) socket.emit('command', pulse('p1'));
    },
    receipt: () => (deaf ? null : { ok: true }),
  });
  await using _peer = peer;
  const storage = memoryStorage();
  {
    await using _first = openDevice({ url: peer.url, storage, timing: { answerMs: 30_000, closeMs: 20 } });
    await waitFor(() => peer.messages.length === 1, { what: 'the receipt' });
    peer.cut();
    await waitFor(() => peer.messages.length === 2, { what: 'the receipt after the reconnect' });
  }
  deaf = false;
  await using _second = openDevice({ url: peer.url, storage });
  await waitFor(() => peer.messages.length === 3, { what: 'the receipt after the restart' });
  await waitFor(async () => (await storage.load())?.includes('"receipts":[]'), { what: 'an empty list' });
  assert.deepEqual(
    peer.messages,
    [1, 2, 3].map(() => [{ id: 'p1', status: 'applied' }]),
  );
});

test('receipts that are refused for the moment, or not answered, are sent again', async () => {
  const answers: (ReceiptAnswer | null)[] = [
    { ok: false, error: { code: 'unavailable', detail: '' } },
    null,
    { ok: false, error: { code: 'too_many', detail: '' } },
  ];
  await using peer = await openPeer({
    welcome: (socket) => socket.emit('command', pulse('p1')),
    receipt: () => (answers.length > 0 ? (answers.shift() ?? null) : { ok: true }),
  });
  await using opened = openDevice({ url: peer.url });
  await waitFor(() => peer.messages.length === 4, { what: 'four attempts' });
  assert.equal(opened.device.online, true);
  assert.equal(peer.sockets.length, 1);
});

test('receipts that gather go out together; of a refused message the bad ones alone are dropped', async () => {
  const causes = ['a', 'bad', 'b', 'c'];
  await using peer = await openPeer({
    welcome: (socket) => socket.emit('state', { ...nothing, causes }),
    receipt: (batch) =>
      batch.some(({ id }) => id === 'bad')
        ? { ok: false, error: { code: 'not_found', detail: 'no such command' } }
        : { ok: true },
  });
  await using opened = openDevice({ url: peer.url });
  await waitFor(() => peer.messages.length >= 5, { what: 'one message and its four parts' });
  peer.socket().emit('state', { causes: ['d', 'e'] });
  await waitFor(() => peer.messages.length >= 6, { what: 'another message' });
  assert.deepEqual(
    peer.messages.map((batch) => batch.map(({ id }) => id)),
    [causes, ['a'], ['bad'], ['b'], ['c'], ['d', 'e']],
  );
  assert.equal(opened.problems.length, 1);
});

test('of many pulses none is left unreported', async () => {
  await using peer = await openPeer({
    welcome: (socket) => {
      for (let index = 0; index < 500; index++) {
        setTimeout(() => socket.emit('command', pulse(`p${index}`)), index / 10);
      }
    },
  });
  await using _opened = openDevice({
    url: peer.url,
    timing: { answerMs: 60_000 },
    onCommand: async ({ id }) => {
      // Between two sends there are a few turns in which a receipt could be overlooked.
      for (let turns = Number(id.slice(1)) % 13; turns > 0; turns--) await null;
    },
  });
  const what = () => `500 receipts, of which ${peer.receipts().length} came`;
  await waitFor(() => peer.receipts().length === 500, { what });
  assert.equal(new Set(peer.receipts().map(({ id }) => id)).size, 500);
});
