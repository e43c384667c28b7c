import assert from 'node:assert/strict';
import { test } from 'node:test';
import { systemCaller } from '../src/domain/access/caller.ts';
import { senderOf } from '../src/domain/event/origin.ts';
import { publishMessage } from '../src/domain/intake/publish.ts';
import { alarmSetUp, cold, hot } from './support/alarm.ts';
import { makeDevice, makeStep } from './support/fleet.ts';
import { bodyOf, codeOf, oneServer } from './support/management.ts';
import { onEveryDatabase, type TestServer } from './support/server.ts';
import { waitFor } from './support/wait.ts';
import { reachReceivers, startReceiver } from './support/webhook-receiver.ts';

onEveryDatabase('alarms', (start) => {
  let ahead = 0;
  const server = oneServer((options) =>
    start({ ...options, env: { ...reachReceivers }, now: () => Date.now() + ahead }),
  );
  const api = (path: string, call?: Parameters<TestServer['api']>[1]) => server().api(path, call);
  const setUp = alarmSetUp(server);

  test('without a rule to clear, every match is an alarm', async () => {
    const { say, activity } = await setUp({});
    await say({ temperature: 25 });
    assert.deepEqual(await activity(), []);
    await say({ temperature: 31 });
    await say({ temperature: 32 });
    assert.deepEqual(await activity(), [false, false]);
  });

  test('with a rule to clear, the life cycle is that of the table', async () => {
    const { say, alarms, activity } = await setUp({
      when: { path: 'a', op: '=', value: true },
      clear_when: { path: 'd', op: '=', value: true },
    });
    await say({ a: false, d: false });
    assert.deepEqual(await activity(), [], 'no, no, any: nothing');
    await say({ a: false, d: true });
    assert.deepEqual(await activity(), [], 'no, yes, no: nothing');
    await say({ a: true, d: true });
    assert.deepEqual(await activity(), [false], 'yes, yes, no: a new inactive alarm');
    await say({ a: true, d: false });
    assert.deepEqual(await activity(), [false, true], 'yes, no, no: a new active alarm');
    const [, before] = await alarms();
    ahead += 1_000;
    await say({ a: true, d: false });
    const [, after] = await alarms();
    assert.deepEqual(await activity(), [false, true], 'yes, no, yes: the same alarm');
    assert.equal(after?.first_seen, before?.first_seen);
    assert.ok(Date.parse(after?.last_seen ?? '') > Date.parse(before?.last_seen ?? ''));
    await say({ a: true, d: true });
    assert.deepEqual(await activity(), [false, false, true], 'yes, yes, yes: cleared, and a new one');
    await say({ a: false, d: true });
    assert.deepEqual(await activity(), [false, false, false], 'no, yes, yes: cleared');
    await say({ a: false, d: false });
    assert.deepEqual(await activity(), [false, false, false]);
  });

  test('conditions nest, and hold for any element of a list', async () => {
    const { say, activity } = await setUp({
      when: {
        all: [
          { not_any: [{ path: 'mode', op: '=', value: 'test' }] },
          { any: [hot, { path: 'door.open', op: 'exists' }] },
        ],
      },
    });
    await say({ mode: 'test', temperature: 50 });
    await say({ mode: 'live', temperature: 10 });
    assert.deepEqual(await activity(), []);
    await say({ mode: 'live', door: { open: false } });
    await say([{ temperature: 1 }, { temperature: 99 }]);
    assert.deepEqual(await activity(), [false, false]);
  });

  test('a message of another type, or of a device of another type, is not looked at', async () => {
    const first = await setUp({});
    const second = await setUp({});
    await first.say({ temperature: 50 }, 'other');
    await second.say({ temperature: 50 });
    assert.deepEqual(await first.activity(), []);
    assert.deepEqual(await second.activity(), [false]);
  });

  test('a message that does not fit its schema is stored and marked, not forwarded and not looked at', async () => {
    const schema = {
      type: 'object',
      required: ['temperature'],
      properties: { temperature: { type: 'number' } },
    };
    const { say, activity, made } = await setUp({ when: { path: 'temperature', op: 'exists' } }, schema);
    await using receiver = await startReceiver();
    const filter = { devices: [made.id] };
    bodyOf(await api('/webhooks', { body: { name: `schema ${made.id}`, url: receiver.url, filter } }), 201);
    const id = await say({ temperature: 'warm' });
    const event = bodyOf(await api(`/events/${id}`), 200);
    assert.match(event.problem, /temperature/);
    assert.deepEqual(event.data, { temperature: 'warm' });
    const marked = bodyOf(await api(`/events?refused=true&device_id=${made.id}`), 200).items;
    assert.deepEqual(
      marked.map((item: { id: string }) => item.id),
      [id],
    );
    assert.deepEqual(await activity(), []);
    assert.ok(server().logged.some((line) => line.includes(id) && line.includes('does not fit')));
    await say({ temperature: 5 });
    await receiver.got(1);
    assert.equal(receiver.received[0]?.text, '{"temperature":5}');
    assert.deepEqual(await activity(), [false]);
  });

  test('an alarm is told to the webhooks of its rule and to those that ask, once to each', async () => {
    await using receiver = await startReceiver();
    const attach = bodyOf(
      await api('/webhooks', {
        body: { name: 'attached', url: `${receiver.url}/attached`, filter: { kinds: ['alarm'] } },
      }),
      201,
    );
    const { rule, say, made, type } = await setUp({ clear_when: cold, webhooks: [attach.id] });
    const asks = { name: 'asks', url: `${receiver.url}/asks`, filter: { alarm_rules: [rule.id] } };
    const asking = bodyOf(await api('/webhooks', { body: asks }), 201);
    await say({ temperature: 31, exact: 1 });
    await receiver.got(2);
    const { alarm_id, first_seen, last_seen, ...alarm } = receiver.received[0]?.json ?? {};
    assert.deepEqual(alarm, {
      type: 'alarm.raised',
      element: null,
      cleared_at: null,
      cleared_reason: null,
      rule: { id: rule.id, name: rule.name },
      level: 'critical',
      active: true,
      device: { id: made.id, name: made.name, type, group_id: null },
      message_type: 'reading',
      observation: { temperature: 31, exact: 1 },
    });
    assert.equal(first_seen, last_seen);
    await say({ temperature: 33 });
    await say({ temperature: 10 });
    await receiver.got(4);
    assert.deepEqual(
      receiver.received.map((request) => [request.url, request.json.alarm_id, request.json.active]).sort(),
      [
        ['/asks', alarm_id, false],
        ['/asks', alarm_id, true],
        ['/attached', alarm_id, false],
        ['/attached', alarm_id, true],
      ],
    );
    for (const { id } of [attach, asking]) await api(`/webhooks/${id}`, { method: 'DELETE' });
  });

  test('while a rule cools down alarms are kept and nobody is told', async () => {
    await using receiver = await startReceiver();
    const { say, alarms, rule } = await setUp({ cooldown: 60 });
    const body = { name: 'cool', url: receiver.url, filter: { alarm_rules: [rule.id] } };
    const webhook = bodyOf(await api('/webhooks', { body }), 201);
    await say({ temperature: 31 });
    await say({ temperature: 32 });
    ahead += 61_000;
    await say({ temperature: 33 });
    await receiver.got(2);
    assert.deepEqual(
      (await alarms()).map((alarm) => alarm.notified),
      [true, false, true],
    );
    assert.deepEqual(
      receiver.received.map((request) => request.json.observation.temperature),
      [31, 33],
    );
    await api(`/webhooks/${webhook.id}`, { method: 'DELETE' });
  });

  test('an alarm fires actions, and their params look into it', async () => {
    const screen = await server().device((await makeDevice(server(), { name: 'screen' })).token);
    const eventId = 'too-hot';
    await makeStep(server(), eventId, 'show_toast', {
      message: '{{ payload.device.name }} has {{ payload.observation.temperature }} degrees',
    });
    const { say, made } = await setUp({ actions: [eventId] });
    await say({ temperature: 42 });
    const [command] = await waitFor(() => screen.commands.length > 0 && screen.commands, {
      what: 'the toast',
    });
    assert.equal(command?.params.message, `${made.name} has 42 degrees`);
    const { items } = bodyOf(await api(`/triggers?event_id=${eventId}`), 200);
    assert.deepEqual(
      items.map((item: { source: string; status: string }) => [item.source, item.status]),
      [['alarm', 'fired']],
    );
  });

  test('an action that breaks is recorded as refused, and those behind it fire', async () => {
    const screen = await server().device((await makeDevice(server(), { name: 'behind' })).token);
    const [bad, good] = ['breaks', 'behind'];
    for (const eventId of [bad, good])
      await makeStep(server(), eventId, 'show_toast', { message: `this is ${eventId}` });
    const { db } = server().ctx;
    const step = { function: 'show_toast', params: { message: 'x' }, target: null };
    await db
      .updateTable('actions')
      .set({ steps_json: JSON.stringify([step]) })
      .where('event_id', '=', bad)
      .execute();
    const { say } = await setUp({ actions: [bad, good] });
    await say({ temperature: 42 });
    await waitFor(() => screen.commands.some(({ params }) => params.message === `this is ${good}`), {
      what: 'the toast of the action behind it',
    });
    const { items } = bodyOf(await api(`/triggers?event_id=${bad}`), 200);
    assert.deepEqual(
      items.map((item: { source: string; status: string; reason: string }) => ({ ...item })),
      [{ ...items[0], source: 'alarm', status: 'refused' }],
    );
    assert.match(items[0].reason, /^internal: /);
    assert.ok(server().logged.some((line) => line.includes(bad) && line.includes('could not be fired')));
    await waitFor(async () => (await db.selectFrom('firings').select('id').execute()).length === 0, {
      what: 'the last firing to be forgotten',
    });
  });

  const large = (temperature: number) => ({ temperature, frame: 'x'.repeat(5 * 1_024 * 1_024) });

  test('a large message is kept once: lists and the trigger log name its event, whoever needs it has it whole', async () => {
    await using receiver = await startReceiver();
    const eventId = 'large';
    const screen = await server().device((await makeDevice(server(), { name: eventId })).token);
    await makeStep(server(), eventId, 'show_toast', {
      message: '{{ payload.observation.temperature }} degrees',
    });
    const { say, alarms, rule } = await setUp({ clear_when: cold, actions: [eventId] }, null);
    const body = { name: 'large', url: receiver.url, filter: { alarm_rules: [rule.id] } };
    const webhook = bodyOf(await api('/webhooks', { body }), 201);
    const id = await say(large(42));

    const list = JSON.stringify(bodyOf(await api(`/alarms?rule_id=${rule.id}`), 200));
    assert.ok(list.length < 2_000, `${list.length} characters`);
    const [alarm] = await alarms();
    assert.deepEqual(alarm?.observation, { event_id: id });
    assert.deepEqual(bodyOf(await api(`/alarms/${alarm?.id}`), 200).observation, large(42));
    await receiver.got(1);
    assert.deepEqual(receiver.received[0]?.json.observation, large(42));

    await waitFor(() => screen.commands.some(({ params }) => params.message === '42 degrees'), {
      what: 'the toast',
    });
    const [trigger] = bodyOf(await api(`/triggers?event_id=${eventId}`), 200).items;
    const { call } = bodyOf(await api(`/triggers/${trigger.id}`), 200);
    assert.deepEqual([call.payload.alarm_id, call.payload.observation], [alarm?.id, { event_id: id }]);

    await say({ temperature: 10 });
    await receiver.got(2);
    assert.equal(receiver.received[1]?.json.active, false);
    assert.deepEqual(receiver.received[1]?.json.observation, large(42), 'the message that raised it');
    await api(`/webhooks/${webhook.id}`, { method: 'DELETE' });
  });

  test('a large message that raises and one that clears can share a commit', async () => {
    await using receiver = await startReceiver();
    const { made, rule } = await setUp({ clear_when: cold }, null);
    const body = { name: 'shared', url: receiver.url, filter: { alarm_rules: [rule.id] } };
    const webhook = bodyOf(await api('/webhooks', { body }), 201);
    const { ctx } = server();
    const sender = await senderOf(ctx, systemCaller(1, 'test'), made.id);
    // Both in one turn.
    await Promise.all(
      [42, 10].map((degrees) => publishMessage(ctx, sender, { type: 'reading', payload: large(degrees) })),
    );
    await receiver.got(2);
    assert.deepEqual(receiver.received.map(({ json }) => [json.active, json.observation]).sort(), [
      [false, large(42)],
      [true, large(42)],
    ]);
    await api(`/webhooks/${webhook.id}`, { method: 'DELETE' });
  });

  test('an alarm outlives the event of a large message', async () => {
    await using receiver = await startReceiver();
    const { say, alarms, rule } = await setUp({ clear_when: cold }, null);
    const body = { name: 'outlives', url: receiver.url, filter: { alarm_rules: [rule.id] } };
    const webhook = bodyOf(await api('/webhooks', { body }), 201);
    const id = await say(large(42));
    await receiver.got(1);
    const { db } = server().ctx;
    await db.deleteFrom('event_parts').where('event_id', '=', id).execute();
    await db.deleteFrom('events').where('id', '=', id).execute();
    const [alarm] = await alarms();
    const cleared = bodyOf(await api(`/alarms/${alarm?.id}/clear`, { method: 'POST' }), 200);
    assert.deepEqual([cleared.active, cleared.observation], [false, { event_id: id }]);
    await receiver.got(2);
    assert.deepEqual(receiver.received[1]?.json.observation, { event_id: id });
    await api(`/webhooks/${webhook.id}`, { method: 'DELETE' });
  });

  test('an alarm from before events were named shows what it keeps', async () => {
    const { say, alarms } = await setUp({}, null);
    await say({ temperature: 31 });
    const { db } = server().ctx;
    const [before] = await alarms();
    const kept = { event_id: null, observation_json: JSON.stringify(large(42)) };
    await db.updateTable('alarms').set(kept).where('id', '=', String(before?.id)).execute();
    assert.deepEqual((await alarms()).at(0)?.observation, large(42));
    assert.deepEqual(bodyOf(await api(`/alarms/${before?.id}`), 200).observation, large(42));
  });

  test('people note alarms and clear them, and whoever was told is told', async () => {
    await using receiver = await startReceiver();
    const { say, alarms, rule } = await setUp({ clear_when: cold });
    const body = { name: 'clear', url: receiver.url, filter: { alarm_rules: [rule.id] } };
    const webhook = bodyOf(await api('/webhooks', { body }), 201);
    await say({ temperature: 31 });
    const [alarm] = await alarms();
    const path = `/alarms/${alarm?.id}`;
    const noted = bodyOf(await api(`${path}/note`, { body: { note: 'on my way' } }), 200);
    assert.deepEqual([noted.note, noted.noted_by, noted.active], ['on my way', 'FLEETHOOK_ADMIN_KEY', true]);
    assert.deepEqual(codeOf(await api(`${path}/note`, { body: {} })), [400, 'bad_request']);
    const cleared = bodyOf(await api(`${path}/clear`, { method: 'POST' }), 200);
    assert.deepEqual([cleared.active, cleared.cleared_by], [false, 'FLEETHOOK_ADMIN_KEY']);
    assert.equal(cleared.cleared_reason, 'person');
    await receiver.got(2);
    assert.deepEqual(
      receiver.received.map((request) => request.json.active),
      [true, false],
    );
    const again = bodyOf(await api(`${path}/clear`, { body: { note: 'it was the sun' } }), 200);
    assert.deepEqual([again.note, again.cleared_at], ['it was the sun', cleared.cleared_at]);
    await api(`/webhooks/${webhook.id}`, { method: 'DELETE' });
  });

  test('a rule is listed, changed and deleted; a type with rules stays', async () => {
    const { rule, type, say, activity } = await setUp({});
    assert.equal(rule.device_type, type);
    assert.deepEqual(codeOf(await api(`/device-types/${type}`, { method: 'DELETE' })), [409, 'in_use']);
    const path = `/alarm-rules/${rule.id}`;
    const changed = bodyOf(
      await api(path, { method: 'PATCH', body: { level: 'info', enabled: false } }),
      200,
    );
    assert.deepEqual([changed.level, changed.enabled, changed.when], ['info', false, hot]);
    await say({ temperature: 99 });
    assert.deepEqual(await activity(), []);
    bodyOf(await api(path, { method: 'DELETE' }), 204);
    assert.equal((await api(path)).status, 404);
  });

  const refused: [string, object, number, string][] = [
    ['a level that is none', { level: 'bad' }, 400, 'bad_request'],
    ['an operator that is none', { when: { path: 'a', op: '~', value: 1 } }, 400, 'bad_request'],
    ['a type that is not there', { device_type: 'nix' }, 422, 'unknown_target'],
    ['a webhook that is not there', { webhooks: ['nix'] }, 422, 'unknown_target'],
    ['an action that is not there', { actions: ['nix'] }, 404, 'unknown_event'],
  ];
  for (const [what, part, status, code] of refused) {
    test(`a rule is refused for ${what}`, async () => {
      const { type } = await setUp({});
      const rule = {
        name: `other ${type}`,
        level: 'info',
        device_type: type,
        message_type: 'reading',
        when: hot,
      };
      assert.deepEqual(codeOf(await api('/alarm-rules', { body: { ...rule, ...part } })), [status, code]);
    });
  }
});
