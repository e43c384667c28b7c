/** What devices hear over MQTT once they have subscribed. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fire, makeStep, traceOf } from './support/fleet.ts';
import { bodyOf } from './support/management.ts';
import { onEveryDatabaseWithMqtt } from './support/mqtt.ts';
import { waitFor } from './support/wait.ts';

onEveryDatabaseWithMqtt('MQTT, subscribing', (mqtt) => {
  const { screen, connect, deviceOf, issue, toast, page } = mqtt;

  test('a device is online from CONNECT, hears what it subscribes to, and its receipts count', async () => {
    const device = await screen();
    const { client, heard } = await connect(device, { keepalive: 30 });
    const { online, address } = await deviceOf(device);
    assert.deepEqual([online, address], [true, '127.0.0.1']);
    const shown = await page(device, 'a');
    const missed = await toast(device, 'missed');
    await makeStep(
      mqtt.server,
      `mqtt-${device.id}`,
      'show_toast',
      { message: 'x' },
      { devices: [device.id] },
    );

    const granted = await client.subscribeAsync(`/devices/${device.id}/state`, { qos: 1 });
    assert.deepEqual(
      granted.map(({ qos }) => qos),
      [1],
    );
    await waitFor(() => heard.length === 1, { what: 'the state' });
    assert.equal(heard[0]?.message.content.command_id, shown);
    assert.deepEqual(heard[0]?.message.causes, [shown]);
    assert.deepEqual(Object.keys(heard[0]?.message).sort(), ['at', 'causes', 'content', 'emergency', 'loop']);
    // Not for a device that has not subscribed to commands.
    const early = await toast(device, 'early');
    const next = await page(device, 'b');
    await waitFor(() => heard.length === 2, { what: 'the change' });
    assert.deepEqual(Object.keys(heard[1]?.message).sort(), ['at', 'causes', 'content']);
    assert.deepEqual(heard[1]?.message.causes, [next]);

    await client.subscribeAsync(`/devices/${device.id}/command`, { qos: 0 });
    await waitFor(() => heard.length === 4, { what: 'the pulses' });
    const { trigger_id } = await fire(mqtt.server, `mqtt-${device.id}`);
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
    const { commands } = await traceOf(mqtt.server, trigger_id);
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
      const { content } = bodyOf(await mqtt.server.api(`/devices/${device.id}/state`), 200);
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
    const { id } = bodyOf(await mqtt.server.api('/commands', { body }), 201);
    bodyOf(
      await mqtt.server.api(`/devices/${device.id}`, { method: 'PATCH', body: { tags: ['moved'] } }),
      200,
    );
    await waitFor(() => heard.at(-1)?.message.content?.command_id === id, { what: 'the new state' });
    assert.equal(heard.length, 2);
  });
});
