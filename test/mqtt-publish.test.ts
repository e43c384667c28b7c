/** What devices publish over MQTT: stored, acknowledged and told apart. */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { test } from 'node:test';
import { sql } from 'kysely';
import { onEveryDatabaseWithMqtt } from './support/mqtt.ts';
import { connectPacket, packet, pubackType, publishPacket } from './support/mqtt-packets.ts';
import { waitFor } from './support/wait.ts';

onEveryDatabaseWithMqtt('MQTT, publishing', (mqtt) => {
  const { silent, screen, connect, raw, eventsOf, refusals } = mqtt;

  test('an event, messages and bulk data are stored as they were published', async () => {
    const device = await screen();
    const { client } = await connect(device);
    const bytes = randomBytes(1_000);
    const topic = `/devices/${device.id}`;
    await client.publishAsync(
      `${topic}/event`,
      '{"eventType":"opened","eventData":{"n":12345678901234567890}}',
      { qos: 1 },
    );
    await client.publishAsync(`${topic}/event`, '{"eventType":"closed"}', { qos: 1, retain: true });
    await client.publishAsync(`${topic}/message/climate/room`, '{"t":  21}', { qos: 1 });
    await client.publishAsync(`${topic}/message`, bytes, { qos: 1 });
    await client.publishAsync(`${topic.slice(1)}/bulkData/video`, bytes, { qos: 1 });
    const stored = (await eventsOf(device)).map(({ kind, type, label, mediaType, body, origin }) => {
      assert.equal(origin.device?.ip, '127.0.0.1');
      return [kind, type, label, mediaType, Buffer.from(body ?? '')];
    });
    assert.deepEqual(stored, [
      ['event', 'opened', null, 'application/json', Buffer.from('{"n":12345678901234567890}')],
      ['event', 'closed', null, 'application/json', Buffer.from('{}')],
      ['message', 'climate/room', null, 'application/json', Buffer.from('{"t":  21}')],
      ['message', null, null, 'application/octet-stream', bytes],
      ['bulk', null, 'video', 'application/octet-stream', bytes],
    ]);
  });

  test('QoS 0 is stored too, also right before the device leaves, and QoS 2 comes through', async () => {
    const device = await screen();
    const { client } = await connect(device);
    await client.publishAsync(`/devices/${device.id}/event`, '{"eventType":"two"}', { qos: 2 });
    await client.publishAsync(`/devices/${device.id}/event`, '{"eventType":"none"}', { qos: 0 });
    await client.endAsync();
    await waitFor(async () => (await eventsOf(device)).length === 2, { what: 'both events' });
    const connection = await silent();
    const events = Array.from({ length: 100 }, (_, n) =>
      publishPacket(`/devices/${device.id}/event`, `{"eventType":"n${n}"}`),
    );
    // All in one go, before anything was answered.
    connection.say(connectPacket(device), ...events, packet(14, 0));
    await waitFor(async () => (await eventsOf(device)).length === 102, { what: 'all events' });
    assert.deepEqual(
      (await eventsOf(device)).slice(2).map(({ type }) => type),
      events.map((_, n) => `n${n}`),
    );
  });

  test('what is published is acknowledged when it is stored, not before', async () => {
    const device = await screen();
    const connection = await raw(device);
    await connection.roundTrip();
    const { db } = mqtt.server.ctx;
    const isMysql = 'DATABASE_URL' in mqtt.server.env;
    let release = () => {};
    const released = new Promise<void>((resolve) => {
      release = resolve;
    });
    let isHeld = false;
    // Holds what the event is written with: the table, or the one connection of SQLite.
    const holding = db.connection().execute(async (held) => {
      if (isMysql) await sql`lock tables events write`.execute(held);
      isHeld = true;
      await released;
      if (isMysql) await sql`unlock tables`.execute(held);
    });
    await waitFor(() => isHeld, { what: 'the database to be held' });
    connection.say(publishPacket(`/devices/${device.id}/event`, '{"eventType":"a"}', 7));
    for (let times = 0; times < 5; times += 1) await connection.roundTrip();
    assert.equal(connection.count(pubackType), 0);
    release();
    await holding;
    await waitFor(() => connection.count(pubackType) === 1, { what: 'the PUBACK' });
    assert.equal((await eventsOf(device)).length, 1);
    connection.socket.destroy();
  });

  test('acknowledgements come in the order of what they answer', async () => {
    const device = await screen();
    const connection = await raw(device);
    const topic = `/devices/${device.id}`;
    const sent = [
      publishPacket(`${topic}/event`, '{"eventType":"a"}', 1),
      publishPacket(`${topic}/event`, 'no JSON', 2),
      publishPacket(`${topic}/receipt`, '{"id":"none","status":"applied"}', 3),
      publishPacket(`${topic}/bulkData/x`, randomBytes(200_000), 4),
      publishPacket(`${topic}/message`, '1', 5),
    ];
    connection.say(...sent);
    await waitFor(() => connection.count(pubackType) === sent.length, { what: 'all PUBACKs' });
    const ids = connection
      .packets()
      .flatMap(([type, body]) => (type === pubackType ? body.readUInt16BE(0) : []));
    assert.deepEqual(ids, [1, 2, 3, 4, 5]);
    connection.socket.destroy();
  });

  test('what is no good is acknowledged and logged, and the connection lives', async () => {
    const device = await screen();
    const { client } = await connect(device);
    const topic = `/devices/${device.id}`;
    const bad: [topic: string, payload: string][] = [
      ['event', '{"eventType":'],
      ['event', '{"eventType":""}'],
      ['event', '['.repeat(100_000)],
      ['receipt', 'x'],
      ['receipt', '{"id":"nobody","status":"applied"}'],
      ['receipt', '{"id":"nobody","status":"done"}'],
      ['bulkData/a/request', 'x'],
      ['bulkData/', 'x'],
    ];
    for (const [what, payload] of bad) await client.publishAsync(`${topic}/${what}`, payload, { qos: 1 });
    await client.publishAsync(`${topic}/event`, '{"eventType":"good"}', { qos: 1 });
    assert.deepEqual(
      (await eventsOf(device)).map(({ type }) => type),
      ['good'],
    );
    const told = refusals().filter(({ device: of }) => of === device.id);
    assert.deepEqual(
      told.map(({ level, topic: what }) => [level, what]),
      bad.map(([what]) => ['warn', what.startsWith('bulk') ? 'bulk' : what]),
    );
    assert.equal(told[4]?.code, 'unknown_command');
  });
});
