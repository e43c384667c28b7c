/** A restart that a device has received is not sent again, however it said so; other pulses are until they are done. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { ReceiptStatus } from '../src/domain/device/protocol.ts';
import { makeDevice } from './support/fleet.ts';
import { bodyOf, oneServer } from './support/management.ts';
import { onEveryDatabaseWithMqtt } from './support/mqtt.ts';
import { openDevice } from './support/peer.ts';
import { onEveryDatabase } from './support/server.ts';
import { waitFor } from './support/wait.ts';

onEveryDatabase('a restart', (start) => {
  const server = oneServer(start);
  let devices = 0;
  const setUp = async () => {
    devices += 1;
    const made = await makeDevice(server(), { name: `gate ${devices}` });
    const issue = async (fn: string, params: object = {}): Promise<string> => {
      const body = { function: fn, params, target: { devices: [made.id] } };
      return bodyOf(await server().api('/commands', { body }), 201).id;
    };
    const isCounted = (id: string, status: ReceiptStatus) =>
      waitFor(async () => bodyOf(await server().api(`/commands/${id}`), 200).coverage[status] === 1, {
        what: `the receipt ${status}`,
      });
    return { ...made, issue, isCounted };
  };
  const idsOf = (device: { commands: { id: string }[] }) => device.commands.map(({ id }) => id);

  test('that a Socket.IO client has acknowledged is received, and not sent again', async () => {
    const { token, issue, isCounted } = await setUp();
    const missed = await issue('restart_device');
    const first = await server().device(token);
    first.socket.on('command', (_message: unknown, ack?: () => void) => ack?.());
    // The one that waited came before we could acknowledge it.
    await waitFor(() => first.commands.length === 1, { what: 'the restart it missed' });
    const [restart, toast] = [await issue('restart_device'), await issue('show_toast', { message: 'x' })];
    await isCounted(restart, 'received');
    await waitFor(() => first.commands.length === 3, { what: 'both pulses' });
    first.disconnect();
    const second = await server().device(token);
    await waitFor(() => second.commands.length === 2, { what: 'what is pending' });
    assert.deepEqual(idsOf(second), [missed, toast]);
  });

  test('asks for the acknowledgement of a device that catches up, too', async () => {
    const { token, issue } = await setUp();
    const missed = await issue('restart_device');
    const asked: boolean[] = [];
    const first = await server().device(token);
    first.socket.disconnect();
    first.socket.removeAllListeners('command');
    first.socket.on('command', (_message: unknown, ack?: () => void) => {
      asked.push(ack !== undefined);
      ack?.();
    });
    first.socket.connect();
    await waitFor(() => asked.length === 1, { what: 'the restart' });
    const stored = async () => bodyOf(await server().api(`/commands/${missed}/receipts`), 200).items;
    await waitFor(async () => (await stored()).length === 1, { what: 'the receipt' });
    assert.deepEqual(asked, [true]);
    first.disconnect();
    const toast = await issue('show_toast', { message: 'x' });
    const second = await server().device(token);
    await waitFor(() => second.commands.length > 0, { what: 'what is pending' });
    assert.deepEqual(idsOf(second), [toast]);
  });

  test('is finished by the receipt "received", as no other pulse is', async () => {
    const { token, issue } = await setUp();
    const first = await server().device(token);
    const [restart, unheard, toast] = [
      await issue('restart_device'),
      await issue('restart_device', { jitter: 1 }),
      await issue('show_toast', { message: 'x' }),
    ];
    const received = [restart, toast].map((id) => ({ id, status: 'received' }));
    assert.deepEqual(await first.receipt(received), { ok: true });
    first.disconnect();
    const second = await server().device(token);
    await waitFor(() => second.commands.length === 2, { what: 'what is pending' });
    assert.deepEqual(idsOf(second), [unheard, toast]);
  });

  test('is no other device’s: one that has received it takes it from nobody', async () => {
    const [one, other] = [await setUp(), await setUp()];
    const body = { function: 'restart_device', params: {}, target: { devices: [one.id, other.id] } };
    const { id } = bodyOf(await server().api('/commands', { body }), 201);
    const device = await server().device(one.token);
    await device.receipt({ id, status: 'received' });
    const second = await server().device(other.token);
    await waitFor(() => second.commands.length === 1, { what: 'the restart' });
    assert.deepEqual(idsOf(second), [id]);
  });

  test('is begun once by a device without a memory that does not survive it', async () => {
    const { token, issue, isCounted } = await setUp();
    const begun: string[] = [];
    const options = { url: server().url, token };
    const restart = await issue('restart_device');
    {
      await using _first = openDevice({
        ...options,
        onCommand: ({ id }) => {
          begun.push(id);
          return new Promise<void>(() => {});
        },
      });
      await waitFor(() => begun.length === 1, { what: 'the restart' });
      await isCounted(restart, 'received');
    }
    const toast = await issue('show_toast', { message: 'x' });
    await using second = openDevice(options);
    await waitFor(() => second.pulses.length > 0, { what: 'what is pending' });
    assert.deepEqual([begun, second.pulses], [[restart], [toast]]);
  });
});

onEveryDatabaseWithMqtt('a restart over MQTT', (mqtt) => {
  test('is received once its QoS 1 message is acknowledged, and not sent again', async () => {
    const device = await mqtt.screen();
    const topic = `/devices/${device.id}/command`;
    const { client, heard } = await mqtt.connect(device);
    await client.subscribeAsync(topic, { qos: 1 });
    const restart = await mqtt.issue(device, 'restart_device', {});
    const toast = await mqtt.toast(device, 'x');
    const receiptsOf = async (id: string) =>
      bodyOf(await mqtt.server.api(`/commands/${id}/receipts`), 200).items.map(
        ({ status }: { status: string }) => status,
      );
    for (const id of [restart, toast])
      await waitFor(async () => (await receiptsOf(id)).length > 0, { what: 'the receipt' });
    assert.deepEqual([await receiptsOf(restart), await receiptsOf(toast)], [['received'], ['received']]);
    assert.equal(heard.length, 2);
    await client.endAsync();
    const again = await mqtt.connect(device);
    await again.client.subscribeAsync(topic, { qos: 1 });
    await waitFor(() => again.heard.length > 0, { what: 'what is pending' });
    assert.deepEqual(
      again.heard.map(({ message }) => message.id),
      [toast],
    );
  });

  test('is sent again to a device that has not acknowledged it, or subscribes with QoS 0', async () => {
    const device = await mqtt.screen();
    const restart = await mqtt.issue(device, 'restart_device', {});
    for (const qos of [0, 1] as const) {
      const { client, heard } = await mqtt.connect(device);
      // A device that goes down before it has answered.
      if (qos === 1) client.handleMessage = () => client.stream.destroy();
      await client.subscribeAsync(`/devices/${device.id}/command`, { qos });
      if (qos === 0) {
        await waitFor(() => heard.length === 1, { what: 'the restart' });
        await client.endAsync();
      } else await waitFor(() => !client.connected, { what: 'the device to go down' });
    }
    const last = await mqtt.connect(device);
    await last.client.subscribeAsync(`/devices/${device.id}/command`, { qos: 1 });
    await waitFor(() => last.heard.length === 1, { what: 'the restart' });
    assert.equal(last.heard[0]?.message.id, restart);
  });

  test('is told from what is sent beside it, however much that is', async () => {
    const device = await mqtt.screen();
    const { client } = await mqtt.connect(device);
    await client.subscribeAsync([`/devices/${device.id}/command`, `/devices/${device.id}/state`], { qos: 1 });
    const issued: string[] = [];
    for (let n = 0; n < 20; n += 1) {
      const [, toast, restart] = await Promise.all([
        mqtt.page(device, String(n)),
        mqtt.toast(device, String(n)),
        mqtt.issue(device, 'restart_device', {}),
      ]);
      issued.push(toast, restart);
    }
    for (const id of issued) {
      const count = async () => bodyOf(await mqtt.server.api(`/commands/${id}`), 200).coverage.received;
      await waitFor(async () => (await count()) === 1, { what: 'the receipt' });
    }
  });
});
