/** Messages that are text: a value like any other in templates, filters, alarm rules and schemas. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { makeDevice, makeStep } from './support/fleet.ts';
import { bodyOf, oneServer } from './support/management.ts';
import { freePort } from './support/mariadb.ts';
import { connectMqttDevice } from './support/mqtt.ts';
import { onEveryDatabase, type TestDevice, type TestServer } from './support/server.ts';
import { waitFor } from './support/wait.ts';
import { type Received, reachReceivers, startReceiver } from './support/webhook-receiver.ts';

onEveryDatabase('text messages', (start) => {
  let mqtt = '';
  const server = oneServer(async (options) => {
    const port = await freePort();
    mqtt = `mqtt://127.0.0.1:${port}`;
    return start({ ...options, env: { ...reachReceivers, MQTT_PORT: String(port) } });
  });
  const api = (path: string, call?: Parameters<TestServer['api']>[1]) => server().api(path, call);
  const save = (webhook: object) => api('/webhooks', { body: { name: crypto.randomUUID(), ...webhook } });

  async function say(device: TestDevice, payload: Uint8Array, type?: string): Promise<string> {
    const said = type === undefined ? { payload } : { type, payload };
    const answer = await device.socket.timeout(10_000).emitWithAck('message', said);
    assert.equal(answer.ok, true, JSON.stringify(answer));
    return answer.id as string;
  }

  /** The request that comes of a message, by a webhook for its device alone. */
  async function deliver(webhook: object, payload: Uint8Array): Promise<Received> {
    await using receiver = await startReceiver();
    const made = await makeDevice(server(), { name: crypto.randomUUID() });
    const filter = { devices: [made.id] };
    const { id } = bodyOf(await save({ url: receiver.url, filter, ...webhook }), 201);
    await say(await server().device(made.token), payload);
    const [request] = await receiver.got(1);
    assert.ok(request);
    await api(`/webhooks/${id}`, { method: 'DELETE' });
    return request;
  }

  const words = '{"state":"{{ eventData }}","json":{{ eventData }}}';

  test('O4: a text message is a text', async () => {
    const cases: [Uint8Array, string, unknown][] = [
      [Buffer.from('ON'), 'ON', 'ON'],
      [Buffer.from('zwölf "°C"\n'), 'zwölf "°C"\n', 'zwölf "°C"\n'],
      [Buffer.from('\ufeffON\0\0'), 'ON', 'ON'],
      [Buffer.from('{"half":'), '{"half":', '{"half":'],
      [Buffer.from([0xff, 0x00, 0xfe]), '', null],
      [Buffer.from('21.5'), '21.5', 21.5],
    ];
    for (const [bytes, state, json] of cases) {
      assert.deepEqual((await deliver({ body: words }, bytes)).json, { state, json }, bytes.toString());
    }
    assert.equal((await deliver({}, Buffer.from('ON'))).text, 'ON', 'byte for byte without a template');
  });

  test('O4: by MQTT too, in filters, alarm rules and what they set off', async () => {
    await using receiver = await startReceiver();
    const type = crypto.randomUUID();
    bodyOf(await api('/device-types', { body: { id: type, name: type } }), 201);
    const made = await makeDevice(server(), { name: type, type });
    const screen = await server().device((await makeDevice(server(), { name: `screen ${type}` })).token);
    await makeStep(server(), `told ${type}`, 'show_toast', { message: 'It is {{ payload.observation }}' });
    const on = { path: '', op: '=', value: 'ON' };
    const rule = {
      name: type,
      level: 'info',
      device_type: type,
      message_type: 'state',
      when: on,
      actions: [`told ${type}`],
    };
    const { id: ruleId } = bodyOf(await api('/alarm-rules', { body: rule }), 201);
    for (const filter of [{ devices: [made.id], where: on }, { alarm_rules: [ruleId] }])
      bodyOf(await save({ url: receiver.url, filter }), 201);
    const { client } = await connectMqttDevice(mqtt, made);
    for (const text of ['OFF', 'ON', ''])
      await client.publishAsync(`/devices/${made.id}/message/state`, text, { qos: 1 });
    await client.publishAsync(`/devices/${made.id}/message/state`, Buffer.from([0xff]), { qos: 1 });
    await client.endAsync();
    const got = await receiver.got(2);
    const alarm = got.find((request) => request.text !== 'ON');
    assert.equal(got.length, 2);
    assert.equal(alarm?.json.observation, 'ON');
    const [kept] = bodyOf(await api(`/alarms?rule_id=${ruleId}`), 200).items;
    assert.equal(kept.observation, 'ON');
    assert.equal(bodyOf(await api(`/alarms/${kept.id}`), 200).observation, 'ON');
    const shown = () => screen.commands.some(({ params }) => params.message === 'It is ON');
    await waitFor(shown, { what: 'the toast' });
    const events = bodyOf(await api(`/events?device_id=${made.id}&kind=message`), 200).items;
    const data = [];
    for (const { id } of events) data.push(bodyOf(await api(`/events/${id}`), 200).data);
    assert.deepEqual(data, [null, '', 'ON', 'OFF']);
  });

  test('O4: a large text raises an alarm that has it whole', async () => {
    await using receiver = await startReceiver();
    const type = crypto.randomUUID();
    bodyOf(await api('/device-types', { body: { id: type, name: type } }), 201);
    const when = { path: '', op: 'exists' };
    const rule = { name: type, level: 'info', device_type: type, message_type: 't', when };
    const { id } = bodyOf(await api('/alarm-rules', { body: rule }), 201);
    bodyOf(await save({ url: receiver.url, filter: { alarm_rules: [id] } }), 201);
    const device = await server().device((await makeDevice(server(), { name: type, type })).token);
    const text = 'ü"\n'.repeat(50_000);
    await say(device, Buffer.from(text), 't');
    const [request] = await receiver.got(1);
    assert.equal(request?.json.observation, text);
    const [alarm] = bodyOf(await api(`/alarms?rule_id=${id}`), 200).items;
    assert.equal(bodyOf(await api(`/alarms/${alarm.id}`), 200).observation, text);
  });

  test('O4: a schema looks at a text as a text', async () => {
    const type = crypto.randomUUID();
    const message_types = [
      { id: 'switch', schema: { enum: ['ON', 'OFF'] } },
      { id: 'reading', schema: { type: 'object' } },
    ];
    bodyOf(await api('/device-types', { body: { id: type, name: type, message_types } }), 201);
    const device = await server().device((await makeDevice(server(), { name: type, type })).token);
    const problemOf = async (text: string | Uint8Array, name: string) => {
      const id = await say(device, Buffer.from(text), name);
      return bodyOf(await api(`/events/${id}`), 200).problem;
    };
    assert.equal(await problemOf('ON', 'switch'), null);
    assert.match(await problemOf('MAYBE', 'switch'), /^it is a text, not JSON: /);
    assert.match(await problemOf('{"half"', 'reading'), /^it is a text, not JSON: /);
    assert.equal(await problemOf(Buffer.from([0xff]), 'reading'), 'it is not JSON');
    assert.equal(await problemOf('{}', 'reading'), null);
  });
});
