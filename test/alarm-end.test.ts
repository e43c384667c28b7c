import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as alarmEnds from '../db/migrations/0006-alarm-ends.ts';
import { createAlarmEnds } from '../src/domain/intake/end-alarms.ts';
import { sweep } from '../src/domain/sweep.ts';
import { alarmSetUp, cold } from './support/alarm.ts';
import { makeDevice, makeGroup } from './support/fleet.ts';
import { bodyOf, oneServer } from './support/management.ts';
import { onEveryDatabase, type TestServer } from './support/server.ts';
import { waitFor } from './support/wait.ts';
import { reachReceivers, startReceiver } from './support/webhook-receiver.ts';

const dayMs = 24 * 60 * 60 * 1_000;
const t = (temperature: number) => ({ temperature });

/** Ids never go back within a process: each run begins after the one before it. */
let ahead = 0;

onEveryDatabase('alarms that nothing can end', (start) => {
  const server = oneServer((options) =>
    start({ ...options, env: { ...reachReceivers, RETAIN_DAYS: '0' }, now: () => Date.now() + ahead }),
  );
  const api = (path: string, call?: Parameters<TestServer['api']>[1]) => server().api(path, call);
  const patch = async (path: string, body: object) => bodyOf(await api(path, { method: 'PATCH', body }), 200);
  const remove = async (path: string) => bodyOf(await api(path, { method: 'DELETE' }), 204);
  const setUp = alarmSetUp(server);

  test('O17: without a rule to clear an alarm is over as it is told, and swept', async () => {
    await using receiver = await startReceiver();
    const { rule, say, alarms } = await setUp({ cooldown: 60 });
    const filter = { alarm_rules: [rule.id] };
    bodyOf(await api('/webhooks', { body: { name: rule.id, url: receiver.url, filter } }), 201);
    await say(t(40));
    await say(t(41));
    const seen = await alarms();
    assert.deepEqual(
      seen.map(({ active, notified, cleared_reason }) => [active, notified, cleared_reason]),
      [
        [false, true, 'no_clear_when'],
        [false, false, 'no_clear_when'],
      ],
    );
    assert.equal(seen[0]?.cleared_at, seen[0]?.first_seen);
    await receiver.got(1);
    assert.deepEqual(
      receiver.received.map(({ json }) => [json.type, json.active, json.cleared_at]),
      [['alarm.raised', true, null]],
    );
    ahead += 31 * dayMs;
    await sweep(server().ctx, { retainDays: 30, retainLogDays: 7 });
    assert.deepEqual(await alarms(), []);
  });

  type Made = Awaited<ReturnType<typeof setUp>>;
  const ends: [string, (made: Made) => Promise<unknown>, string][] = [
    ['its rule is deleted', ({ rule }) => remove(`/alarm-rules/${rule.id}`), 'rule_deleted'],
    [
      'its rule is switched off',
      ({ rule }) => patch(`/alarm-rules/${rule.id}`, { enabled: false }),
      'rule_disabled',
    ],
    [
      'its rule loses its clear_when',
      ({ rule }) => patch(`/alarm-rules/${rule.id}`, { clear_when: null }),
      'rule_changed',
    ],
    [
      'its rule looks at other messages',
      ({ rule }) => patch(`/alarm-rules/${rule.id}`, { message_type: 'other' }),
      'rule_changed',
    ],
    [
      'its rule looks at another type',
      async ({ rule }) => patch(`/alarm-rules/${rule.id}`, { device_type: (await setUp({})).type }),
      'rule_changed',
    ],
    ['its device is deleted', ({ made }) => remove(`/devices/${made.id}`), 'device_deleted'],
    [
      'its device is of another type',
      async ({ made }) => patch(`/devices/${made.id}`, { type: (await setUp({})).type }),
      'device_changed',
    ],
    [
      'its device is of no type',
      ({ made }) => patch(`/devices/${made.id}`, { type: null }),
      'device_changed',
    ],
  ];
  for (const [when, change, reason] of ends) {
    test(`O17: when ${when} an alarm ends, and whoever was told is told`, async () => {
      await using receiver = await startReceiver();
      const make = async (path: string, filter: object) =>
        bodyOf(
          await api('/webhooks', {
            body: { name: crypto.randomUUID(), url: `${receiver.url}/${path}`, filter },
          }),
          201,
        );
      const named = await make('named', { kinds: ['bulk'], labels: ['none'] });
      const group = await makeGroup(server(), crypto.randomUUID());
      const made = await setUp({ clear_when: cold, webhooks: [named.id] });
      const other = await setUp({ clear_when: cold });
      await patch(`/devices/${made.made.id}`, { group_id: group, tags: ['hall'] });
      const asking = [
        await make('rule', { alarm_rules: [made.rule.id] }),
        await make('group', { kinds: ['alarm'], groups: [group] }),
        await make('tag', { kinds: ['alarm'], tags: ['hall'], devices: [made.made.id] }),
      ];
      await made.say(t(40));
      await other.say(t(40));
      await receiver.got(4);
      await change(made);
      await receiver.got(8);
      const cleared = receiver.received.slice(4);
      assert.deepEqual(cleared.map(({ url }) => url).sort(), ['/group', '/named', '/rule', '/tag']);
      for (const { json } of cleared) {
        assert.deepEqual([json.type, json.active, json.cleared_reason], ['alarm.cleared', false, reason]);
        assert.ok(Date.parse(json.cleared_at) >= Date.parse(json.first_seen));
      }
      const [alarm] = await made.alarms();
      assert.deepEqual([alarm?.active, alarm?.cleared_by, alarm?.cleared_reason], [false, null, reason]);
      assert.deepEqual(await other.activity(), [true], 'that of others stays');
      for (const { id } of [named, ...asking]) await remove(`/webhooks/${id}`);
    });
  }

  test('O17: what was not told is not told when it ends, and what can end stays', async () => {
    await using receiver = await startReceiver();
    const made = await setUp({ clear_when: cold, cooldown: 600 });
    const filter = { alarm_rules: [made.rule.id] };
    const webhook = { name: made.rule.id, url: receiver.url, filter, ordered: true };
    bodyOf(await api('/webhooks', { body: webhook }), 201);
    for (const temperature of [40, 10, 40]) await made.say(t(temperature));
    await receiver.got(2);
    await patch(`/alarm-rules/${made.rule.id}`, {
      name: 'other name',
      level: 'info',
      when: { path: 'temperature', op: '>', value: 90 },
      clear_when: { path: 'temperature', op: '<', value: 1 },
    });
    await patch(`/devices/${made.made.id}`, { name: crypto.randomUUID(), tags: ['x'] });
    await createAlarmEnds(server().ctx).look();
    assert.deepEqual(await made.activity(), [false, true]);
    await patch(`/alarm-rules/${made.rule.id}`, { enabled: false });
    await waitFor(async () => !(await made.activity()).includes(true), { what: 'the end' });
    const { items } = bodyOf(await api(`/events?kind=alarm&device_id=${made.made.id}`), 200);
    assert.equal(items.length, 2);
    assert.equal(receiver.received.length, 2);
  });

  test('O17: of two who end it at the same time one tells; more than one commit takes', async () => {
    const made = await setUp({ clear_when: cold });
    const { db } = server().ctx;
    const names = Array.from({ length: 120 }, (_, place) => ({ name: `m${place}`, type: made.type }));
    const { items } = bodyOf(await api('/devices', { body: names }), 201);
    await made.say(t(40));
    const [row] = await db.selectFrom('alarms').selectAll().where('rule_id', '=', made.rule.id).execute();
    assert.ok(row);
    const more = items.map((device: { id: number }) => ({
      ...row,
      id: crypto.randomUUID(),
      device_id: device.id,
      device_json: JSON.stringify({ id: device.id, name: 'm', type: made.type, group_id: null }),
    }));
    await db.insertInto('alarms').values(more).execute();
    await db.updateTable('alarm_rules').set({ enabled: 0 }).where('id', '=', made.rule.id).execute();
    await Promise.all([1, 2, 3].map(() => createAlarmEnds(server().ctx).look()));
    const active = await db.selectFrom('alarms').select('id').where('active', '=', 1).execute();
    assert.equal(active.filter(({ id }) => more.some((each: { id: string }) => each.id === id)).length, 0);
    const cleared = await db
      .selectFrom('events')
      .select('device_id')
      .where('type', '=', 'alarm.cleared')
      .where('device_id', 'in', [made.made.id, ...items.map((device: { id: number }) => device.id)])
      .execute();
    assert.equal(cleared.length, 121);
  });

  test('O17: two that are active at the same time both end', async () => {
    const made = await setUp({ clear_when: cold });
    const { db } = server().ctx;
    await made.say(t(40));
    const row = await db
      .selectFrom('alarms')
      .selectAll()
      .where('rule_id', '=', made.rule.id)
      .executeTakeFirstOrThrow();
    await db
      .insertInto('alarms')
      .values({ ...row, id: crypto.randomUUID() })
      .execute();
    await made.say(t(10));
    assert.deepEqual(await made.activity(), [false, false]);
  });

  test('O17: those from before are over after the migration', async () => {
    const once = await setUp({});
    const lasting = await setUp({ clear_when: cold });
    for (const { say } of [once, lasting]) await say(t(40));
    const { db } = server().ctx;
    const old = { active: 1, cleared_at: null, cleared_reason: null };
    await db.updateTable('alarms').set(old).where('rule_id', '=', once.rule.id).execute();
    const row = await db
      .selectFrom('alarms')
      .selectAll()
      .where('rule_id', '=', once.rule.id)
      .executeTakeFirstOrThrow();
    const orphan = { ...row, id: crypto.randomUUID(), rule_id: crypto.randomUUID() };
    await db.insertInto('alarms').values(orphan).execute();
    await alarmEnds.up(db);
    const { active, cleared_at } = bodyOf(await api(`/alarms/${orphan.id}`), 200);
    assert.deepEqual([active, Date.parse(cleared_at)], [false, row.last_seen]);
    assert.deepEqual(await once.activity(), [false]);
    assert.deepEqual(await lasting.activity(), [true]);
  });

  test('O17: a device that moved on is ended at the next start, if it was not before', async () => {
    await using first = await start({ env: { ...reachReceivers } });
    const made = await alarmSetUp(() => first)({ clear_when: cold });
    await made.say(t(40));
    await first.close();
    const offline = await start({ env: first.env, dataDir: first.dataDir });
    await offline.ctx.db.deleteFrom('devices').where('id', '=', made.made.id).execute();
    await offline.close();
    await using next = await start({ env: first.env, dataDir: first.dataDir });
    const seen = async () => bodyOf(await next.api(`/alarms?rule_id=${made.rule.id}`), 200).items[0];
    await waitFor(async () => !(await seen()).active, { what: 'the end' });
    assert.equal((await seen()).cleared_reason, 'device_deleted');
    await makeDevice(next, { name: 'another' });
  });
});
