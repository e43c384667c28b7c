import assert from 'node:assert/strict';
import { test } from 'node:test';
import { tellQuietAlarms } from '../src/domain/intake/quiet-alarm.ts';
import { alarmSetUp, cold } from './support/alarm.ts';
import { makeDevice, makeStep } from './support/fleet.ts';
import { bodyOf } from './support/management.ts';
import { onEveryDatabase, type StartOptions, type TestServer } from './support/server.ts';
import { waitFor } from './support/wait.ts';
import { reachReceivers, startReceiver, type WebhookReceiver } from './support/webhook-receiver.ts';

const t = (temperature: number) => ({ temperature });
const turnsOf = ({ received }: WebhookReceiver) =>
  received.map(({ json }) => json.type.slice('alarm.'.length));

onEveryDatabase('alarms while their rule cools down', (start) => {
  /** A rule that fires an action, and a receiver that is told of it in order. */
  async function setUp(rule: object, options: StartOptions = {}) {
    const server = await start({ ...options, env: { ...reachReceivers } });
    const receiver = await startReceiver();
    await makeStep(server, 'siren', 'show_toast', {
      message: '{{ payload.observation.temperature }} degrees',
    });
    const made = await alarmSetUp(() => server)({ clear_when: cold, actions: ['siren'], ...rule }, null);
    const body = { name: 'told', url: receiver.url, filter: { alarm_rules: [made.rule.id] }, ordered: true };
    bodyOf(await server.api('/webhooks', { body }), 201);
    const fired = async () =>
      bodyOf(await server.api('/triggers?event_id=siren'), 200).items.length as number;
    return {
      ...made,
      server,
      receiver,
      fired,
      [Symbol.asyncDispose]: async () => {
        await server[Symbol.asyncDispose]();
        await receiver[Symbol.asyncDispose]();
      },
    };
  }
  const patch = async (server: TestServer, path: string, body: object) =>
    bodyOf(await server.api(path, { method: 'PATCH', body }), 200);

  test('O1: what still holds when the cooldown is over is told then, and its actions fire, without a message', async () => {
    await using of = await setUp({ cooldown: 2 });
    for (const temperature of [60, 10, 60]) await of.say(t(temperature));
    await of.receiver.got(2);
    const [raised] = of.receiver.received;
    await of.receiver.got(3);
    assert.deepEqual(turnsOf(of.receiver), ['raised', 'cleared', 'raised']);
    const waited = (of.receiver.received[2]?.at ?? 0) - (raised?.at ?? 0);
    assert.ok(waited > 1_500 && waited < 3_500, `${waited} ms`);
    await waitFor(async () => (await of.fired()) === 2, { what: 'both firings' });
    const [, alarm] = await of.alarms();
    assert.deepEqual([alarm?.active, alarm?.notified], [true, true]);
    assert.deepEqual(of.receiver.received[2]?.json.first_seen, alarm?.first_seen);
    // It cools down anew, and who was told is told when it ends.
    await of.say(t(10));
    await of.say(t(70));
    await of.receiver.got(4);
    assert.deepEqual(turnsOf(of.receiver), ['raised', 'cleared', 'raised', 'cleared']);
    assert.equal((await of.alarms()).at(-1)?.notified, false);
  });

  test('O1: the case itself, with messages that go on', async () => {
    await using of = await setUp({
      when: { path: 'temperature', op: '>', value: 50 },
      clear_when: { path: 'temperature', op: '<', value: 40 },
      cooldown: 1,
    });
    const begun = performance.now();
    for (const temperature of [60, 30, 60]) await of.say(t(temperature));
    // Spread over the cooldown; as fast as they go they would be a flood.
    for (let more = 1; more <= 20; more += 1) {
      await of.say(t(more * 100));
      const due = more * 60;
      await waitFor(() => performance.now() - begun > due, { what: 'the next message' });
    }
    await of.receiver.got(3);
    assert.deepEqual(turnsOf(of.receiver), ['raised', 'cleared', 'raised']);
    await waitFor(async () => (await of.fired()) === 2, { what: 'both firings' });
  });

  test('O1: cleared by hand while it still holds', async () => {
    await using of = await setUp({ cooldown: 1 });
    await of.say(t(60));
    const [first] = await of.alarms();
    bodyOf(await of.server.api(`/alarms/${first?.id}/clear`, { method: 'POST' }), 200);
    await of.say(t(61));
    assert.deepEqual((await of.alarms()).map(({ active, notified }) => [active, notified])[1], [true, false]);
    await of.receiver.got(3);
    assert.deepEqual(turnsOf(of.receiver), ['raised', 'cleared', 'raised']);
    assert.equal(of.receiver.received[2]?.json.observation.temperature, 61);
  });

  test('O1: what is over by then is not told, nor cleared', async () => {
    await using of = await setUp({ cooldown: 1 });
    for (const temperature of [60, 10, 60, 10]) await of.say(t(temperature));
    await of.receiver.got(2);
    await waitFor(async () => Date.parse((await of.alarms())[0]?.first_seen ?? '') + 1_200 < Date.now(), {
      what: 'the end of the cooldown',
    });
    await of.say(t(80));
    await of.receiver.got(3);
    assert.deepEqual(turnsOf(of.receiver), ['raised', 'cleared', 'raised']);
    assert.equal(of.receiver.received[2]?.json.observation.temperature, 80);
    assert.deepEqual(
      (await of.alarms()).map(({ notified }) => notified),
      [true, false, true],
    );
  });

  test('O1: after a restart, and of two who look at the same time one tells', async () => {
    let ahead = 0;
    const now = () => Date.now() + ahead;
    await using of = await setUp({ cooldown: 600 }, { now });
    for (const temperature of [60, 10, 60]) await of.say(t(temperature));
    await of.receiver.got(2);
    await of.server.close();
    ahead += 601_000;
    await using next = await start({ env: of.server.env, dataDir: of.server.dataDir, now });
    await Promise.all([tellQuietAlarms(next.ctx), tellQuietAlarms(next.ctx), tellQuietAlarms(next.ctx)]);
    await of.receiver.got(3);
    const fired = async () => bodyOf(await next.api('/triggers?event_id=siren'), 200).items.length;
    await waitFor(async () => (await fired()) === 2, { what: 'both firings' });
    await tellQuietAlarms(next.ctx);
    const { items } = bodyOf(await next.api('/events?kind=alarm&type=alarm.raised'), 200);
    assert.equal(items.length, 2);
    assert.equal(await fired(), 2);
  });

  test('O1: a cooldown that is made shorter counts at once', async () => {
    await using of = await setUp({ cooldown: 3_600 });
    for (const temperature of [60, 10, 60]) await of.say(t(temperature));
    await of.receiver.got(2);
    await patch(of.server, `/alarm-rules/${of.rule.id}`, { cooldown: 0 });
    await of.receiver.got(3);
    assert.deepEqual(turnsOf(of.receiver), ['raised', 'cleared', 'raised']);
    for (const temperature of [10, 60]) await of.say(t(temperature));
    await of.receiver.got(5);
    assert.deepEqual(turnsOf(of.receiver).slice(3), ['cleared', 'raised']);
  });

  test('O1: a rule that is switched off meanwhile tells nothing', async () => {
    await using of = await setUp({ cooldown: 1 });
    for (const temperature of [60, 10, 60]) await of.say(t(temperature));
    await patch(of.server, `/alarm-rules/${of.rule.id}`, { enabled: false });
    await waitFor(async () => (await of.alarms()).every(({ active }) => !active), { what: 'the end' });
    assert.deepEqual(
      (await of.alarms()).map(({ cleared_reason }) => cleared_reason),
      ['condition', 'rule_disabled'],
    );
    await patch(of.server, `/alarm-rules/${of.rule.id}`, { enabled: true });
    await waitFor(async () => Date.parse((await of.alarms())[0]?.first_seen ?? '') + 1_200 < Date.now(), {
      what: 'the end of the cooldown',
    });
    const { token } = await makeDevice(of.server, { name: 'other', type: of.type });
    const other = await of.server.device(token);
    await other.socket.timeout(5_000).emitWithAck('message', { type: 'reading', payload: t(90) });
    await of.receiver.got(3);
    assert.equal(of.receiver.received[2]?.json.device.name, 'other');
  });

  test('O1: a large message is told whole', async () => {
    await using of = await setUp({ cooldown: 1 });
    const screen = await of.server.device((await makeDevice(of.server, { name: 'screen' })).token);
    for (const temperature of [60, 10]) await of.say(t(temperature));
    await of.say({ temperature: 61, frame: 'x'.repeat(100_000) });
    await waitFor(() => screen.commands.length === 2, { what: 'both toasts' });
    assert.deepEqual(
      screen.commands.map(({ params }) => params.message),
      ['60 degrees', '61 degrees'],
    );
    assert.equal((await of.receiver.got(3))[2]?.json.observation.frame.length, 100_000);
  });
});
