/** The client library: what it keeps for the next start, and what it makes of it. */
import assert from 'node:assert/strict';
import { mkdtemp, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { type DeviceStorage, memoryStorage } from '../src/client/device.ts';
import { fileStorage } from '../src/client/file-storage.ts';
import type { CommandMessage } from '../src/socket/protocol.ts';
import { content, emergency, never, nothing, openDevice, openPeer, pulse } from './support/peer.ts';
import { waitFor } from './support/wait.ts';

test('a pulse is applied once across a restart of the device, which repeats what became of it', async () => {
  await using peer = await openPeer({
    welcome: (socket) => {
      socket.emit('command', pulse('good'));
      socket.emit('command', pulse('bad'));
    },
  });
  const storage = memoryStorage();
  const onCommand = ({ id }: CommandMessage) => {
    if (id === 'bad') throw new Error('no gate');
  };
  {
    await using _first = openDevice({ url: peer.url, storage, onCommand });
    await waitFor(() => peer.receipts().length === 2, { what: 'two receipts' });
  }
  await using second = openDevice({ url: peer.url, storage });
  await waitFor(() => peer.receipts().length === 4, { what: 'both receipts again' });
  assert.deepEqual(second.pulses, []);
  assert.deepEqual(peer.receipts().slice(2), [
    { id: 'good', status: 'applied' },
    { id: 'bad', status: 'failed', detail: 'no gate' },
  ]);
});

test('a pulse that was begun and not finished is not run again: a restart is applied, others failed', async () => {
  const peer = await openPeer({
    welcome: (socket) => {
      socket.emit('command', pulse('stuck'));
      socket.emit('command', pulse('reboot', { function: 'restart_device' }));
    },
  });
  await using _peer = peer;
  const storage = memoryStorage();
  for (const id of ['stuck', 'reboot']) {
    const begun: string[] = [];
    await using _device = openDevice({
      url: peer.url,
      storage,
      onCommand: (command) => {
        begun.push(command.id);
        return never;
      },
    });
    await waitFor(() => begun.includes(id), { what: `${id} to begin` });
    assert.deepEqual(begun, [id]);
  }
  await using last = openDevice({ url: peer.url, storage });
  await waitFor(() => peer.statuses('reboot').includes('applied'), { what: 'the receipt of the restart' });
  const stuck = peer.receipts().find(({ id, status }) => id === 'stuck' && status === 'failed');
  assert.deepEqual(stuck, { id: 'stuck', status: 'failed', detail: 'interrupted' });
  assert.deepEqual(last.pulses, []);
});

test('what a device is about to do is stored before it is done, and what it did before it is said', async () => {
  let stored = '';
  const storage: DeviceStorage = {
    load: async () => null,
    save: async (text) => {
      await new Promise((resolve) => setImmediate(resolve));
      stored = text;
    },
  };
  const seen: string[] = [];
  await using peer = await openPeer({
    welcome: (socket) => socket.emit('command', pulse('p1')),
    receipt: () => {
      seen.push(stored);
      return { ok: true };
    },
  });
  await using _opened = openDevice({ url: peer.url, storage, onCommand: () => void seen.push(stored) });
  await waitFor(() => seen.length === 2, { what: 'the receipt' });
  const [begun, told] = seen.map((text) => JSON.parse(text));
  assert.equal(begun.known[0][0], 'p1');
  assert.equal(begun.known[0][1].status, 'started');
  assert.equal(told.known[0][1].status, 'applied');
  assert.deepEqual(told.receipts, [{ id: 'p1', status: 'applied' }]);
});

test('a restart is reported as received before it begins, so that it is not asked for again', async () => {
  await using peer = await openPeer({
    welcome: (socket) => socket.emit('command', pulse('reboot', { function: 'restart_device' })),
  });
  let told: string[] = [];
  await using _opened = openDevice({
    url: peer.url,
    onCommand: () => {
      told = [...peer.statuses('reboot')];
      return never;
    },
  });
  await waitFor(() => told.length > 0, { what: 'the restart' });
  assert.deepEqual(told, ['received']);
});

test('a device that starts without a network shows its last state, less what has ended', async () => {
  const peer = await openPeer({
    welcome: (socket) =>
      socket.emit('state', {
        emergency: emergency('e1', Date.now() + 60_000),
        content: content('c1'),
        loop: null,
        causes: [],
      }),
  });
  const storage = memoryStorage();
  {
    await using _peer = peer;
    await using first = openDevice({ url: peer.url, storage });
    await waitFor(() => first.states.length === 1, { what: 'the state' });
  }
  await using second = openDevice({ url: peer.url, storage, now: () => Date.now() + 60_000 });
  await waitFor(() => second.states.length === 1, { what: 'the stored state' });
  assert.deepEqual(second.states[0]?.state, { ...nothing, content: content('c1') });
  assert.equal(second.device.online, false);
});

test('a storage that is corrupt, throws or never answers does not keep a device from its work', async () => {
  await using peer = await openPeer({
    welcome: (socket) => {
      socket.emit('state', { ...nothing, content: content('c1'), causes: ['c1'] });
      socket.emit('command', pulse('p1'));
    },
  });
  const texts = ['', '{', 'null', '[]', '{"state":7,"known":{},"receipts":"x"}'];
  const odd =
    '{"state":{"content":{"url":1}},"known":[7,[],["a",null],["b",{"status":"x"}]],"receipts":[null,{"id":1}]}';
  const storages: DeviceStorage[] = [
    ...[...texts, odd].map((text) => ({ load: async () => text, save: async () => {} })),
    { load: () => Promise.reject(new Error('no disk')), save: () => Promise.reject(new Error('disk full')) },
    { load: () => new Promise<null>(() => {}), save: () => never },
  ];
  for (const [index, storage] of storages.entries()) {
    await using opened = openDevice({ url: peer.url, storage, timing: { storageMs: 50 } });
    const what = `the receipts of device ${index}`;
    await waitFor(() => peer.receipts().length >= 2 * (index + 1), { what });
    assert.deepEqual(opened.pulses, ['p1']);
    assert.deepEqual(opened.device.state, { ...nothing, content: content('c1') });
  }
  assert.equal(peer.receipts().length, 2 * storages.length);
});

test('the file storage writes whole files that only the owner can read', async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'fleethook-'));
  t.after(() => rm(folder, { recursive: true }));
  const path = join(folder, 'deep', 'device.json');
  const storage = fileStorage(path);
  assert.equal(await storage.load(), null);
  await storage.save('first');
  await storage.save('second');
  assert.equal(await fileStorage(path).load(), 'second');
  assert.equal((await stat(path)).mode & 0o777, 0o600);
});
