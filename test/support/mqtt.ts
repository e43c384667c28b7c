/** A server with its MQTT port open, and devices that speak to it. */
import assert from 'node:assert/strict';
import type { Socket } from 'node:net';
import { after, before, test } from 'node:test';
import { connectAsync, type IClientOptions, type MqttClient } from 'mqtt';
import { selectEvents } from '../../src/store/event.ts';
import { type MadeDevice, makeDevice } from './fleet.ts';
import { bodyOf } from './management.ts';
import { freePort } from './mariadb.ts';
import { connectPacket, connectRaw } from './mqtt-packets.ts';
import { onEveryDatabase, type startServer, type TestServer } from './server.ts';
import { waitFor } from './wait.ts';

export type Device = Pick<MadeDevice, 'id' | 'token'>;

// biome-ignore lint/suspicious/noExplicitAny: tests look into messages; a wrong path fails the test.
type Heard = { topic: string; qos: number; retain: boolean; message: any };
type TestClient = { client: MqttClient; heard: Heard[] };

/** A device as any MQTT client library would connect it; keeps what it is told. */
export async function connectMqttDevice(
  url: string,
  device: Device,
  options: IClientOptions = {},
): Promise<TestClient> {
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

export type MqttTest = ReturnType<typeof openMqtt>;

/** A suite on every database, each with one server whose MQTT port is open, which may report no error of ours. */
export function onEveryDatabaseWithMqtt(title: string, define: (mqtt: MqttTest) => void): void {
  onEveryDatabase(title, (start) => {
    const mqtt = openMqtt();
    before(() => mqtt.open(start));
    after(() => mqtt.close());
    define(mqtt);

    test('nothing of all this was an error of ours', () => {
      assert.deepEqual(
        mqtt.server.logged.filter((line) => line.includes('"level":"error"')),
        [],
      );
    });
  });
}

function openMqtt() {
  let server: TestServer | undefined;
  let port = 0;
  let devices = 0;
  const clients: MqttClient[] = [];
  const sockets: Socket[] = [];

  const opened = () => {
    assert.ok(server, 'the server has been started');
    return server;
  };
  async function screen(): Promise<MadeDevice> {
    devices += 1;
    return makeDevice(opened(), { name: `screen ${devices}` });
  }
  async function connect(
    device: Device,
    options: IClientOptions = {},
    at = `mqtt://127.0.0.1:${port}`,
  ): Promise<TestClient> {
    const connected = await connectMqttDevice(at, device, options);
    clients.push(connected.client);
    return connected;
  }
  /** A connection that has not said anything yet. */
  async function silent() {
    const connection = await connectRaw(port);
    sockets.push(connection.socket);
    return connection;
  }
  async function raw(device: { id: number | string; token: string }) {
    const connection = await silent();
    connection.say(connectPacket(device));
    await waitFor(() => connection.packets().length > 0, { what: 'a CONNACK' });
    assert.deepEqual(connection.packets()[0], [2, Buffer.from([0, 0])]);
    return connection;
  }
  const eventsOf = async ({ id }: Device) =>
    (await selectEvents(opened().ctx.db, 1, { deviceId: id }, { limit: 200, cursor: null })).items.reverse();
  const deviceOf = async ({ id }: Device) => bodyOf(await opened().api(`/devices/${id}`), 200);
  const issue = async ({ id }: Device, fn: string, params: object) => {
    const body = { function: fn, params, target: { devices: [id] } };
    return bodyOf(await opened().api('/commands', { body }), 201).id as string;
  };
  return {
    get server() {
      return opened();
    },
    get port() {
      return port;
    },
    open: async (start: typeof startServer) => {
      port = await freePort();
      server = await start({ env: { MQTT_PORT: String(port), TRUST_PROXY: '1' } });
    },
    close: async () => {
      for (const client of clients) client.end(true);
      for (const socket of sockets) socket.destroy();
      await server?.[Symbol.asyncDispose]();
    },
    screen,
    connect,
    silent,
    raw,
    eventsOf,
    deviceOf,
    issue,
    toast: (device: Device, message: string) => issue(device, 'show_toast', { message }),
    page: (device: Device, path: string) => issue(device, 'load_url', { url: `https://x.test/${path}` }),
    isRefused: (of: Device & { username?: string }, code: number) =>
      assert.rejects(
        connect(of, of.username === undefined ? {} : { username: of.username }),
        (error: { code?: number }) => error.code === code,
      ),
    isClosed: (client: MqttClient) =>
      waitFor(() => !client.connected, { what: 'the connection to be closed' }),
    /** What the server has logged of messages, subscriptions and packets that were no good. */
    refusals: () =>
      opened()
        .logged.map((line) => JSON.parse(line))
        .filter(({ msg }) => msg === 'a message of a device was refused' || /subscription|MQTT/.test(msg)),
  };
}
