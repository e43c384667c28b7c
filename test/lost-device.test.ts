import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { suite, test } from 'node:test';
import { createLostDevices } from '../src/domain/intake/lost-device.ts';
import { createDatabase, freePort } from './support/mariadb.ts';
import { connectMqttDevice } from './support/mqtt.ts';
import { spawnServer } from './support/process.ts';
import {
  type Call,
  connectTestDevice,
  onEveryDatabase,
  request,
  startServer,
  type TestDevice,
} from './support/server.ts';
import { waitFor } from './support/wait.ts';
import { reachReceivers, startReceiver } from './support/webhook-receiver.ts';

const mysqlUrl = process.env.FLEETHOOK_TEST_MYSQL_URL;
const graceMs = 61_000;

/** A server that is killed, and started again in this process. */
async function makeHome(database: 'sqlite' | 'mysql') {
  const dataDir = mkdtempSync(join(tmpdir(), 'fleethook-lost-'));
  const receiver = await startReceiver();
  const env: Record<string, string> = {
    DATA_DIR: dataDir,
    MQTT_PORT: String(await freePort()),
    ...reachReceivers,
  };
  if (database === 'mysql') env.DATABASE_URL = await createDatabase(mysqlUrl ?? '');
  const first = await spawnServer(env);
  const api = async (path: string, call?: Call) => (await request(`${first.url}/api/v1${path}`, call)).body;
  const body = { name: 'told', url: receiver.url, filter: { kinds: ['system', 'event'] }, ordered: false };
  assert.ok((await api('/webhooks', { body })).id);
  const { items } = await api('/devices', {
    body: ['one', 'two', 'three', 'four'].map((name) => ({ name })),
  });
  const told = () =>
    receiver.received
      .map(({ json }) => [json.eventType, json.originDeviceId])
      .filter(([type]) => type !== 'device.online')
      .sort();
  return {
    first,
    env,
    receiver,
    told,
    devices: items as { id: number; token: string }[],
    /** Connected, and written down as such. */
    written: async (id: number) =>
      waitFor(async () => (await api(`/devices/${id}`)).connected_at !== null, { what: 'the sighting' }),
    start: () => startServer({ env, dataDir }),
    [Symbol.asyncDispose]: async () => {
      await first.kill();
      await receiver[Symbol.asyncDispose]();
      rmSync(dataDir, { recursive: true, force: true });
    },
  };
}

for (const database of ['sqlite', 'mysql'] as const) {
  const skip = database === 'mysql' && !mysqlUrl ? 'there is no MariaDB' : false;
  suite(`devices that are lost on ${database === 'sqlite' ? 'SQLite' : 'MariaDB'}`, { skip }, () => {
    test('O18: after SIGKILL those who do not come back are told to be offline, with their wills, after a grace', async () => {
      await using home = await makeHome(database);
      const [one, two, three, four] = home.devices;
      assert.ok(one && two && three && four);
      const screens: TestDevice[] = [];
      for (const { token } of [one, two, three]) screens.push(await connectTestDevice(home.first.url, token));
      const mqttUrl = `mqtt://127.0.0.1:${home.env.MQTT_PORT}`;
      const topic = `/devices/${four.id}/event`;
      const will = {
        topic,
        payload: Buffer.from('{"eventType":"gone","eventData":{"n":1}}'),
        qos: 1 as const,
      };
      const left = await connectMqttDevice(mqttUrl, four, {
        will: { ...will, payload: Buffer.from('{"eventType":"left"}'), retain: false },
      });
      await left.client.endAsync();
      const mqtt = await connectMqttDevice(mqttUrl, four, { will: { ...will, retain: false } });
      for (const { id } of [one, two, three, four]) await home.written(id);
      screens[2]?.disconnect();
      await waitFor(() => home.told().length > 0, { what: 'the one that left' });
      await waitFor(
        async () => {
          const { body } = await request(`${home.first.url}/api/v1/devices/${three.id}`);
          return Date.parse(body.last_seen_at) > Date.parse(body.connected_at);
        },
        { what: 'its sighting' },
      );
      await home.first.kill();
      await mqtt.client.endAsync(true);
      home.receiver.received.length = 0;

      await using server = await home.start();
      let passed = 0;
      await server.device(two.token);
      await waitFor(() => home.receiver.received.length > 0, { what: 'the one that is back' });
      const another = createLostDevices(server.ctx, () => passed);
      await another.look();
      assert.deepEqual(home.told(), []);
      await waitFor(async () => (await server.api(`/devices/${two.id}`)).body.connected_at, {
        what: 'its sighting',
      });
      const { db, process: own } = server.ctx;
      const isBack = async () =>
        (await db.selectFrom('devices').select('online_node').where('id', '=', two.id).executeTakeFirst())
          ?.online_node === own.nodeId;
      await waitFor(isBack, { what: 'its place' });
      passed += graceMs;
      await Promise.all([another.look(), another.look()]);
      const expected = [
        ['device.offline', one.id],
        ['device.offline', four.id],
        ['gone', four.id],
      ];
      await waitFor(() => home.told().length >= expected.length, { what: 'those who are lost' });
      await another.look();
      assert.deepEqual(home.told(), expected.sort());
      const offline = home.receiver.received.find(({ json }) => json.originDeviceId === one.id)?.json;
      assert.deepEqual(
        [offline.eventData.device, offline.eventData.door],
        [{ id: one.id, name: 'one' }, 'socket'],
      );
      assert.ok(offline.eventData.last_seen_at < offline.eventData.at);
      assert.deepEqual(await db.selectFrom('wills').selectAll().execute(), []);
      assert.ok((await server.api(`/devices/${two.id}`)).body.online);
    });
  });
}

onEveryDatabase('devices of another node', (start) => {
  test('O18: while that node lives nobody is told, however long it takes', async () => {
    await using receiver = await startReceiver();
    let passed = 0;
    await using one = await start({ env: { ...reachReceivers } });
    await using other = await start({ env: one.env, dataDir: one.dataDir });
    const filter = { kinds: ['system'] };
    assert.equal(
      (await one.api('/webhooks', { body: { name: 'told', url: receiver.url, filter } })).status,
      201,
    );
    const { body } = await one.api('/devices', { body: { name: 'there' } });
    await one.device(body.token);
    const { db } = other.ctx;
    const { nodeId } = one.ctx.process;
    const isWritten = async () =>
      (await db.selectFrom('devices').select('id').where('online_node', '=', nodeId).execute()).length === 1;
    await waitFor(isWritten, { what: 'the sighting' });
    const looking = createLostDevices(other.ctx, () => passed);
    await looking.look();
    const beat = async () =>
      (await db.selectFrom('nodes').select('seen_at').where('id', '=', nodeId).executeTakeFirst())?.seen_at;
    for (let time = 0; time < 2; time += 1) {
      const before = await beat();
      await waitFor(async () => (await beat()) !== before, { what: 'its heart' });
      passed += graceMs;
      await looking.look();
    }
    assert.equal(await isWritten(), true);
    assert.deepEqual(
      receiver.received.map(({ json }) => json.eventType),
      ['device.online'],
    );
  });
});
