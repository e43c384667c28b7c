/** How much a device may say over MQTT, and how fast. */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { test } from 'node:test';
import { selectEventParts } from '../src/store/event.ts';
import { onEveryDatabaseWithMqtt } from './support/mqtt.ts';
import { field, header, pubackType, publishPacket, publishType } from './support/mqtt-packets.ts';
import { waitFor } from './support/wait.ts';

const mebibyte = 1_024 * 1_024;

onEveryDatabaseWithMqtt('MQTT, limits', (mqtt) => {
  const { silent, screen, connect, raw, eventsOf, refusals } = mqtt;

  test('16 MiB of bulk data come through byte for byte, and one byte more does not', async () => {
    const device = await screen();
    const { client } = await connect(device);
    const bytes = randomBytes(16 * mebibyte);
    const topic = `/devices/${device.id}/bulkData/dump`;
    await client.publishAsync(topic, bytes, { qos: 1 });
    const stored = await eventsOf(device);
    assert.deepEqual([stored.length, stored[0]?.bodyBytes], [1, bytes.length]);
    const parts: Uint8Array[] = [];
    for await (const part of selectEventParts(mqtt.server.ctx.db, stored[0]?.id ?? '')) parts.push(part);
    assert.ok(Buffer.concat(parts).equals(bytes));
    await client.publishAsync(topic, Buffer.concat([bytes, Buffer.alloc(1)]), { qos: 1 });
    assert.equal((await eventsOf(device)).length, 1);
    assert.equal(refusals().at(-1).code, 'too_large');
    assert.ok(client.connected);
  });

  test('a packet that announces too much is refused before it is sent', async () => {
    const device = await screen();
    const connection = await raw(device);
    connection.say(header(publishType, 0, 200 * mebibyte), field(`/devices/${device.id}/bulkData/x`));
    await connection.closed();
    assert.equal(refusals().at(-1).code, 'too_large');
    for (const first of [
      header(1, 0, mebibyte), // a CONNECT of that size
      header(publishType, 0, 10),
      Buffer.from([0x10, 0xff, 0xff, 0xff, 0xff, 0x01]), // a length of five bytes
      Buffer.from('GET / HTTP/1.1\r\n\r\n'),
    ]) {
      const unknown = await silent();
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
});
