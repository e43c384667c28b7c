import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm, stat } from 'node:fs/promises';
import { createServer } from 'node:http';
import { type AddressInfo, createServer as createTcpServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { type Namespace, Server, type Socket } from 'socket.io';
import {
  connectDevice,
  type Device,
  DeviceError,
  type DeviceOptions,
  type DeviceState,
  type DeviceStorage,
  memoryStorage,
  type Slot,
} from '../src/client/device.ts';
import { fileStorage } from '../src/client/file-storage.ts';
import { enrollDevices } from '../src/fleet/enroll.ts';
import { simulateFleet } from '../src/fleet/simulated-fleet.ts';
import {
  type CommandMessage,
  type DeviceToServer,
  devicesNamespace,
  type ReceiptAnswer,
  type ReceiptMessage,
  type ServerToDevice,
  type StoredAnswer,
} from '../src/socket/protocol.ts';
import { waitFor } from './support/wait.ts';

type PeerSocket = Socket<DeviceToServer, ServerToDevice>;

/** The other end of the wire: real Socket.IO, and what it says is up to each test. */
async function openPeer(open: {
  refuse?: (token: unknown) => string | null;
  welcome?: (socket: PeerSocket) => void;
  receipt?: (receipts: ReceiptMessage[]) => ReceiptAnswer | null;
  event?: (type: string) => StoredAnswer | null;
}) {
  const http = createServer();
  const io = new Server(http);
  const namespace: Namespace<DeviceToServer, ServerToDevice> = io.of(devicesNamespace);
  const peer = {
    url: '',
    sockets: [] as PeerSocket[],
    /** Each message as it came: an array of receipts is one. */
    messages: [] as ReceiptMessage[][],
    events: [] as unknown[],
    receipts: () => peer.messages.flat(),
    statuses: (id: string) =>
      peer.receipts().flatMap((receipt) => (receipt.id === id ? [receipt.status] : [])),
    socket: (): PeerSocket => {
      const socket = peer.sockets.at(-1);
      assert.ok(socket, 'a device is connected');
      return socket;
    },
    cut: () => peer.socket().conn.close(),
    [Symbol.asyncDispose]: async () => {
      await io.close();
    },
  };
  namespace.use((socket, next) => {
    const code = open.refuse?.(socket.handshake.auth.token);
    next(code ? Object.assign(new Error(code), { data: { code, detail: 'refused' } }) : undefined);
  });
  namespace.on('connection', (socket) => {
    peer.sockets.push(socket);
    socket.on('receipt', (receipts, take) => {
      const batch = Array.isArray(receipts) ? receipts : [receipts];
      peer.messages.push(batch);
      const answer = open.receipt ? open.receipt(batch) : ({ ok: true } as const);
      if (answer) take?.(answer);
    });
    const store = (name: string, said: unknown, take?: (answer: StoredAnswer) => void) => {
      peer.events.push(said);
      const answer = open.event
        ? open.event(name)
        : { ok: true as const, id: `stored-${peer.events.length}` };
      if (answer) take?.(answer);
    };
    socket.on('event', (event, take) => store(event.eventType, event, take));
    socket.on('message', (message, take) => store(message.type ?? '', message, take));
    socket.on('bulk', (label, bytes, take) => store(label, { label, bytes: [...bytes] }, take));
    open.welcome?.(socket);
  });
  http.listen(0, '127.0.0.1');
  await once(http, 'listening');
  peer.url = `http://127.0.0.1:${(http.address() as AddressInfo).port}`;
  return peer;
}

const fast = {
  reconnectFirstMs: 20,
  reconnectMostMs: 50,
  badTokenMs: 60,
  answerMs: 100,
  retryFirstMs: 10,
  retryMostMs: 30,
  saveLaterMs: 5,
};

/** A device that notes what it is told. */
function openDevice(options: { url: string } & Partial<DeviceOptions>) {
  const states: { state: DeviceState; changed: Slot[] }[] = [];
  const pulses: string[] = [];
  const connections: { online: boolean; error?: { code: string } }[] = [];
  const problems: unknown[] = [];
  const { timing, ...others } = options;
  const device: Device = connectDevice({
    token: 'secret',
    onState: (state, changed) => void states.push({ state, changed }),
    onCommand: (command) => void pulses.push(command.id),
    onConnection: (connection) => void connections.push(connection),
    onProblem: ({ error }) => void problems.push(error),
    ...others,
    timing: { ...fast, ...timing },
  });
  return {
    device,
    states,
    pulses,
    connections,
    problems,
    [Symbol.asyncDispose]: () => device.close(),
  };
}

const nothing: DeviceState = { emergency: null, content: null, loop: null };

const content = (id: string, ends: number | null = null) => ({
  command_id: id,
  url: `https://example.test/${id}`,
  expires_at: ends === null ? null : new Date(ends).toISOString(),
});

const emergency = (id: string, ends: number | null = null) => ({
  command_id: id,
  message: 'Leave the building',
  url: null,
  level: 'critical' as const,
  priority: 50,
  drill: false,
  expires_at: ends === null ? null : new Date(ends).toISOString(),
});

const pulse = (id: string, more: Partial<CommandMessage> = {}): CommandMessage => ({
  id,
  function: 'custom',
  params: {},
  issued_at: new Date().toISOString(),
  expires_at: new Date(Date.now() + 300_000).toISOString(),
  trigger_id: null,
  ...more,
});

const never = new Promise<void>(() => {});

test('a state is merged, applied once for each change, and its causes are receipted', async () => {
  await using peer = await openPeer({
    welcome: (socket) => socket.emit('state', { ...nothing, content: content('c1'), causes: ['c1'] }),
  });
  await using opened = openDevice({ url: peer.url });
  await waitFor(() => peer.statuses('c1').length > 0, { what: 'the receipt of c1' });
  peer.socket().emit('state', { emergency: emergency('e1'), causes: ['e1', 'e0'] });
  await waitFor(() => peer.statuses('e0').length > 0, { what: 'the receipt of e0' });
  // Nothing new for the screen, but someone wants to know.
  peer.socket().emit('state', { content: content('c1'), causes: ['c2'] });
  await waitFor(() => peer.statuses('c2').length > 0, { what: 'the receipt of c2' });

  assert.deepEqual(
    opened.states.map(({ changed }) => changed),
    [['emergency', 'content', 'loop'], ['emergency']],
  );
  assert.deepEqual(opened.device.state, { ...nothing, content: content('c1'), emergency: emergency('e1') });
  assert.deepEqual(
    peer.messages.map((batch) => batch.map(({ id, status }) => `${id} ${status}`)),
    [['c1 applied'], ['e1 applied', 'e0 applied'], ['c2 applied']],
  );
});

test('a state that could not be shown is reported as failed, and shown again with the next one', async () => {
  await using peer = await openPeer({
    welcome: (socket) => socket.emit('state', { ...nothing, content: content('c1'), causes: ['c1'] }),
  });
  const shown: (string | undefined)[] = [];
  await using opened = openDevice({
    url: peer.url,
    onState: async ({ content }) => {
      shown.push(content?.command_id);
      if (shown.length === 1) throw new Error('no screen');
    },
  });
  await waitFor(() => peer.receipts().length > 0, { what: 'a receipt' });
  assert.deepEqual(peer.receipts(), [{ id: 'c1', status: 'failed', detail: 'no screen' }]);
  peer.socket().emit('state', { ...nothing, content: content('c1'), causes: [] });
  await waitFor(() => shown.length === 2, { what: 'the second attempt' });
  assert.equal(opened.problems.length, 1);
});

test('pulses and states are applied one after another, in the order they came', async () => {
  await using peer = await openPeer({
    welcome: (socket) => {
      socket.emit('command', pulse('p1'));
      socket.emit('state', { ...nothing, content: content('c1'), causes: ['c1'] });
      socket.emit('state', { content: content('c2'), causes: ['c2'] });
      socket.emit('command', pulse('p2'));
    },
  });
  const steps: string[] = [];
  const step = async (name: string) => {
    steps.push(`${name} begins`);
    await new Promise((resolve) => setImmediate(resolve));
    steps.push(`${name} ends`);
  };
  await using _opened = openDevice({
    url: peer.url,
    onCommand: ({ id }) => step(id),
    onState: ({ content }) => step(content?.command_id ?? '-'),
  });
  await waitFor(() => peer.receipts().length === 4, { what: 'four receipts' });
  assert.deepEqual(
    steps.filter((name) => !name.startsWith('c1')),
    ['p1 begins', 'p1 ends', 'c2 begins', 'c2 ends', 'p2 begins', 'p2 ends'],
  );
  assert.deepEqual(
    peer.receipts().map(({ id }) => id),
    ['p1', 'c1', 'c2', 'p2'],
  );
});

test('a pulse is applied once, however often it comes and across a reconnect', async () => {
  await using peer = await openPeer({
    welcome: (socket) => {
      socket.emit('command', pulse('p1'));
      socket.emit('command', pulse('p1'));
    },
  });
  await using opened = openDevice({ url: peer.url });
  await waitFor(() => peer.statuses('p1').length > 0, { what: 'a receipt' });
  peer.cut();
  await waitFor(() => peer.sockets.length === 2 && peer.statuses('p1').length >= 2, {
    what: 'the receipt again, on a new connection',
  });
  assert.deepEqual(opened.pulses, ['p1']);
  assert.deepEqual(new Set(peer.statuses('p1')), new Set(['applied']));
});

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

test('without a storage a restart is reported before it begins, so that it is not asked for again', async () => {
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
  assert.deepEqual(told, ['applied']);
});

test('a restart with jitter waits outside of the line', async () => {
  await using peer = await openPeer({
    welcome: (socket) => {
      socket.emit('command', pulse('reboot', { function: 'restart_device', params: { jitter: 1 } }));
      socket.emit('command', pulse('p1'));
    },
  });
  await using opened = openDevice({ url: peer.url, random: () => 0.2 });
  await waitFor(() => opened.pulses.length === 2, { what: 'both pulses' });
  assert.deepEqual(opened.pulses, ['p1', 'reboot']);
});

test('an expired pulse is not applied, and neither is one that nobody can do', async () => {
  const now = Date.now();
  await using peer = await openPeer({
    welcome: (socket) =>
      socket.emit('command', pulse('late', { expires_at: new Date(now + 1000).toISOString() })),
  });
  await using opened = openDevice({ url: peer.url, now: () => now + 1000 });
  await waitFor(() => peer.receipts().length > 0, { what: 'the receipt' });
  assert.deepEqual(peer.receipts(), [{ id: 'late', status: 'failed', detail: 'expired' }]);
  assert.deepEqual(opened.pulses, []);
  await opened.device.close();
  await using _other = (() => {
    const device = connectDevice({ url: peer.url, token: 'secret' });
    return { [Symbol.asyncDispose]: device.close };
  })();
  await waitFor(() => peer.receipts().length > 1, { what: 'the other receipt' });
  assert.equal(peer.receipts().at(-1)?.detail, 'not supported');
});

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

test('what a device says resolves when it is stored', async () => {
  await using peer = await openPeer({});
  await using opened = openDevice({ url: peer.url });
  const data = { door: 1 };
  const answers = Promise.all([
    opened.device.event('opened', data),
    opened.device.event('closed'),
    opened.device.message({ type: 'reading', payload: [1, { t: 2 }] }),
    opened.device.bulk('photo', new Uint8Array([1, 2, 255])),
  ]);
  data.door = 2; // too late to matter
  assert.deepEqual(
    (await answers).map(({ id }) => id),
    ['stored-1', 'stored-2', 'stored-3', 'stored-4'],
  );
  assert.deepEqual(peer.events, [
    { eventType: 'opened', eventData: { door: 1 } },
    { eventType: 'closed' },
    { type: 'reading', payload: [1, { t: 2 }] },
    { label: 'photo', bytes: [1, 2, 255] },
  ]);
});

test('an event survives a disconnect and refusals that pass, and rejects on one that stays', async () => {
  const answers: Record<string, (StoredAnswer | null)[]> = {
    lost: [null],
    busy: [{ ok: false, error: { code: 'too_many', detail: 'wait' } }],
    wrong: [{ ok: false, error: { code: 'bad_params', detail: 'no such type' } }],
  };
  await using peer = await openPeer({
    event: (type) => {
      const answer = answers[type]?.shift();
      return answer === undefined ? { ok: true, id: type } : answer;
    },
  });
  await using opened = openDevice({ url: peer.url, timing: { answerMs: 30_000 } });
  const lost = opened.device.event('lost');
  await waitFor(() => peer.events.length === 1, { what: 'the event' });
  peer.cut();
  assert.deepEqual(await lost, { id: 'lost' });
  assert.equal(peer.sockets.length, 2);
  assert.deepEqual(await opened.device.event('busy'), { id: 'busy' });
  await assert.rejects(opened.device.event('wrong'), {
    name: 'DeviceError',
    code: 'bad_params',
    detail: 'no such type',
  });
});

test('the queue of what a device says is bounded, and close rejects what is left in it', async () => {
  await using opened = openDevice({ url: 'http://127.0.0.1:1' });
  const waiting = Array.from({ length: 1000 }, (_, index) => opened.device.event('e', { index }));
  await assert.rejects(opened.device.event('one too many'), { code: 'queue_full' });
  await assert.rejects(opened.device.bulk('b', new Uint8Array(17 * 1024 * 1024)), { code: 'too_large' });
  const round: Record<string, unknown> = {};
  round.round = round;
  await assert.rejects(opened.device.event('round', round), { code: 'bad_request' });
  await opened.device.close();
  for (const result of await Promise.allSettled(waiting)) {
    assert.ok(result.status === 'rejected' && result.reason instanceof DeviceError);
    assert.equal(result.reason.code, 'closed');
  }
  await assert.rejects(opened.device.event('after'), { code: 'closed' });
});

test('an emergency ends by the clock of the device while it is offline', async () => {
  let refuse: string | null = null;
  const peer = await openPeer({
    refuse: () => refuse,
    welcome: (socket) =>
      socket.emit('state', { ...nothing, emergency: emergency('e1', Date.now() + 150), causes: [] }),
  });
  await using _peer = peer;
  await using opened = openDevice({ url: peer.url });
  await waitFor(() => opened.states.length === 1, { what: 'the emergency' });
  refuse = 'unavailable';
  peer.cut();
  await waitFor(() => opened.states.length === 2, { what: 'its end' });
  assert.deepEqual(opened.states[1], { state: nothing, changed: ['emergency'] });
  assert.equal(opened.device.online, false);
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

test('the file storage writes whole files that only the owner can read', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'fleethook-'));
  const path = join(folder, 'deep', 'device.json');
  const storage = fileStorage(path);
  assert.equal(await storage.load(), null);
  await storage.save('first');
  await storage.save('second');
  assert.equal(await fileStorage(path).load(), 'second');
  assert.equal((await stat(path)).mode & 0o777, 0o600);
  await rm(folder, { recursive: true });
});

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

test('a connection that is accepted and never answered is given up for another', async () => {
  let accepted = 0;
  const server = createTcpServer((socket) => {
    accepted++;
    socket.on('error', () => {});
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  await using opened = openDevice({ url, timing: { connectMs: 30 } });
  await waitFor(() => accepted === 3, { what: 'three connections' });
  await opened.device.close();
  server.close();
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

test('a device waits for a server that is not there yet, and for one that does not say welcome', async () => {
  const silent = new Server();
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
  const connected = once(late.of(devicesNamespace), 'connection');
  await connected;
  await waitFor(() => opened.device.online, { what: 'the connection' });
  await opened.device.close();
  await late.close();
});

test('it falls back to polling where that is asked for', async () => {
  const http = createServer();
  const io = new Server(http, { transports: ['polling'] });
  http.listen(0, '127.0.0.1');
  await once(http, 'listening');
  io.of(devicesNamespace);
  const url = `http://127.0.0.1:${(http.address() as AddressInfo).port}`;
  await using opened = openDevice({ url, transports: ['websocket', 'polling'] });
  await waitFor(() => opened.device.online, { what: 'a connection by polling' });
  await opened.device.close();
  await io.close();
});

test('neither garbage from the server nor hooks that throw stop a device', async () => {
  await using peer = await openPeer({});
  await using opened = openDevice({
    url: peer.url,
    onConnection: () => Promise.reject(new Error('hook')),
    onProblem: () => {
      throw new Error('hook of hooks');
    },
  });
  await waitFor(() => peer.sockets.length === 1, { what: 'the connection' });
  const socket = peer.socket();
  const say = (name: string, ...said: unknown[]) => Reflect.apply(socket.emit, socket, [name, ...said]);
  const garbage = [undefined, null, 7, 'x', [], {}, { id: 7 }, { causes: 7 }, { emergency: 'fire' }, [[[]]]];
  for (const said of garbage) {
    say('state', said);
    say('command', said);
    say('unknown', said);
  }
  say('state');
  say('command');
  say('command', { ...pulse('x'), expires_at: 'tomorrow' });
  say('state', {
    content: { command_id: 'y' },
    loop: { command_id: 'z', paused: true },
    causes: ['y', null],
  });
  say('command', pulse('p1'));
  await waitFor(() => peer.statuses('p1').length > 0, { what: 'the receipt of what was well' });
  assert.deepEqual(
    peer
      .receipts()
      .map(({ id, status }) => `${id} ${status}`)
      .sort(),
    ['p1 applied', 'x failed', 'y failed'],
  );
  assert.deepEqual(opened.device.state, { ...nothing, loop: { command_id: 'z', paused: true } });
});

test('close leaves nothing open: the process ends by itself', async () => {
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
  let output = '';
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (text) => (output += text));
  const timer = setTimeout(() => child.kill(), 10_000);
  const [code] = await once(child, 'close');
  clearTimeout(timer);
  assert.deepEqual({ code, output }, { code: 0, output: 'closed\n' });
});

test('a simulated fleet connects, applies, and leaves when it is told to', async () => {
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

test('enrolling reuses the devices there are, makes the others, and waits when there were too many calls', async () => {
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
  http.listen(0, '127.0.0.1');
  await once(http, 'listening');
  const url = `http://127.0.0.1:${(http.address() as AddressInfo).port}/`;
  assert.deepEqual(await enrollDevices({ url, key: 'key', count: 3 }), [
    { id: 10, name: 'sim-1', token: 't-sim-1' },
    { id: 2, name: 'sim-2', token: 'token of 2' },
    { id: 11, name: 'sim-3', token: 't-sim-3' },
  ]);
  assert.equal(calls.filter((call) => call === 'POST /api/v1/devices/2/rotate-token').length, 2);
  http.close();
  http.closeAllConnections();
  await assert.rejects(
    enrollDevices({ url, key: 'key', count: 1 }),
    /GET \/api\/v1\/devices: .* can't be reached: ./,
  );
});
