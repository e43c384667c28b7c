/** The client library on a machine whose clock is off: the server's decides, and time that passes is counted. */
import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { createServerClock } from '../src/client/clock.ts';
import { memoryStorage } from '../src/client/device.ts';
import { makeDevice } from './support/fleet.ts';
import { bodyOf } from './support/management.ts';
import { emergency, nothing, openDevice, openPeer, pulse } from './support/peer.ts';
import { startServer } from './support/server.ts';
import { waitFor } from './support/wait.ts';

const minutes = 60_000;
const hours = 60 * minutes;
const offs = { '6 minutes ahead': 6 * minutes, '2 hours ahead': 2 * hours, '3 days behind': -72 * hours };

for (const [title, off] of Object.entries(offs)) {
  suite(`I5: a device whose clock is ${title}`, () => {
    /** The server's clock is the one that is off, which is the same to both of them. */
    const setUp = async () => {
      const server = await startServer({ now: () => Date.now() - off });
      const { token } = await makeDevice(server, { name: 'gate' });
      const issue = async (fn: string, params: object) => {
        const body = { function: fn, params, target: { all: true } };
        return bodyOf(await server.api('/commands', { body }), 201).id as string;
      };
      const countsOf = async (id: string) =>
        bodyOf(await server.api(`/commands/${id}`), 200).coverage as Record<string, number>;
      return { server, token, issue, countsOf };
    };

    test('applies pulses, those it missed too', async () => {
      const { server, token, issue, countsOf } = await setUp();
      await using _server = server;
      const missed = await issue('show_toast', { message: 'a', expires_in: 60 });
      await using opened = openDevice({ url: server.url, token });
      await waitFor(() => opened.pulses.includes(missed), { what: 'what it has missed' });
      const sent = await issue('restart_device', { jitter: 0.01, expires_in: 60 });
      await waitFor(() => opened.pulses.includes(sent), { what: 'what it is sent' });
      for (const id of [missed, sent])
        await waitFor(async () => (await countsOf(id)).applied === 1, { what: 'the receipt' });
    });

    test('keeps an emergency when the network goes, and across its own restart', async () => {
      const { server, token, issue } = await setUp();
      const storage = memoryStorage();
      {
        await using _server = server;
        await issue('enable_emergency', { message: 'Leave', expires_in: 600 });
        await using opened = openDevice({ url: server.url, token, storage });
        await waitFor(() => opened.device.state.emergency, { what: 'the emergency' });
        await server.close();
        await waitFor(() => opened.connections.filter(({ online }) => !online).length > 2, {
          what: 'two vain attempts to come back',
        });
        assert.equal(opened.device.state.emergency?.message, 'Leave');
        assert.equal(opened.states.length, 1);
      }
      await using again = openDevice({ url: server.url, token, storage });
      await waitFor(() => again.connections.length > 1, { what: 'two vain attempts to connect' });
      assert.equal(again.device.state.emergency?.message, 'Leave');
    });

    test('ends an emergency when its time is up, without a network', async () => {
      const { server, token, issue } = await setUp();
      await using _server = server;
      const began = performance.now();
      await issue('enable_emergency', { message: 'Leave', expires_in: 1 });
      await using opened = openDevice({ url: server.url, token });
      await waitFor(() => opened.device.state.emergency, { what: 'the emergency' });
      await server.close();
      await waitFor(() => opened.device.state.emergency === null, { what: 'its end' });
      const after = performance.now() - began;
      assert.ok(after > 900 && after < 4_000, `it ended after ${after} ms`);
    });
  });
}

suite('I5: what is left of an emergency, across restarts without a network', () => {
  const at = Date.parse('2031-05-05T12:00:00Z');
  const ends = (milliseconds: number) =>
    openPeer({
      welcome: (socket) =>
        socket.emit('state', {
          ...nothing,
          emergency: emergency('e1', at + milliseconds),
          causes: [],
          at: new Date(at).toISOString(),
        }),
    });

  test('goes on from where the device was closed', async () => {
    const storage = memoryStorage();
    const peer = await ends(700);
    {
      await using _peer = peer;
      await using first = openDevice({ url: peer.url, storage });
      await waitFor(() => first.device.state.emergency, { what: 'the emergency' });
    }
    const began = performance.now();
    await using second = openDevice({ url: peer.url, storage, now: () => 0 });
    await waitFor(() => second.states.length === 2, { what: 'its beginning and its end' });
    assert.equal(second.states[0]?.state.emergency?.command_id, 'e1');
    assert.equal(second.states[1]?.state.emergency, null);
    assert.ok(performance.now() - began < 2_000);
  });

  test('is written down as it runs, for a device that is cut off', async () => {
    const saved: string[] = [];
    const storage = { load: async () => null, save: async (text: string) => void saved.push(text) };
    await using peer = await ends(60_000);
    await using _first = openDevice({ url: peer.url, storage, timing: { countDownMs: 20 } });
    const left = (text?: string) => at + 60_000 - Date.parse(JSON.parse(text ?? '{}').at);
    await waitFor(() => saved.length > 0, { what: 'the state to be stored' });
    assert.ok(left(saved[0]) > 59_000);
    // A twentieth of a minute is the longest that is counted too much.
    await waitFor(() => left(saved.at(-1)) < 57_500, { what: 'what is left then' });
    assert.ok(saved.length < 5, `${saved.length} times`);
  });

  test('an emergency whose end had come is not shown again', async () => {
    const stored = {
      version: 1,
      at: new Date(at).toISOString(),
      state: { ...nothing, emergency: emergency('e1', at - 1) },
    };
    const storage = { load: async () => JSON.stringify(stored), save: async () => {} };
    await using opened = openDevice({ url: 'http://127.0.0.1:9', storage, now: () => 0 });
    await waitFor(() => opened.states.length === 1, { what: 'the state' });
    assert.deepEqual(opened.states[0]?.state, nothing);
  });
});

suite('I5: what time it is at the server', () => {
  const setUp = () => {
    const time = { monotonic: 5_000 };
    const clock = createServerClock({ deviceNow: () => 77, monotonicNow: () => time.monotonic });
    return { time, clock };
  };

  test('is the device’s guess until the server has said it, and runs on by the monotonic clock', () => {
    const { time, clock } = setUp();
    assert.deepEqual([clock.now(), clock.known()], [77, null]);
    clock.heard(1_000_000);
    time.monotonic += 250;
    assert.deepEqual([clock.now(), clock.known()], [1_000_250, 1_000_250]);
  });

  test('a message that was long under way does not put it back, and one that was not puts it right', () => {
    const { time, clock } = setUp();
    clock.heard(1_000_000);
    time.monotonic += 10_000;
    clock.heard(1_004_000);
    assert.equal(clock.now(), 1_010_000);
    clock.heard(1_010_500);
    assert.equal(clock.now(), 1_010_500);
  });

  test('a server whose clock was put back is believed on the next connection, or some minutes later', () => {
    const { time, clock } = setUp();
    clock.heard(1_000_000);
    clock.up();
    clock.heard(400_000);
    assert.equal(clock.now(), 400_000);
    clock.heard(100_000);
    assert.equal(clock.now(), 400_000);
    time.monotonic += 11 * minutes;
    clock.heard(100_000);
    assert.equal(clock.now(), 100_000);
  });

  test('what was kept across a restart holds until the server says better', () => {
    const { time, clock } = setUp();
    clock.resume(1_000_000);
    time.monotonic += 1_000;
    assert.equal(clock.now(), 1_001_000);
    clock.heard(900_000);
    assert.equal(clock.now(), 900_000);
  });

  test('garbage in its place is passed over, and a server that does not say it is served as before', async () => {
    await using peer = await openPeer({
      welcome: (socket) => {
        for (const at of [7, null, 'noon', {}, ['2031-05-05T12:00:00Z']])
          socket.emit('state', { ...nothing, causes: [], at: at as never });
        socket.emit('command', pulse('p1'));
      },
    });
    await using opened = openDevice({ url: peer.url });
    await waitFor(() => opened.pulses.length === 1, { what: 'the pulse' });
  });
});
