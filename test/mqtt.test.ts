import assert from 'node:assert/strict';
import { execFile, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { connect as connectSocket, type Socket } from 'node:net';
import { join } from 'node:path';
import { after, before, suite, test } from 'node:test';
import { promisify } from 'node:util';
import { sql } from 'kysely';
import { connectAsync, type IClientOptions, type MqttClient } from 'mqtt';
import WebSocket from 'ws';
import { runCli } from '../src/cli.ts';
import { parseTopic } from '../src/mqtt/topic.ts';
import { selectEventParts, selectEvents } from '../src/store/event.ts';
import { certificate, key } from './support/certificate.ts';
import { fire, type MadeDevice, makeDevice, makeStep, traceOf } from './support/fleet.ts';
import { bodyOf } from './support/management.ts';
import { createDatabase, findProgram, freePort, startMariaDb } from './support/mariadb.ts';
import { onEveryDatabase, startServer, type TestServer } from './support/server.ts';
import { waitFor } from './support/wait.ts';

const mebibyte = 1_024 * 1_024;
const publishType = 3;
const pubackType = 4;
const pingType = 12;
const pongType = 13;

type Device = Pick<MadeDevice, 'id' | 'token'>;

// biome-ignore lint/suspicious/noExplicitAny: tests look into messages; a wrong path fails the test.
type Heard = { topic: string; qos: number; retain: boolean; message: any };
type TestClient = { client: MqttClient; heard: Heard[] };

/** A device as any MQTT client library would connect it; keeps what it is told. */
async function connectDevice(url: string, device: Device, options: IClientOptions = {}): Promise<TestClient> {
  const client = await connectAsync(url, {
    username: String(device.id),
    password: device.token,
    reconnectPeriod: 0,
    ...options,
  });
  const heard: Heard[] = [];
  client.on('error', () => undefined);
  client.on('message', (topic, payload, { qos, retain }) =>
    heard.push({ topic, qos, retain, message: JSON.parse(payload.toString()) }),
  );
  return { client, heard };
}

/** A field of a packet, with its length before it (MQTT 3.1.1 §1.5.3). */
function field(content: string | Buffer): Buffer {
  const bytes = Buffer.from(content);
  return Buffer.concat([Buffer.from([bytes.length >> 8, bytes.length & 0xff]), bytes]);
}

/** The fixed header (§2.2) for `length` bytes to come. */
function header(type: number, flags: number, length: number): Buffer {
  const bytes = [(type << 4) | flags];
  do {
    bytes.push((length & 0x7f) | (length > 0x7f ? 0x80 : 0));
    length >>= 7;
  } while (length > 0);
  return Buffer.from(bytes);
}

function packet(type: number, flags: number, ...parts: Buffer[]): Buffer {
  const body = Buffer.concat(parts);
  return Buffer.concat([header(type, flags, body.length), body]);
}

function connectPacket(device: { id: number | string; token: string }): Buffer {
  const keepAlive = Buffer.from([0, 0]);
  const head = [field('MQTT'), Buffer.from([4, 0b1100_0010]), keepAlive];
  return packet(1, 0, ...head, field('raw'), field(String(device.id)), field(device.token));
}

/** With QoS 1 when it has an id. */
function publishPacket(topic: string, payload: string | Buffer, id?: number): Buffer {
  const numbered = id === undefined ? [] : [Buffer.from([id >> 8, id & 0xff])];
  return packet(publishType, id === undefined ? 0 : 2, field(topic), ...numbered, Buffer.from(payload));
}

const ping = packet(pingType, 0);

/** A device that says byte for byte what the test says; `packets` are those that came, as `[type, body]`. */
async function connectRaw(port: number) {
  const socket: Socket = connectSocket(port, '127.0.0.1');
  let bytes = Buffer.alloc(0);
  let isClosed = false;
  socket.on('data', (chunk: Buffer) => {
    bytes = Buffer.concat([bytes, chunk]);
  });
  socket.on('error', () => undefined);
  socket.on('close', () => {
    isClosed = true;
  });
  await once(socket, 'connect');
  const packets = () => {
    const found: [type: number, body: Buffer][] = [];
    for (let at = 0; at < bytes.length; at += 2 + (bytes[at + 1] ?? 0))
      found.push([(bytes[at] ?? 0) >> 4, bytes.subarray(at + 2, at + 2 + (bytes[at + 1] ?? 0))]);
    return found;
  };
  const count = (type: number) => packets().filter(([of]) => of === type).length;
  return {
    socket,
    packets,
    count,
    say: (...parts: Buffer[]) => socket.write(Buffer.concat(parts)),
    closed: () => waitFor(() => isClosed, { what: 'the connection to be closed' }),
    /** Goes to the server and back. */
    roundTrip: async () => {
      const before = count(pongType);
      socket.write(ping);
      await waitFor(() => count(pongType) > before, { what: 'an answer to a ping' });
    },
  };
}

const refusals = (server: TestServer) =>
  server.logged
    .map((line) => JSON.parse(line))
    .filter(({ msg }) => msg === 'a message of a device was refused' || /subscription|MQTT/.test(msg));

const isMosquittoThere = findProgram('mosquitto_pub') !== null && findProgram('mosquitto_sub') !== null;

suite('MQTT topics', () => {
  const cases: [string, ReturnType<typeof parseTopic>][] = [
    ['/devices/7/event', { deviceId: 7, what: 'event', name: null }],
    ['devices/7/event', { deviceId: 7, what: 'event', name: null }],
    ['/devices/7/bulkData/video', { deviceId: 7, what: 'bulk', name: 'video' }],
    ['/devices/7/bulkData/a/b', { deviceId: 7, what: 'bulk', name: 'a/b' }],
    ['/devices/7/message', { deviceId: 7, what: 'message', name: null }],
    ['/devices/7/message/climate.room', { deviceId: 7, what: 'message', name: 'climate.room' }],
    ['/devices/7/receipt', { deviceId: 7, what: 'receipt', name: null }],
    ['/devices/7/command', { deviceId: 7, what: 'command', name: null }],
    ['devices/7/state', { deviceId: 7, what: 'state', name: null }],
    ['/devices/07/event', null],
    ['/devices/0/event', null],
    ['/devices/-7/event', null],
    ['/devices/7/event/', null],
    ['//devices/7/event', null],
    ['/devices/7/bulkData', null],
    ['/devices/7/bulkdata/x', null],
    ['/devices/7/kv', null],
    ['/devices/+/command', null],
    ['/devices/7/#', null],
    ['/devices/7/message/#', null],
    ['/devices/12345678901234567890/event', null],
    ['$SYS/x', null],
    ['', null],
  ];
  for (const [topic, expected] of cases)
    test(`"${topic}"`, () => assert.deepEqual(parseTopic(topic), expected));
});

onEveryDatabase('MQTT', (start) => {
  let server: TestServer;
  let port: number;
  let url: string;
  const clients: MqttClient[] = [];
  before(async () => {
    port = await freePort();
    url = `mqtt://127.0.0.1:${port}`;
    server = await start({ env: { MQTT_PORT: String(port), TRUST_PROXY: '1' } });
  });
  after(async () => {
    for (const client of clients) client.end(true);
    await server[Symbol.asyncDispose]();
  });

  let devices = 0;
  async function screen(): Promise<MadeDevice> {
    devices += 1;
    return makeDevice(server, { name: `screen ${devices}` });
  }
  async function connect(device: Device, options: IClientOptions = {}, at = url): Promise<TestClient> {
    const connected = await connectDevice(at, device, options);
    clients.push(connected.client);
    return connected;
  }
  async function raw(device: { id: number | string; token: string }) {
    const connection = await connectRaw(port);
    connection.say(connectPacket(device));
    await waitFor(() => connection.packets().length > 0, { what: 'a CONNACK' });
    assert.deepEqual(connection.packets()[0], [2, Buffer.from([0, 0])]);
    return connection;
  }
  const eventsOf = async ({ id }: Device) =>
    (await selectEvents(server.ctx.db, 1, { deviceId: id }, { limit: 200, cursor: null })).items.reverse();
  const deviceOf = async ({ id }: Device) => bodyOf(await server.api(`/devices/${id}`), 200);
  const issue = async ({ id }: Device, fn: string, params: object) => {
    const body = { function: fn, params, target: { devices: [id] } };
    return bodyOf(await server.api('/commands', { body }), 201).id as string;
  };
  const toast = (device: Device, message: string) => issue(device, 'show_toast', { message });
  const page = (device: Device, path: string) => issue(device, 'load_url', { url: `https://x.test/${path}` });
  const isRefused = (of: Device & { username?: string }, code: number) =>
    assert.rejects(
      connect(of, of.username === undefined ? {} : { username: of.username }),
      (error: { code?: number }) => error.code === code,
    );
  const isClosed = (client: MqttClient) =>
    waitFor(() => !client.connected, { what: 'the connection to be closed' });

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
    const connection = await connectRaw(port);
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
    const { db } = server.ctx;
    const isMysql = 'DATABASE_URL' in server.env;
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

  test('a device is online from CONNECT, hears what it subscribes to, and its receipts count', async () => {
    const device = await screen();
    const { client, heard } = await connect(device, { keepalive: 30 });
    const { online, address } = await deviceOf(device);
    assert.deepEqual([online, address], [true, '127.0.0.1']);
    const shown = await page(device, 'a');
    const missed = await toast(device, 'missed');
    await makeStep(server, `mqtt-${device.id}`, 'show_toast', { message: 'x' }, { devices: [device.id] });

    const granted = await client.subscribeAsync(`/devices/${device.id}/state`, { qos: 1 });
    assert.deepEqual(
      granted.map(({ qos }) => qos),
      [1],
    );
    await waitFor(() => heard.length === 1, { what: 'the state' });
    assert.equal(heard[0]?.message.content.command_id, shown);
    assert.deepEqual(heard[0]?.message.causes, [shown]);
    assert.deepEqual(Object.keys(heard[0]?.message).sort(), ['causes', 'content', 'emergency', 'loop']);
    // Not for a device that has not subscribed to commands.
    const early = await toast(device, 'early');
    const next = await page(device, 'b');
    await waitFor(() => heard.length === 2, { what: 'the change' });
    assert.deepEqual(Object.keys(heard[1]?.message).sort(), ['causes', 'content']);
    assert.deepEqual(heard[1]?.message.causes, [next]);

    await client.subscribeAsync(`/devices/${device.id}/command`, { qos: 0 });
    await waitFor(() => heard.length === 4, { what: 'the pulses' });
    const { trigger_id } = await fire(server, `mqtt-${device.id}`);
    await waitFor(() => heard.length === 5, { what: 'the command' });
    const [, , first, second, third] = heard;
    assert.deepEqual([first?.message.id, second?.message.id], [missed, early]);
    assert.deepEqual(
      heard.map(({ topic, qos, retain }) => [topic.split('/').at(-1), qos, retain]),
      [
        ['state', 1, false],
        ['state', 1, false],
        ['command', 0, false],
        ['command', 0, false],
        ['command', 0, false],
      ],
    );
    const { id, function: name, action, params, parameters } = third?.message ?? {};
    assert.deepEqual([name, action, params, parameters], [name, name, parameters, { message: 'x' }]);

    const receipts = [missed, early, next, id].map((of) => ({ id: of, status: 'applied' }));
    await client.publishAsync(`/devices/${device.id}/receipt`, JSON.stringify(receipts), { qos: 1 });
    const { commands } = await traceOf(server, trigger_id);
    assert.equal(commands[0].coverage?.applied ?? commands[0].counts?.applied, 1);
    await client.endAsync();
    await waitFor(async () => !(await deviceOf(device)).online, { what: 'the device to be offline' });
    const again = await connect(device);
    await again.client.subscribeAsync([`devices/${device.id}/command`, `devices/${device.id}/state`]);
    await waitFor(() => again.heard.length > 0, { what: 'the state' });
    const last = await toast(device, 'last');
    await waitFor(() => again.heard.length === 2, { what: 'the toast' });
    assert.deepEqual(
      again.heard.map(({ topic, message }) => [topic, message.causes ?? message.id]),
      [
        [`devices/${device.id}/state`, []],
        [`devices/${device.id}/command`, last],
      ],
    );
  });

  test('a custom command carries its action and parameters as MODE names them', async () => {
    const device = await screen();
    const { client, heard } = await connect(device);
    await client.subscribeAsync(`/devices/${device.id}/command`);
    await issue(device, 'custom', { action: 'set-alarm', parameters: { rooms: ['a'], armed: true } });
    await waitFor(() => heard.length === 1, { what: 'the command' });
    const { function: name, action, parameters, params } = heard[0]?.message ?? {};
    assert.deepEqual([name, action, parameters], ['custom', 'set-alarm', { rooms: ['a'], armed: true }]);
    assert.deepEqual(params, { action, parameters });
  });

  test('nothing is lost or said twice between subscribing and what is sent meanwhile', async () => {
    const device = await screen();
    for (let round = 0; round < 3; round += 1) {
      const { client, heard } = await connect(device);
      const before = await Promise.all(Array.from({ length: 5 }, (_, n) => toast(device, `before ${n}`)));
      const sent = Promise.all(Array.from({ length: 30 }, (_, n) => toast(device, `during ${n}`)));
      const states = Promise.all(Array.from({ length: 5 }, (_, n) => page(device, String(n))));
      const subscribed = [
        client.subscribeAsync(`/devices/${device.id}/state`, { qos: 1 }),
        client.subscribeAsync(`/devices/${device.id}/command`, { qos: 1 }),
      ];
      const during = await sent;
      await states;
      await Promise.all(subscribed);
      const last = await toast(device, 'last');
      const ids = () => heard.flatMap(({ message }) => message.id ?? []);
      await waitFor(() => ids().includes(last), { what: 'the last toast' });
      assert.deepEqual(ids().sort(), [...before, ...during, last].sort());
      const whole = heard.filter(({ message }) => 'loop' in message);
      assert.equal(whole.length, 1);
      const shown = heard.filter(({ message }) => 'content' in message).at(-1);
      const { content } = bodyOf(await server.api(`/devices/${device.id}/state`), 200);
      assert.equal(shown?.message.content.command_id, content.command_id);
      const receipts = ids().map((id) => ({ id, status: 'applied' }));
      await client.publishAsync(`/devices/${device.id}/receipt`, JSON.stringify(receipts), { qos: 1 });
      await client.endAsync();
    }
  });

  test('a device that has moved while connected hears what holds in its new place', async () => {
    const device = await screen();
    const { client, heard } = await connect(device);
    await client.subscribeAsync(`/devices/${device.id}/state`);
    const body = { function: 'load_url', params: { url: 'https://x.test/' }, target: { tags: ['moved'] } };
    const { id } = bodyOf(await server.api('/commands', { body }), 201);
    bodyOf(await server.api(`/devices/${device.id}`, { method: 'PATCH', body: { tags: ['moved'] } }), 200);
    await waitFor(() => heard.at(-1)?.message.content?.command_id === id, { what: 'the new state' });
    assert.equal(heard.length, 2);
  });

  test('a device touches its own topics alone', async () => {
    const [device, other] = [await screen(), await screen()];
    for (const topic of [
      `/devices/${other.id}/event`,
      `/devices/${device.id}/command`,
      `/devices/${device.id}/kv`,
      `/devices/${device.id}/+`,
      `/devices/${device.id}/#`,
      '$SYS/x',
      '/'.repeat(200),
    ]) {
      const connection = await raw(device);
      connection.say(publishPacket(topic, '{"eventType":"stolen"}', 1));
      await connection.closed();
      assert.equal(connection.count(pubackType), 0, topic);
    }
    assert.deepEqual([await eventsOf(other), await eventsOf(device)], [[], []]);
    assert.ok(refusals(server).some(({ device: of, code }) => of === device.id && code === 'not_allowed'));
    const { client, heard } = await connect(device);
    for (const topic of [
      `/devices/${other.id}/command`,
      `/devices/+/command`,
      `/devices/${device.id}/+`,
      `/devices/${device.id}/#`,
      `/devices/${device.id}/event`,
      '#',
      '$SYS/#',
    ]) {
      await assert.rejects(
        client.subscribeAsync(topic),
        (error: { packet?: { granted: number[] } }) => error.packet?.granted[0] === 128,
        topic,
      );
    }
    const granted = await client.subscribeAsync(`/devices/${device.id}/command`, { qos: 2 });
    assert.deepEqual(
      granted.map(({ qos }) => qos),
      [1],
    );
    await toast(other, 'not for you');
    const own = await toast(device, 'for you');
    await waitFor(() => heard.length > 0, { what: 'the toast' });
    assert.deepEqual(
      heard.map(({ message }) => message.id),
      [own],
    );
    await client.unsubscribeAsync(`/devices/${device.id}/command`);
    await client.subscribeAsync(`/devices/${device.id}/state`);
    await toast(device, 'not heard');
    await page(device, 'heard');
    await waitFor(() => heard.some(({ message }) => message.content), { what: 'the state' });
    assert.ok(!heard.some(({ message }) => message.params?.message === 'not heard'));
  });

  test('a wrong token or name is refused with code 4, another version with 1', async () => {
    const [device, other] = [await screen(), await screen()];
    await isRefused({ id: device.id, token: 'fhd_wrong' }, 4);
    await isRefused({ id: device.id, token: other.token }, 4);
    await isRefused({ ...device, username: '' }, 4);
    await isRefused({ ...device, username: `0${device.id}` }, 4);
    await isRefused({ ...device, username: '__proto__' }, 4);
    await connect(device, { protocolVersion: 3, protocolId: 'MQIsdp', clientId: 'x'.repeat(23) });
    await connect(device, { clientId: '', clean: true });
    const { client } = await connect(device, { clean: false, clientId: 'kept' });
    assert.ok(client.connected);
    const connection = await connectRaw(port);
    const five = packet(1, 0, field('MQTT'), Buffer.from([5, 2, 0, 0, 0]), field('x'));
    connection.say(five);
    await connection.closed();
    assert.deepEqual(connection.packets(), [[2, Buffer.from([0, 1])]]);
  });

  test("a client id is the device's own: it takes over its connection and nobody else's", async () => {
    const [one, other] = [await screen(), await screen()];
    const first = await connect(one, { clientId: 'same' });
    const foreign = await connect(other, { clientId: 'same' });
    const beside = await connect(one, { clientId: 'beside' });
    const second = await connect(one, { clientId: 'same' });
    await isClosed(first.client);
    await second.client.publishAsync(`/devices/${one.id}/message`, '1', { qos: 1 });
    assert.deepEqual(
      [foreign, beside, second].map(({ client }) => client.connected),
      [true, true, true],
    );
    assert.equal((await deviceOf(one)).online, true);
    const many = await Promise.all(Array.from({ length: 8 }, () => connect(one, { clientId: 'many' })));
    await waitFor(() => many.filter(({ client }) => client.connected).length === 1, {
      what: 'one to be left',
    });
    for (const { client } of [...many, beside, second]) await client.endAsync(true);
    await waitFor(async () => !(await deviceOf(one)).online, { what: 'the device to be offline' });
  });

  test("a will is published when the connection breaks, and for the device's own topics alone", async () => {
    const [device, other] = [await screen(), await screen()];
    const will = (of: Device) => ({
      topic: `/devices/${of.id}/event`,
      payload: Buffer.from('{"eventType":"gone"}'),
      qos: 1 as const,
      retain: true,
    });
    await assert.rejects(
      connect(device, { will: will(other) }),
      (error: { code?: number }) => error.code === 5,
    );
    const left = await connect(device, { will: will(device) });
    await left.client.endAsync();
    const broken = await connect(device, { will: will(device) });
    broken.client.stream.destroy();
    await waitFor(async () => (await eventsOf(device)).length > 0, { what: 'the will' });
    assert.deepEqual(
      (await eventsOf(device)).map(({ type }) => type),
      ['gone'],
    );
    assert.deepEqual(await eventsOf(other), []);
  });

  test('a new token sends the device away, and its will is not heard any more', async () => {
    const device = await screen();
    const will = {
      topic: `/devices/${device.id}/event`,
      payload: Buffer.from('{"eventType":"gone"}'),
      qos: 0 as const,
    };
    const { client } = await connect(device, { will: { ...will, retain: false } });
    const rotated = bodyOf(await server.api(`/devices/${device.id}/rotate-token`, { method: 'POST' }), 200);
    await isClosed(client);
    await isRefused(device, 4);
    const again = await connect(rotated);
    await again.client.publishAsync(will.topic, '{"eventType":"back"}', { qos: 1 });
    assert.deepEqual(
      (await eventsOf(device)).map(({ type }) => type),
      ['back'],
    );
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
    const told = refusals(server).filter(({ device: of }) => of === device.id);
    assert.deepEqual(
      told.map(({ level, topic: what }) => [level, what]),
      bad.map(([what]) => ['warn', what.startsWith('bulk') ? 'bulk' : what]),
    );
    assert.equal(told[4]?.code, 'unknown_command');
  });

  test('16 MiB of bulk data come through byte for byte, and one byte more does not', async () => {
    const device = await screen();
    const { client } = await connect(device);
    const bytes = randomBytes(16 * mebibyte);
    const topic = `/devices/${device.id}/bulkData/dump`;
    await client.publishAsync(topic, bytes, { qos: 1 });
    const stored = await eventsOf(device);
    assert.deepEqual([stored.length, stored[0]?.bodyBytes], [1, bytes.length]);
    const parts: Uint8Array[] = [];
    for await (const part of selectEventParts(server.ctx.db, stored[0]?.id ?? '')) parts.push(part);
    assert.ok(Buffer.concat(parts).equals(bytes));
    await client.publishAsync(topic, Buffer.concat([bytes, Buffer.alloc(1)]), { qos: 1 });
    assert.equal((await eventsOf(device)).length, 1);
    assert.equal(refusals(server).at(-1).code, 'too_large');
    assert.ok(client.connected);
  });

  test('a packet that announces too much is refused before it is sent', async () => {
    const device = await screen();
    const connection = await raw(device);
    connection.say(header(publishType, 0, 200 * mebibyte), field(`/devices/${device.id}/bulkData/x`));
    await connection.closed();
    assert.equal(refusals(server).at(-1).code, 'too_large');
    for (const first of [
      header(1, 0, mebibyte), // a CONNECT of that size
      header(publishType, 0, 10),
      Buffer.from([0x10, 0xff, 0xff, 0xff, 0xff, 0x01]), // a length of five bytes
      Buffer.from('GET / HTTP/1.1\r\n\r\n'),
    ]) {
      const unknown = await connectRaw(port);
      unknown.say(first);
      await unknown.closed();
      assert.deepEqual(unknown.packets(), []);
    }
  });

  test('a device that floods slows itself and nobody else', async () => {
    const [wild, calm] = [await screen(), await screen()];
    const connection = await raw(wild);
    const quiet = await connect(calm);
    const count = 650; // more than the burst of 500, at 100 a second after that
    const began = performance.now();
    connection.say(
      ...Array.from({ length: count }, (_, n) => publishPacket(`/devices/${wild.id}/message`, `${n}`, n + 1)),
    );
    await waitFor(() => connection.count(pubackType) >= 500, { what: 'the burst to be stored' });
    for (let n = 0; n < 20; n += 1)
      await quiet.client.publishAsync(`/devices/${calm.id}/message`, '1', { qos: 1 });
    assert.ok(connection.count(pubackType) < count, 'the calm one is done before the wild one');
    await waitFor(() => connection.count(pubackType) === count, { what: 'all to be stored' });
    assert.ok(performance.now() - began > 1_000);
    connection.socket.destroy();
  });

  test('MQTT over WebSocket, on the port of the others, with the address a proxy tells', async () => {
    const device = await screen();
    const at = `${server.url.replace('http', 'ws')}/mqtt`;
    const { client, heard } = await connect(
      device,
      { wsOptions: { headers: { 'x-forwarded-for': '203.0.113.9' } } },
      at,
    );
    assert.equal((await deviceOf(device)).address, '203.0.113.9');
    await client.subscribeAsync([`/devices/${device.id}/state`, `/devices/${device.id}/command`]);
    const id = await toast(device, 'hello');
    await waitFor(() => heard.some(({ message }) => message.id === id), { what: 'the toast' });
    const bytes = randomBytes(300_000);
    await client.publishAsync(`/devices/${device.id}/bulkData/x`, bytes, { qos: 1 });
    assert.equal((await eventsOf(device))[0]?.bodyBytes, bytes.length);
    // Longer than Socket.IO lets an upgrade be that is not its own.
    await waitFor(async () => (await server.device(device.token)).socket.connected, { what: 'Socket.IO' });
    const opened = performance.now();
    await waitFor(() => performance.now() - opened > 1_200, { what: 'time to pass' });
    await client.publishAsync(`/devices/${device.id}/message`, '1', { qos: 1 });
    for (const [path, protocols] of [
      ['/mqtt', []],
      ['/mqtt', ['other']],
      ['/mqtt2', ['mqtt']],
    ] as const) {
      const webSocket = new WebSocket(`${server.url.replace('http', 'ws')}${path}`, [...protocols]);
      const [error] = await once(webSocket, 'error');
      assert.match(error.message, /400|hang up/);
    }
    const text = new WebSocket(at, ['mqtt'], { perMessageDeflate: true });
    await once(text, 'open');
    assert.equal(text.extensions, '');
    text.send('text');
    await once(text, 'close');
  });

  test("mosquitto's clients publish and subscribe", {
    skip: isMosquittoThere || process.env.CI === 'true' ? false : 'mosquitto-clients is not installed',
  }, async () => {
    const device = await screen();
    const who = ['-h', '127.0.0.1', '-p', String(port), '-u', String(device.id), '-P', device.token];
    const publish = (topic: string, ...what: string[]) =>
      promisify(execFile)('mosquitto_pub', [
        ...who,
        '-q',
        '1',
        '-t',
        `/devices/${device.id}/${topic}`,
        ...what,
      ]);
    await publish('event', '-m', '{"eventType":"opened"}');
    const bytes = randomBytes(100_000);
    const file = join(server.dataDir, 'bulk');
    writeFileSync(file, bytes);
    await publish('bulkData/file', '-f', file);
    const [event, bulk] = await eventsOf(device);
    assert.deepEqual([event?.type, bulk?.label, bulk?.bodyBytes], ['opened', 'file', bytes.length]);
    const id = await toast(device, 'hello');
    const topic = `/devices/${device.id}/command`;
    const subscriber = spawn('mosquitto_sub', [...who, '-q', '1', '-C', '2', '-W', '20', '-t', topic]);
    let said = '';
    subscriber.stdout.on('data', (chunk) => {
      said += chunk;
    });
    const ended = once(subscriber, 'close');
    await waitFor(() => said.includes(id), { what: 'the missed toast' });
    const live = await toast(device, 'live');
    await ended;
    const heard = said
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line));
    assert.deepEqual(
      heard.map(({ id: of, action }) => [of, action]),
      [
        [id, 'show_toast'],
        [live, 'show_toast'],
      ],
    );
  });

  test('nothing of all this was an error of ours', () => {
    assert.deepEqual(
      server.logged.filter((line) => line.includes('"level":"error"')),
      [],
    );
  });
});

suite('the MQTT port', () => {
  test('speaks TLS with the certificate that is given, and sends devices away at the end', async () => {
    await using plain = await startServer(); // a place for the files
    const [certFile, keyFile] = [join(plain.dataDir, 'cert.pem'), join(plain.dataDir, 'key.pem')];
    writeFileSync(certFile, certificate);
    writeFileSync(keyFile, key);
    const port = await freePort();
    const env = {
      MQTT_PORT: String(port),
      MQTT_TLS_CERT: certFile,
      MQTT_TLS_KEY: keyFile,
      LOG_LEVEL: 'info',
    };
    const server = await startServer({ env });
    try {
      assert.ok(server.logged.some((line) => line.includes(`"mqttPort":${port}`)));
      const device = await makeDevice(server, { name: 'one' });
      const url = `mqtts://localhost:${port}`;
      await assert.rejects(connectDevice(url, device)); // nobody vouches for it
      const { client, heard } = await connectDevice(url, device, { ca: certificate });
      await client.subscribeAsync(`/devices/${device.id}/state`);
      await waitFor(() => heard.length === 1, { what: 'the state' });
      const idle = connectSocket(port, '127.0.0.1');
      await once(idle, 'connect');
      const idleClosed = once(idle, 'close');
      const events = Array.from({ length: 20 }, (_, n) =>
        client.publishAsync(`/devices/${device.id}/message`, `${n}`, { qos: 1 }),
      );
      await Promise.any(events);
      await server.close();
      await idleClosed;
      await waitFor(() => !client.connected, { what: 'the device to be sent away' });
      client.end(true);
      await Promise.allSettled(events);
    } finally {
      await server[Symbol.asyncDispose]();
    }
  });

  test('says which setting to mend when it cannot be opened', async () => {
    await using server = await startServer({ env: { MQTT_PORT: String(await freePort()) } });
    const taken = server.env as Record<string, string>;
    const serve = async (env: Record<string, string>) => {
      let said = '';
      const code = await runCli(['serve'], {
        env: { ...taken, LOG_LEVEL: 'silent', DATA_DIR: join(server.dataDir, 'other'), ...env },
        signal: AbortSignal.timeout(20_000),
        write: () => undefined,
        writeError: (text) => {
          said += text;
        },
      });
      assert.equal(code, 1);
      return said;
    };
    assert.match(await serve({}), new RegExp(`^port ${taken.MQTT_PORT} is taken: set MQTT_PORT`));
    const missing = { MQTT_TLS_CERT: '/nowhere/cert.pem', MQTT_TLS_KEY: '/nowhere/key.pem' };
    assert.match(await serve(missing), /^MQTT_TLS_CERT cannot be read: ENOENT/);
    const file = join(server.dataDir, 'no.pem');
    writeFileSync(file, 'no PEM');
    assert.match(
      await serve({ MQTT_TLS_CERT: file, MQTT_TLS_KEY: file }),
      /^MQTT_TLS_CERT and .* cannot be used/,
    );
  });
});

const mysqlUrl = process.env.FLEETHOOK_TEST_MYSQL_URL;
suite('MQTT without the database', { skip: mysqlUrl ? false : 'there is no MariaDB' }, () => {
  test('nothing is acknowledged and nobody is let in until it is back', async () => {
    await using mariaDb = await startMariaDb();
    const port = await freePort();
    const env = { MQTT_PORT: String(port), DATABASE_URL: await createDatabase(mariaDb.url) };
    await using server = await startServer({ env });
    const device = await makeDevice(server, { name: 'one' });
    const url = `mqtt://127.0.0.1:${port}`;
    const connection = await connectRaw(port);
    connection.say(connectPacket(device));
    await waitFor(() => connection.packets().length === 1, { what: 'the CONNACK' });
    await mariaDb.kill();
    connection.say(publishPacket(`/devices/${device.id}/event`, '{"eventType":"a"}', 1));
    await connection.closed();
    assert.equal(connection.count(pubackType), 0);
    await assert.rejects(connectDevice(url, device), (error: { code?: number }) => error.code === 3);
    await mariaDb.start();
    const { client } = await connectDevice(url, device);
    await client.publishAsync(`/devices/${device.id}/event`, '{"eventType":"a"}', { qos: 1 });
    await client.endAsync();
  });
});
