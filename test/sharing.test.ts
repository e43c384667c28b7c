/** One token on two machines: both are served, the device is marked while it lasts, and the server says so. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { io } from 'socket.io-client';
import { cutConnection } from '../src/client/connection.ts';
import { fire, type MadeDevice, makeDevice, makeStep } from './support/fleet.ts';
import { bodyOf, oneServer } from './support/management.ts';
import { onEveryDatabaseWithMqtt } from './support/mqtt.ts';
import { openDevice } from './support/peer.ts';
import { connectTestDevice, onEveryDatabase, type TestServer } from './support/server.ts';
import { waitFor } from './support/wait.ts';
import { reachReceivers, startReceiver } from './support/webhook-receiver.ts';

const from = (address: string) => ({ 'x-forwarded-for': address });

async function isShared(server: TestServer, { id }: { id: number }): Promise<boolean> {
  return bodyOf(await server.api(`/devices/${id}`), 200).shared;
}

/** As a machine says it that is cut off and comes back before the server knows. */
async function connectAs(server: TestServer, token: string, instance: unknown, address = '192.0.2.1') {
  const socket = io(`${server.url}/devices`, {
    auth: { token, instance },
    extraHeaders: from(address),
    transports: ['websocket'],
    reconnection: false,
    forceNew: true,
  });
  await waitFor(() => socket.connected, { what: 'the connection' });
  return { disconnect: () => socket.disconnect(), socket };
}

onEveryDatabase('a token on two machines', (start) => {
  const server = oneServer(start, { env: { TRUST_PROXY: '1', ...reachReceivers } });
  const screen = (): Promise<MadeDevice> => makeDevice(server(), { name: crypto.randomUUID() });

  test('is told once, with the addresses, and shown while it lasts', async () => {
    await using receiver = await startReceiver();
    const filter = { event_types: ['device.shared'] };
    bodyOf(await server().api('/webhooks', { body: { name: 'told', url: receiver.url, filter } }), 201);
    const device = await screen();
    const url = server().url;
    const one = await connectTestDevice(url, device.token, from('192.0.2.1'));
    assert.equal(await isShared(server(), device), false);
    const other = await connectTestDevice(url, device.token, from('198.51.100.7'));
    await waitFor(() => isShared(server(), device), { what: 'the mark' });
    const third = await connectTestDevice(url, device.token, from('203.0.113.9'));

    await makeStep(server(), 'toast', 'show_toast', { message: 'x' }, { devices: [device.id] });
    await fire(server(), 'toast');
    for (const { commands } of [one, other, third])
      await waitFor(() => commands.length === 1, { what: 'the toast on each of them' });

    one.disconnect();
    other.disconnect();
    await waitFor(async () => !(await isShared(server(), device)), { what: 'the mark to go' });
    const again = await connectTestDevice(url, device.token, from('192.0.2.1'));
    await receiver.got(2);
    const [first] = receiver.received.map(({ json }) => json);
    assert.equal(first.eventType, 'device.shared');
    assert.deepEqual(first.eventData.device, { id: device.id, name: device.name });
    assert.deepEqual(first.eventData.addresses.sort(), ['192.0.2.1', '198.51.100.7']);
    for (const { disconnect } of [third, again]) disconnect();
    await waitFor(async () => !(await isShared(server(), device)), { what: 'the mark to go' });
    assert.equal(receiver.received.length, 2);
    const list = bodyOf(await server().api('/devices?limit=200'), 200).items;
    assert.ok(list.every(({ shared }: { shared: unknown }) => shared === false));
  });

  test('is noticed behind one address: each of two device libraries is a machine', async () => {
    const device = await screen();
    const options = { url: server().url, token: device.token };
    await using one = openDevice(options);
    {
      await using other = openDevice(options);
      await waitFor(() => isShared(server(), device), { what: 'the mark' });
      assert.ok(one.device.online && other.device.online);
    }
    await waitFor(async () => !(await isShared(server(), device)), { what: 'the mark to go' });
  });

  test('is not a machine that has moved to another network and was not missed yet', async () => {
    const device = await screen();
    await connectAs(server(), device.token, 'machine 1', '192.0.2.1');
    await connectAs(server(), device.token, 'machine 1', '198.51.100.7');
    const third = await connectAs(server(), device.token, 'machine 2', '192.0.2.1');
    await waitFor(() => isShared(server(), device), { what: 'the mark' });
    third.disconnect();
    await waitFor(async () => !(await isShared(server(), device)), { what: 'the mark to go' });
  });

  test('is not a machine whose old connection is dead and was not missed yet', async () => {
    const device = await screen();
    const dead = await connectTestDevice(server().url, device.token);
    const engine = dead.socket.io.engine;
    // It takes in everything and says nothing, as one does whose cable was pulled.
    Object.assign(engine.transport, { send: () => undefined });
    await connectTestDevice(server().url, device.token);
    // By the time that a real one is noticed, this would have been.
    const other = await screen();
    await connectTestDevice(server().url, other.token);
    await connectTestDevice(server().url, other.token);
    await waitFor(() => isShared(server(), other), { what: 'the mark' });
    assert.equal(await isShared(server(), device), false);
    cutConnection(dead.socket);
  });

  test('garbage for a machine’s name makes each connection one', async () => {
    for (const instance of [7, null, {}, '', 'x'.repeat(101)]) {
      const device = await screen();
      const both = [
        await connectAs(server(), device.token, instance),
        await connectAs(server(), device.token, instance),
      ];
      await waitFor(() => isShared(server(), device), { what: 'the mark' });
      for (const { disconnect } of both) disconnect();
    }
    assert.deepEqual(
      server().logged.filter((line) => line.includes('"level":"error"')),
      [],
    );
  });
});

onEveryDatabaseWithMqtt('a token on two machines that speak MQTT', (mqtt) => {
  const at = (address: string) => ({ wsOptions: { headers: from(address) } });
  const webSocket = () => `${mqtt.server.url.replace('http', 'ws')}/mqtt`;

  test('is noticed by their addresses', async () => {
    const device = await mqtt.screen();
    await mqtt.connect(device, { ...at('192.0.2.1'), clientId: 'a' }, webSocket());
    const { client } = await mqtt.connect(device, { ...at('198.51.100.7'), clientId: 'b' }, webSocket());
    await waitFor(() => isShared(mqtt.server, device), { what: 'the mark' });
    await client.endAsync();
    await waitFor(async () => !(await isShared(mqtt.server, device)), { what: 'the mark to go' });
  });

  test('is neither a client that comes back from elsewhere nor a second one at the same place', async () => {
    const device = await mqtt.screen();
    const options = { clientId: 'a' };
    const first = await mqtt.connect(device, { ...at('192.0.2.1'), ...options }, webSocket());
    await mqtt.connect(device, { ...at('198.51.100.7'), ...options }, webSocket());
    await mqtt.isClosed(first.client);
    await mqtt.connect(device, { ...at('198.51.100.7'), clientId: 'b' }, webSocket());
    // By the time that a real one is noticed, these would have been.
    const other = await mqtt.screen();
    await mqtt.connect(other, { ...at('192.0.2.1'), clientId: 'a' }, webSocket());
    await mqtt.connect(other, { ...at('198.51.100.7'), clientId: 'b' }, webSocket());
    await waitFor(() => isShared(mqtt.server, other), { what: 'the mark' });
    assert.equal(await isShared(mqtt.server, device), false);
  });
});
