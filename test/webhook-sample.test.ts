/** Tests of webhooks send what the real events of each kind look like. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { makeWebhook } from './support/delivery.ts';
import { fire, makeDevice, makeStep } from './support/fleet.ts';
import { bodyOf, codeOf } from './support/management.ts';
import { onEveryDatabase } from './support/server.ts';
import { waitFor } from './support/wait.ts';
import { reachReceivers, startReceiver } from './support/webhook-receiver.ts';

/** The members of a value and what they hold, without what they say. Null and a text are told apart nowhere. */
function shapeOf(value: unknown): unknown {
  if (Array.isArray(value)) return value.slice(0, 1).map(shapeOf);
  if (typeof value !== 'object') return typeof value;
  if (value === null) return 'string';
  return Object.fromEntries(
    Object.entries(value)
      .sort(([one], [other]) => (one < other ? -1 : 1))
      .map(([key, item]) => [key, shapeOf(item)]),
  );
}

onEveryDatabase('O23: a test of a webhook', (start) => {
  const setUp = async () => {
    const server = await start({ env: reachReceivers });
    const receiver = await startReceiver();
    const webhook = await makeWebhook(server, { url: receiver.url, enabled: false });
    return {
      server,
      receiver,
      send: async (body: object) => {
        const count = receiver.received.length;
        const sent = bodyOf(await server.api(`/webhooks/${webhook.id}/test`, { body }), 200);
        assert.equal(sent.delivered, true, JSON.stringify(sent));
        const request = receiver.received[count];
        assert.ok(request);
        return request;
      },
      refused: async (body: object) => codeOf(await server.api(`/webhooks/${webhook.id}/test`, { body })),
      [Symbol.asyncDispose]: async () => {
        await receiver[Symbol.asyncDispose]();
        await server[Symbol.asyncDispose]();
      },
    };
  };

  test('of the kind alarm has the shape of alarms', async () => {
    await using those = await setUp();
    const { server, receiver, send } = those;
    const message_types = [{ id: 'reading', schema: {} }];
    bodyOf(await server.api('/device-types', { body: { id: 'hall', name: 'Hall', message_types } }), 201);
    const made = await makeDevice(server, { name: 'gate', type: 'hall' });
    const device = await server.device(made.token);
    const rule = {
      name: 'hot',
      level: 'warning',
      device_type: 'hall',
      message_type: 'reading',
      when: { path: 'temperature', op: '>', value: 30 },
      clear_when: { path: 'temperature', op: '<', value: 20 },
    };
    bodyOf(await server.api('/alarm-rules', { body: rule }), 201);
    await using real = await startReceiver();
    await makeWebhook(server, { url: real.url, filter: { event_types: ['alarm.raised', 'alarm.cleared'] } });
    for (const temperature of [95, 10])
      await device.socket
        .timeout(5_000)
        .emitWithAck('message', { type: 'reading', payload: { temperature } });
    await real.got(2);
    const realOf = (active: boolean) => real.received.find(({ json }) => json.active === active);
    for (const [type, active] of [
      ['alarm.raised', true],
      ['alarm.cleared', false],
    ] as const) {
      for (const more of [{}, { device_id: made.id }]) {
        const sample = await send({ kind: 'alarm', type, ...more });
        assert.deepEqual(shapeOf(sample.json), shapeOf(realOf(active)?.json), type);
        assert.equal(sample.headers['content-type'], realOf(active)?.headers['content-type']);
        assert.equal(sample.json.active, active);
        assert.deepEqual(sample.json.observation, { temperature: 95 });
      }
    }
    const plain = await send({ kind: 'alarm' });
    assert.equal(plain.json.active, true);
    const own = await send({ kind: 'alarm', data: { doors: [1, 2] }, device_id: made.id });
    assert.deepEqual(own.json.observation, { doors: [1, 2] });
    assert.deepEqual(own.json.device, { id: made.id, name: 'gate', type: 'Hall', group_id: null });
    assert.deepEqual(await those.refused({ kind: 'alarm', type: 'alarm.gone' }), [400, 'bad_request']);
    assert.equal(bodyOf(await server.api('/alarms'), 200).items.length, 1, 'a sample is no alarm');
    assert.ok(receiver.received.length > 0);
  });

  test('of the kind system has the shape of events of the server', async () => {
    await using those = await setUp();
    const { server, send } = those;
    await using real = await startReceiver();
    await makeWebhook(server, { url: real.url, filter: { kinds: ['system'] } });
    await using failing = await startReceiver(410);
    await makeWebhook(server, { url: failing.url, filter: { kinds: ['event'] } });
    const made = await makeDevice(server, { name: 'gate' });
    const device = await server.device(made.token);
    await makeStep(server, 'toast', 'show_toast', { message: 'hi' });
    await fire(server, 'toast');
    await waitFor(() => device.commands.length > 0, { what: 'the command' });
    await device.applyAll();
    await device.socket.timeout(5_000).emitWithAck('event', { eventType: 'x' });
    const typesSoFar = () => new Set(real.received.map(({ json }) => json.eventType));
    await waitFor(() => typesSoFar().has('command.covered') && typesSoFar().has('webhook.disabled'), {
      what: 'the events of the server',
    });
    const other = await server.device(made.token);
    await waitFor(() => typesSoFar().has('device.shared'), { what: 'the device to be two machines' });
    for (const connected of [device, other]) connected.disconnect();
    await waitFor(() => typesSoFar().has('device.offline'), { what: 'the device to be gone' });
    for (const type of typesSoFar()) {
      const { eventData, eventType, ...about } =
        real.received.find(({ json }) => json.eventType === type)?.json ?? {};
      const sample = await send({
        kind: 'system',
        type,
        ...(about.originDeviceId ? { device_id: made.id } : {}),
      });
      assert.equal(sample.json.eventType, eventType);
      assert.deepEqual(shapeOf(sample.json.eventData), shapeOf(eventData), type);
      const { eventData: _data, eventType: _type, ...sampleAbout } = sample.json;
      const { originDeviceIp: _ip, ...shown } = sampleAbout;
      const { originDeviceIp: _realIp, ...expected } = about;
      assert.deepEqual(shapeOf(shown), shapeOf(expected), type);
    }
    const missed = await send({ kind: 'system', type: 'command.missed' });
    assert.deepEqual(Object.keys(missed.json.eventData.missing_devices[0]), ['id', 'name', 'status']);
    const plain = await send({ kind: 'system' });
    assert.equal(plain.json.eventType, 'device.online');
    assert.deepEqual(Object.keys(plain.json.eventData), ['device', 'door', 'at']);
    assert.deepEqual(await those.refused({ kind: 'system', type: 'device.on' }), [400, 'bad_request']);
  });

  test('of any other kind is what it was told, or says that it is a test', async () => {
    await using those = await setUp();
    const { server, send } = those;
    const event = await send({});
    assert.deepEqual([event.json.eventType, event.json.eventData.message], ['test', 'This is a test.']);
    assert.deepEqual((await send({ kind: 'message', data: [1, 2] })).json, [1, 2]);
    assert.equal((await send({ kind: 'bulk', data: 'bytes' })).text, 'bytes');
    const webhook = await makeWebhook(server, {
      url: 'https://example.com',
      command_url: those.receiver.url,
      enabled: false,
    });
    for (const [body, action, parameters] of [
      [{}, 'test', {}],
      [{ data: { action: 'open', parameters: { door: 1 } } }, 'open', { door: 1 }],
      [{ type: 'open', data: { door: 2 } }, 'open', { door: 2 }],
    ] as const) {
      const count = those.receiver.received.length;
      bodyOf(await server.api(`/webhooks/${webhook.id}/test`, { body: { kind: 'command', ...body } }), 200);
      const { json } = those.receiver.received[count] ?? {};
      assert.deepEqual([json.action, json.parameters], [action, parameters]);
    }
  });
});
