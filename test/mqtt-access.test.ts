/** Who is let in over MQTT, and what each may touch. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { bodyOf } from './support/management.ts';
import { type Device, onEveryDatabaseWithMqtt } from './support/mqtt.ts';
import { field, packet, pubackType, publishPacket } from './support/mqtt-packets.ts';
import { waitFor } from './support/wait.ts';

onEveryDatabaseWithMqtt('MQTT, access', (mqtt) => {
  const { silent, screen, connect, raw, eventsOf, deviceOf, toast, page, isRefused, isClosed, refusals } =
    mqtt;

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
    assert.ok(refusals().some(({ device: of, code }) => of === device.id && code === 'not_allowed'));
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
    const connection = await silent();
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
    const rotated = bodyOf(
      await mqtt.server.api(`/devices/${device.id}/rotate-token`, { method: 'POST' }),
      200,
    );
    await isClosed(client);
    await isRefused(device, 4);
    const again = await connect(rotated);
    await again.client.publishAsync(will.topic, '{"eventType":"back"}', { qos: 1 });
    assert.deepEqual(
      (await eventsOf(device)).map(({ type }) => type),
      ['back'],
    );
  });
});
