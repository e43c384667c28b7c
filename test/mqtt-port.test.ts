/** The ways in for MQTT: WebSocket, TLS, other clients, and a port or a database that is not there. */
import assert from 'node:assert/strict';
import { execFile, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { connect as connectSocket } from 'node:net';
import { join } from 'node:path';
import { suite, test } from 'node:test';
import { promisify } from 'node:util';
import WebSocket from 'ws';
import { runCli } from '../src/cli.ts';
import { certificate, key } from './support/certificate.ts';
import { makeDevice } from './support/fleet.ts';
import { createDatabase, findProgram, freePort, startMariaDb } from './support/mariadb.ts';
import { connectMqttDevice, onEveryDatabaseWithMqtt } from './support/mqtt.ts';
import { connectPacket, connectRaw, pubackType, publishPacket } from './support/mqtt-packets.ts';
import { startServer } from './support/server.ts';
import { waitFor } from './support/wait.ts';

const isMosquittoThere = findProgram('mosquitto_pub') !== null && findProgram('mosquitto_sub') !== null;

onEveryDatabaseWithMqtt('MQTT, other ways in', (mqtt) => {
  const { screen, connect, eventsOf, deviceOf, toast } = mqtt;

  test('MQTT over WebSocket, on the port of the others, with the address a proxy tells', async () => {
    const device = await screen();
    const at = `${mqtt.server.url.replace('http', 'ws')}/mqtt`;
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
    await waitFor(async () => (await mqtt.server.device(device.token)).socket.connected, {
      what: 'Socket.IO',
    });
    const opened = performance.now();
    await waitFor(() => performance.now() - opened > 1_200, { what: 'time to pass' });
    await client.publishAsync(`/devices/${device.id}/message`, '1', { qos: 1 });
    for (const [path, protocols] of [
      ['/mqtt', []],
      ['/mqtt', ['other']],
      ['/mqtt2', ['mqtt']],
    ] as const) {
      const webSocket = new WebSocket(`${mqtt.server.url.replace('http', 'ws')}${path}`, [...protocols]);
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
  }, async (t) => {
    const device = await screen();
    const who = ['-h', '127.0.0.1', '-p', String(mqtt.port), '-u', String(device.id), '-P', device.token];
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
    const file = join(mqtt.server.dataDir, 'bulk');
    writeFileSync(file, bytes);
    await publish('bulkData/file', '-f', file);
    const [event, bulk] = await eventsOf(device);
    assert.deepEqual([event?.type, bulk?.label, bulk?.bodyBytes], ['opened', 'file', bytes.length]);
    const id = await toast(device, 'hello');
    const topic = `/devices/${device.id}/command`;
    const subscriber = spawn('mosquitto_sub', [...who, '-q', '1', '-C', '2', '-W', '20', '-t', topic]);
    t.after(() => subscriber.kill());
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
});

suite('the MQTT port', () => {
  test('speaks TLS with the certificate that is given, and sends devices away at the end', async (t) => {
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
    await using server = await startServer({ env });
    assert.ok(server.logged.some((line) => line.includes(`"mqttPort":${port}`)));
    const device = await makeDevice(server, { name: 'one' });
    const url = `mqtts://localhost:${port}`;
    await assert.rejects(connectMqttDevice(url, device)); // nobody vouches for it
    const { client, heard } = await connectMqttDevice(url, device, { ca: certificate });
    t.after(() => client.end(true));
    await client.subscribeAsync(`/devices/${device.id}/state`);
    await waitFor(() => heard.length === 1, { what: 'the state' });
    const idle = connectSocket(port, '127.0.0.1');
    t.after(() => idle.destroy());
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
  test('nothing is acknowledged and nobody is let in until it is back', async (t) => {
    await using mariaDb = await startMariaDb();
    const port = await freePort();
    const env = { MQTT_PORT: String(port), DATABASE_URL: await createDatabase(mariaDb.url) };
    await using server = await startServer({ env });
    const device = await makeDevice(server, { name: 'one' });
    const url = `mqtt://127.0.0.1:${port}`;
    const connection = await connectRaw(port);
    t.after(() => connection.socket.destroy());
    connection.say(connectPacket(device));
    await waitFor(() => connection.packets().length === 1, { what: 'the CONNACK' });
    await mariaDb.kill();
    connection.say(publishPacket(`/devices/${device.id}/event`, '{"eventType":"a"}', 1));
    await connection.closed();
    assert.equal(connection.count(pubackType), 0);
    await assert.rejects(connectMqttDevice(url, device), (error: { code?: number }) => error.code === 3);
    await mariaDb.start();
    const { client } = await connectMqttDevice(url, device);
    t.after(() => client.end(true));
    await client.publishAsync(`/devices/${device.id}/event`, '{"eventType":"a"}', { qos: 1 });
    await client.endAsync();
  });
});
