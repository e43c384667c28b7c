import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as names from '../db/migrations/0008-names-and-orphans.ts';
import { createOrphans } from '../src/domain/intake/orphan.ts';
import { makeDevice, makeGroup, makeStep } from './support/fleet.ts';
import { bodyOf, oneServer } from './support/management.ts';
import { onEveryDatabase, type TestServer } from './support/server.ts';
import { waitFor } from './support/wait.ts';
import { reachReceivers, startReceiver } from './support/webhook-receiver.ts';

const url = 'http://127.0.0.1:9/';

onEveryDatabase('what filters and rules name', (start) => {
  const server = oneServer(start, { env: { ...reachReceivers } });
  const api = (path: string, call?: Parameters<TestServer['api']>[1]) => server().api(path, call);
  const get = async (path: string) => bodyOf(await api(path), 200);
  const make = async (path: string, body: object) => bodyOf(await api(path, { body }), 201);
  const patch = async (path: string, body: object) => bodyOf(await api(path, { method: 'PATCH', body }), 200);
  const remove = async (path: string) => bodyOf(await api(path, { method: 'DELETE' }), 204);
  const word = () => crypto.randomUUID().slice(0, 13);
  const makeWebhook = (filter: object, to = url) => make('/webhooks', { name: word(), url: to, filter });
  const makeRule = (part: object) =>
    make('/alarm-rules', {
      name: word(),
      level: 'info',
      message_type: 'm',
      when: { path: 'a', op: 'exists' },
      ...part,
    });

  test('O19: a device type that gets another name is filtered as before, and shown as it is called now', async () => {
    await using receiver = await startReceiver();
    const [before, after] = [`Meter ${word()}`, `Gauge ${word()}`];
    const type = await make('/device-types', { name: before });
    const webhook = await makeWebhook({ device_types: [before], event_types: ['said'] }, receiver.url);
    assert.deepEqual(webhook.filter.device_types, [before]);
    const rule = await makeRule({ device_type: before });
    const { token } = await makeDevice(server(), { name: word(), type: before });
    const device = await server().device(token);
    const say = () => device.socket.timeout(5_000).emitWithAck('event', { eventType: 'said' });
    await say();
    await receiver.got(1);
    await patch(`/device-types/${type.id}`, { name: after });
    await say();
    await receiver.got(2);
    assert.deepEqual((await get(`/webhooks/${webhook.id}`)).filter.device_types, [after]);
    assert.equal((await get(`/alarm-rules/${rule.id}`)).device_type, after);
    // What is shown can be sent back.
    const { filter } = await get(`/webhooks/${webhook.id}`);
    assert.deepEqual((await patch(`/webhooks/${webhook.id}`, { filter })).filter, filter);
    assert.equal((await patch(`/alarm-rules/${rule.id}`, { device_type: after })).device_type, after);
    await say();
    await receiver.got(3);
    // Another type takes the name: the filter is for the one that had it when it was made.
    const taker = await make('/device-types', { name: before });
    const other = await server().device((await makeDevice(server(), { name: word(), type: taker.id })).token);
    await other.socket.timeout(5_000).emitWithAck('event', { eventType: 'said' });
    await say();
    await receiver.got(4);
    assert.deepEqual(new Set(receiver.received.map(({ json }) => json.originDeviceClass)).size, 2);
    await remove(`/webhooks/${webhook.id}`);
    const events = await get('/events?type=said');
    assert.equal(events.items.length, 5);
  });

  test('O19: a type is shown by the id that people chose; by its own id where its name is the id of another', async () => {
    const id = `meter-${word()}`;
    await make('/device-types', { id, name: `Meter ${id}` });
    const confusing = await make('/device-types', { name: id });
    const { filter, id: webhook } = await makeWebhook({ device_types: [`Meter ${id}`, confusing.id, id] });
    assert.deepEqual(filter.device_types, [id, confusing.id]);
    assert.deepEqual((await patch(`/webhooks/${webhook}`, { filter })).filter, filter);
    const rule = await makeRule({ device_type: confusing.id });
    assert.equal(rule.device_type, confusing.id);
    assert.equal(
      (await patch(`/alarm-rules/${rule.id}`, { device_type: rule.device_type })).device_type,
      confusing.id,
    );
  });

  test('O19: filters from before know types by id after the migration', async () => {
    const type = await make('/device-types', { name: `Old ${word()}` });
    const { id } = await makeWebhook({ device_types: [type.name] });
    const { db } = server().ctx;
    const filter_json = JSON.stringify({ device_types: [type.name, 'gone', type.id], labels: ['x'] });
    await db.updateTable('webhooks').set({ filter_json }).where('id', '=', id).execute();
    await names.up(db);
    const row = await db
      .selectFrom('webhooks')
      .select('filter_json')
      .where('id', '=', id)
      .executeTakeFirstOrThrow();
    assert.deepEqual(JSON.parse(row.filter_json), { device_types: [type.id, 'gone'], labels: ['x'] });
    await remove(`/webhooks/${id}`);
  });

  type Thing = {
    filter: (ids: [unknown, unknown]) => object;
    make: () => Promise<string | number>;
    path: string;
  };
  const things: Record<string, Thing> = {
    device: {
      filter: (devices) => ({ devices }),
      make: async () => (await makeDevice(server(), { name: word() })).id,
      path: '/devices',
    },
    group: { filter: (groups) => ({ groups }), make: () => makeGroup(server(), word()), path: '/groups' },
    'device type': {
      filter: (device_types) => ({ device_types }),
      make: async () => (await make('/device-types', { id: word(), name: word() })).id,
      path: '/device-types',
    },
    'alarm rule': {
      filter: (alarm_rules) => ({ alarm_rules }),
      make: async () =>
        (await makeRule({ device_type: (await make('/device-types', { name: word() })).id })).id,
      path: '/alarm-rules',
    },
  };
  for (const [what, thing] of Object.entries(things)) {
    test(`O19: a filter whose last ${what} was deleted is marked and told, once`, async () => {
      await using receiver = await startReceiver();
      const watcher = await makeWebhook({ event_types: ['webhook.orphaned'] }, receiver.url);
      const ids: [string | number, string | number] = [await thing.make(), await thing.make()];
      const webhook = await makeWebhook({ ...thing.filter(ids), event_types: ['x'] });
      const free = await makeWebhook({ tags: ['nobody'] });
      assert.equal(webhook.problem, null);
      const problem = async (id = webhook.id) => (await get(`/webhooks/${id}`)).problem;
      await remove(`${thing.path}/${ids[0]}`);
      await createOrphans(server().ctx).look();
      assert.equal(await problem(), null);
      await remove(`${thing.path}/${ids[1]}`);
      await waitFor(problem, { what: 'the mark' });
      assert.match(await problem(), new RegExp(`every ${what} .*deleted`));
      await Promise.all([1, 2].map(() => createOrphans(server().ctx).look()));
      await receiver.got(1);
      const { eventType, eventData } = receiver.received[0]?.json ?? {};
      assert.deepEqual(
        [eventType, eventData.webhook_id, eventData.name, eventData.problem],
        ['webhook.orphaned', webhook.id, webhook.name, await problem()],
      );
      assert.ok(
        server().logged.some((line) => line.includes(webhook.id) && line.includes('nothing is left')),
      );
      assert.equal(await problem(free.id), null);
      const listed = bodyOf(await api(`/webhooks?q=${webhook.name}`), 200).items[0];
      assert.equal(listed.problem, await problem());
      const { filter } = await get(`/webhooks/${webhook.id}`);
      assert.deepEqual(filter, webhook.filter, 'what is gone is still shown, and can be sent back');
      assert.ok((await patch(`/webhooks/${webhook.id}`, { name: word(), filter })).problem);
      const mended = await patch(`/webhooks/${webhook.id}`, { filter: {} });
      assert.equal(mended.problem, null);
      assert.equal(receiver.received.length, 1);
      for (const { id } of [watcher, webhook, free]) await remove(`/webhooks/${id}`);
    });
  }

  test('O19: an alarm rule whose last webhook or action was deleted is marked and told', async () => {
    await using receiver = await startReceiver();
    const watcher = await makeWebhook(
      { kinds: ['system'], event_types: ['alarm_rule.orphaned'] },
      receiver.url,
    );
    const { id: device_type } = await make('/device-types', { name: word() });
    const [hook, other] = [await makeWebhook({}), await makeWebhook({})];
    const [action, again] = [word(), word()];
    for (const eventId of [action, again]) await makeStep(server(), eventId, 'show_toast', { message: 'x' });
    const telling = await makeRule({ device_type, webhooks: [hook.id, other.id] });
    const firing = await makeRule({ device_type, actions: [action] });
    const quiet = await makeRule({ device_type });
    const problem = async ({ id }: { id: string }) => (await get(`/alarm-rules/${id}`)).problem;
    await remove(`/webhooks/${hook.id}`);
    await createOrphans(server().ctx).look();
    assert.equal(await problem(telling), null);
    await remove(`/webhooks/${other.id}`);
    await waitFor(() => problem(telling), { what: 'the mark' });
    await remove(`/actions/${action}`);
    await waitFor(() => problem(firing), { what: 'the other mark' });
    await receiver.got(2);
    assert.deepEqual(
      receiver.received.map(({ json }) => [json.eventData.rule_id, json.eventData.problem]).sort(),
      [
        [telling.id, 'every webhook that it names was deleted'],
        [firing.id, 'every action that it names was deleted'],
      ].sort(),
    );
    assert.equal(await problem(quiet), null);
    // The action comes again under its name.
    await makeStep(server(), action, 'show_toast', { message: 'x' });
    await waitFor(async () => (await problem(firing)) === null, { what: 'the mark to go' });
    assert.equal((await patch(`/alarm-rules/${telling.id}`, { webhooks: [] })).problem, null);
    await remove(`/webhooks/${watcher.id}`);
  });

  test('O19: what was deleted as the server went down is found at the next start', async () => {
    await using first = await start({ env: { ...reachReceivers } });
    const made = await makeDevice(first, { name: 'gone' });
    const body = { name: 'w', url, filter: { devices: [made.id] } };
    const { id } = bodyOf(await first.api('/webhooks', { body }), 201);
    await first.ctx.db.deleteFrom('devices').where('id', '=', made.id).execute();
    await first.close();
    await using next = await start({ env: first.env, dataDir: first.dataDir });
    await waitFor(async () => bodyOf(await next.api(`/webhooks/${id}`), 200).problem, { what: 'the mark' });
  });
});
