import assert from 'node:assert/strict';
import { after, before, suite, test } from 'node:test';
import { setImmediate as turnOfLoop } from 'node:timers/promises';
import { authenticateDevice } from '../src/domain/device/connection.ts';
import type { Door, Outgoing } from '../src/domain/device/presence.ts';
import { createSession } from '../src/domain/device/session.ts';
import { Fault } from '../src/domain/fault.ts';
import type { Fact } from '../src/domain/feed.ts';
import { openDatabase } from '../src/store/open.ts';
import { makeDevice } from './support/fleet.ts';
import { startServer, type TestServer } from './support/server.ts';
import { waitFor } from './support/wait.ts';

suite('the life of a connected device', () => {
  let server: TestServer;
  let made = 0;
  const sent: Outgoing[] = [];
  const door: Door = {
    name: 'test',
    deliver: (_connections, outgoing) => void sent.push(outgoing),
    disconnect: () => undefined,
    isAlive: async () => true,
  };
  before(async () => {
    server = await startServer();
  });
  after(() => server[Symbol.asyncDispose]());

  const start = async (tooFast: 'refuse' | 'wait' = 'refuse', ctx = server.ctx) => {
    made += 1;
    const { token } = await makeDevice(server, { name: `device ${made}` });
    const device = await authenticateDevice(server.ctx, token);
    const dropped = { times: 0 };
    const session = createSession(ctx, {
      door,
      handle: null,
      address: '::1',
      instance: null,
      tooFast,
      drop: () => {
        dropped.times += 1;
      },
    });
    return { device, session, dropped, isOnline: () => server.ctx.live.presence.isOnline(device.id) };
  };

  test('it is welcomed with its whole state, speaks, and goes once', async () => {
    const { device, session, isOnline } = await start();
    const facts: Fact[] = [];
    const end = server.ctx.feed.subscribe((fact) => facts.push(fact));
    assert.equal(session.speaker(), null);
    sent.length = 0;
    session.welcome(device);
    await waitFor(() => sent.length === 1, { what: 'the whole state' });
    assert.equal(sent[0]?.event, 'state');
    assert.equal(await session.hear(1, async (speaker) => speaker.device.name), device.name);
    session.gone();
    session.gone();
    end();
    assert.equal(isOnline(), false);
    const about = facts.filter((fact) => 'deviceId' in fact && fact.deviceId === device.id);
    assert.deepEqual(
      about.map(({ kind }) => kind),
      ['online', 'offline'],
    );
  });

  test('one that has gone before it was opened does not stay', async () => {
    const { device, session, isOnline } = await start();
    const opened = session.open(device);
    session.gone();
    await opened;
    assert.equal(isOnline(), false);
  });

  test('one that is opened for subscriptions hears nothing before it subscribes', async () => {
    const { device, session, dropped } = await start('wait');
    sent.length = 0;
    session.catchUp(['state']);
    await session.open(device);
    await turnOfLoop();
    assert.deepEqual(sent, []);
    session.catchUp(['state']);
    await waitFor(() => sent.length === 1, { what: 'the whole state' });
    session.gone();
    assert.equal(dropped.times, 0);
  });

  test('one that could not be caught up is sent away', async () => {
    const empty = openDatabase('sqlite::memory:');
    const { device, session, dropped, isOnline } = await start('refuse', { ...server.ctx, db: empty });
    session.welcome(device);
    await waitFor(() => dropped.times === 1, { what: 'the end of the connection' });
    assert.equal(isOnline(), false);
    await empty.destroy();
  });

  test('what is said too fast is refused, or waits and begins in order', async () => {
    const said = Array.from({ length: 520 }, (_, place) => place);
    const refusing = await start('refuse');
    await refusing.session.open(refusing.device);
    const outcomes = await Promise.allSettled(said.map(() => refusing.session.hear(0, async () => 'heard')));
    const refused = outcomes.filter((outcome) => outcome.status === 'rejected');
    assert.ok(refused.length > 0 && refused.length <= 20, `${refused.length} were refused`);
    assert.ok(refused.every(({ reason }) => reason instanceof Fault && reason.code === 'too_many'));

    const waiting = await start('wait');
    await waiting.session.open(waiting.device);
    const begun: number[] = [];
    await Promise.all(said.map((place) => waiting.session.hear(0, async () => begun.push(place))));
    assert.deepEqual(begun, said);
    for (const { session } of [refusing, waiting]) session.gone();
  });

  test('a fault is told as it is, a database that is away as unavailable', async () => {
    const { device, session } = await start();
    await session.open(device);
    const fail = (error: unknown) => session.hear(0, () => Promise.reject(error));
    await assert.rejects(fail(new Fault('bad_request', 'no')), { code: 'bad_request' });
    await assert.rejects(fail(Object.assign(new Error('x'), { code: 'ECONNREFUSED' })), {
      code: 'unavailable',
    });
    await assert.rejects(fail(new TypeError('ours')), TypeError);
    session.gone();
    const { session: other } = await start();
    await assert.rejects(
      other.hear(0, async () => 'never'),
      { code: 'not_allowed' },
    );
  });
});
