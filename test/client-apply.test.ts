/** The client library: what a device is told is done once, in the order it came, and said to be done. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { connectDevice } from '../src/client/device.ts';
import { content, emergency, nothing, openDevice, openPeer, pulse } from './support/peer.ts';
import { waitFor } from './support/wait.ts';

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
