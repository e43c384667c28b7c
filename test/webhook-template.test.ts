/** What webhooks make of templates, from the saving to the receiver. */
import assert from 'node:assert/strict';
import { createHmac } from 'node:crypto';
import { test } from 'node:test';
import fc from 'fast-check';
import { textOfPath } from '../src/domain/path.ts';
import { makeDevice, makeGroup } from './support/fleet.ts';
import { bodyOf, codeOf, oneServer } from './support/management.ts';
import { onEveryDatabase, type TestDevice, type TestServer } from './support/server.ts';
import { waitFor } from './support/wait.ts';
import { type Received, reachReceivers, startReceiver } from './support/webhook-receiver.ts';

const url = 'https://hooks.example.com/evt';
const form = { 'Content-Type': 'application/x-www-form-urlencoded' };

onEveryDatabase('templates of webhooks', (start) => {
  const server = oneServer((options) => start({ ...options, env: { ...reachReceivers } }));
  const api = (path: string, call?: Parameters<TestServer['api']>[1]) => server().api(path, call);
  const save = (webhook: object) =>
    api('/webhooks', { body: { name: crypto.randomUUID(), url, ...webhook } });

  async function emit(device: TestDevice, event: 'event' | 'message' | 'bulk', ...said: unknown[]) {
    const answer = await device.socket.timeout(10_000).emitWithAck(event, ...said);
    assert.equal(answer.ok, true, JSON.stringify(answer));
    return answer.id as string;
  }

  /** The request that comes of what one device says, by a webhook for it alone. */
  async function deliver(
    webhook: object | ((at: string) => object),
    say: (device: TestDevice) => Promise<string>,
    device: object = {},
  ): Promise<{ request: Received; made: { id: number; name: string }; eventId: string; at: string }> {
    await using receiver = await startReceiver();
    const made = await makeDevice(server(), { name: crypto.randomUUID(), ...device });
    const connected = await server().device(made.token);
    const given = typeof webhook === 'function' ? webhook(receiver.url) : webhook;
    const created = bodyOf(
      await save({ url: `${receiver.url}/evt`, filter: { devices: [made.id] }, ...given }),
      201,
    );
    const eventId = await say(connected);
    const [request] = await receiver.got(1);
    assert.ok(request);
    await api(`/webhooks/${created.id}`, { method: 'DELETE' });
    return { request, made, eventId, at: receiver.url };
  }
  const event =
    (eventData: object, eventType = 'abc') =>
    (device: TestDevice) =>
      emit(device, 'event', { eventType, eventData });
  const message = (payload: unknown, type?: string) => (device: TestDevice) =>
    emit(device, 'message', { ...(type === undefined ? {} : { type }), payload });

  test('O5: bulk data says whose and what it is, whatever the signature', async () => {
    const headers = {
      'X-About': '{{ originDeviceId }} {{ deviceName }} {{ eventType }} {{ eventKind }}',
      'X-Data': '[{{ eventData }}]',
    };
    for (const signature of ['standard', 'none', 'mode']) {
      const data = Buffer.from([0xff, 0, 10]);
      const { request, made, eventId } = await deliver(
        { signature, headers, body: '"{{ eventType }}"' },
        (device) => emit(device, 'bulk', 'Kamera „ü“', data),
      );
      assert.deepEqual(request.bytes, data);
      assert.equal(request.headers['content-type'], 'application/octet-stream');
      assert.equal(
        request.headers['x-about'],
        `${made.id} ${made.name} Kamera %E2%80%9E\u00fc%E2%80%9C bulk`,
      );
      assert.equal(request.headers['x-data'], '[]');
      const identity = ['webhook-device', 'webhook-label', 'webhook-event'].map(
        (name) => request.headers[name],
      );
      assert.deepEqual(
        identity,
        signature === 'mode'
          ? [undefined, undefined, undefined]
          : [String(made.id), 'Kamera %E2%80%9E\u00fc%E2%80%9C', eventId],
      );
    }
  });

  test('O5: so does a message; headers of the webhook take the place of ours', async () => {
    const plain = await deliver({}, message({ t: 1 }));
    assert.equal(plain.request.headers['webhook-device'], String(plain.made.id));
    assert.equal(plain.request.headers['webhook-event'], plain.eventId);
    assert.equal(plain.request.headers['webhook-label'], undefined);
    const own = await deliver({ headers: { 'Webhook-Device': 'mine' } }, message({ t: 1 }));
    assert.equal(own.request.headers['webhook-device'], 'mine');
  });

  test('a content type that is meant for the body of the webhook is not said of other bytes', async () => {
    const headers = { 'Content-Type': 'application/xml' };
    const body = '<a>{{ eventType }}</a>';
    const bulk = await deliver({ headers, body }, (device) => emit(device, 'bulk', 'x', Buffer.from('y')));
    assert.equal(bulk.request.headers['content-type'], 'application/octet-stream');
    const image = await deliver({ headers: { 'Content-Type': 'image/png' } }, (device) =>
      emit(device, 'bulk', 'x', Buffer.from('y')),
    );
    assert.equal(image.request.headers['content-type'], 'image/png');
    const blank = await deliver({ headers: { 'Content-Type': '{{ gone }}' }, body: '{"a":1}' }, event({}));
    assert.equal(blank.request.headers['content-type'], 'application/json');
  });

  test('O6, O20: a command carries the headers of the webhook, to a URL that is filled', async () => {
    await using receiver = await startReceiver();
    const module_id = `m-${Date.now()}`;
    const home = await makeGroup(server(), 'Haus am See');
    bodyOf(
      await save({
        module_id,
        signature: 'mode',
        secret: 'for-mode',
        headers: {
          Authorization: 'Token 4nVx8Qz1',
          'X-Action': '{{ action }}/{{ parameters.room }} in {{ homeName }}, {{ eventKind }}',
          'Content-Type': 'application/xml',
        },
        body: '<a>{{ eventType }}</a>',
        command_url: `${receiver.url}/{{ homeId }}/{{ parameters.room }}?a={{ action }}`,
      }),
      201,
    );
    const answer = await fetch(`${server().url}/homes/${home}/smartModules/${module_id}/command`, {
      method: 'PUT',
      headers: {
        authorization: `Bearer ${server().env.FLEETHOOK_ADMIN_KEY}`,
        'content-type': 'application/json',
      },
      body: JSON.stringify({ action: 'light on', parameters: { room: '../x' } }),
    });
    assert.equal(answer.status, 204);
    const [got] = await receiver.got(1);
    assert.ok(got);
    assert.equal(got.url, `/${home}/..%2Fx?a=light%20on`);
    assert.equal(got.headers.authorization, 'Token 4nVx8Qz1');
    assert.equal(got.headers['x-action'], 'light on/../x in Haus am See, command');
    assert.equal(got.headers['content-type'], 'application/json');
    assert.equal(got.json.action, 'light on');
    const digest = createHmac('sha256', 'for-mode').update(`${receiver.url}${got.url}`).update(got.bytes);
    assert.equal(got.headers['x-mode-signature'], digest.digest('hex'), 'signed as it is called');
  });

  test('O7: JSON outside of quotes, and {{ json … }} anywhere', async () => {
    const data = { a: [1, 'x"'], s: 'a "b"', n: 7 };
    const { request } = await deliver(
      {
        headers: { 'X-Json': '{{ json eventData.a }}' },
        body: '{"payload":{{ eventData }},"s":{{ eventData.s }},"text":"{{ eventData.a }}","json":"{{ json eventData.s }}","gone":{{ eventData.gone }}}',
      },
      event(data),
    );
    assert.deepEqual(request.json, {
      payload: data,
      s: data.s,
      text: JSON.stringify(data.a),
      json: JSON.stringify(data.s),
      gone: null,
    });
    assert.equal(request.headers['x-json'], JSON.stringify(data.a));
    const text = await deliver(
      { headers: { 'Content-Type': 'text/plain' }, body: '{{ eventData.a }} {{ json eventData.a }}' },
      event(data),
    );
    assert.equal(text.request.text, '[1,\\"x\\\\\\"\\"] [1,"x\\""]');
  });

  test('O7, O20: what could never be sent is not saved, and the answer says where and why', async () => {
    const { id } = bodyOf(await save({}), 201);
    const wrong: [object, string, RegExp][] = [
      [{ body: '{"a":nope}' }, 'body', /not JSON/],
      [{ body: 'It is {{ eventType }}' }, 'body', /not JSON/],
      [{ body: '{"a":"{{ eventType }}}' }, 'body', /not JSON/],
      [{ body: '{{ a', headers: form }, 'body', /never closed/],
      [{ headers: { 'X-A': 'a {{ b c }}' } }, 'headers.X-A', /position 2.*position 7/],
      [{ url: 'https://{{ eventData.host }}/' }, 'url', /host/],
      [{ url: 'https://h.example{{ eventType }}/' }, 'url', /host/],
      [{ url: '{{ eventData.url }}' }, 'url', /host/],
      [{ url: 'https://h.example/{{ a..b }}' }, 'url', /position 18/],
      [{ url: 'https://h.example/a b/{{ a }}' }, 'url', /spaces/],
      [{ url: 'ftp://h.example/{{ a }}' }, 'url', /http/],
      [{ url: 'https://a:b@h.example/{{ a }}' }, 'url', /password/],
      [{ command_url: 'https://h.example:{{ a }}/' }, 'command_url', /host/],
    ];
    for (const [change, path, detail] of wrong) {
      for (const answer of [
        await save(change),
        await api(`/webhooks/${id}`, { method: 'PATCH', body: change }),
      ]) {
        assert.deepEqual(codeOf(answer), [422, 'bad_template'], JSON.stringify(change));
        assert.equal(answer.body.errors[0].path, path);
        assert.match(answer.body.detail, detail);
        assert.ok(answer.body.detail.startsWith(`${path}: `), answer.body.detail);
      }
    }
    const patch = (body: object) => api(`/webhooks/${id}`, { method: 'PATCH', body });
    bodyOf(await patch({ headers: form, body: 'a={{ eventType }}' }), 200);
    assert.deepEqual(codeOf(await patch({ headers: {} })), [422, 'bad_template'], 'as JSON the body is none');
    bodyOf(await patch({ headers: {}, body: null }), 200);
    bodyOf(
      await patch({ headers: { 'Content-Type': '{{ eventData.type }}' }, body: 'a={{ eventType }}' }),
      200,
    );
    bodyOf(await patch({ url: 'https://h.example/{{ eventType }}' }), 200);
  });

  test('O8: values stay in their place in forms, XML and lines', async () => {
    const data = { a: 'a&admin=1', x: '</n><admin>', l: 'x\n1,2' };
    const cases: [string, string, string][] = [
      [form['Content-Type'], 'user={{ eventData.a }}&role=guest', 'user=a%26admin%3D1&role=guest'],
      ['application/xml; charset=utf-8', '<n>{{ eventData.x }}</n>', '<n>&lt;/n&gt;&lt;admin&gt;</n>'],
      ['text/csv', '{{ eventData.l }},2\n', 'x 1,2,2\n'],
    ];
    for (const [type, body, expected] of cases) {
      const { request } = await deliver({ headers: { 'Content-Type': type }, body }, event(data));
      assert.equal(request.text, expected);
      assert.equal(request.headers['content-type'], type);
    }
    const { request } = await deliver(
      { headers: { 'content-type': 'application/{{ eventData.kind }}' }, body: '<n>{{ eventData.x }}</n>' },
      event({ ...data, kind: 'xml' }),
    );
    assert.equal(request.text, '<n>&lt;/n&gt;&lt;admin&gt;</n>', 'by what is announced in the end');
  });

  test('O9: the value of a header is cut, and the rest is sent', async () => {
    const { request } = await deliver(
      { headers: { 'X-Long': '{{ eventData.long }}', 'X-Next': '{{ eventType }}' } },
      event({ long: 'x'.repeat(4_097) }),
    );
    assert.equal(request.headers['x-long'], 'x'.repeat(4_096));
    assert.equal(request.headers['x-next'], 'abc');
  });

  test('O20: a URL takes values, percent-encoded', async () => {
    const { request, made } = await deliver(
      (at) => ({
        url: `${at}/d/{{ originDeviceId }}/{{ eventData.step }}/{{eventData.up}}/x?q={{ eventData.q | 'none' }}&z={{ eventData.z | 'none' }}`,
      }),
      event({ step: 'a/b', up: '..', q: 'ü &=#' }),
    );
    assert.equal(request.url, `/d/${made.id}/a%2Fb//x?q=%C3%BC%20%26%3D%23&z=none`);
    await using receiver = await startReceiver();
    const device = await makeDevice(server(), { name: crypto.randomUUID() });
    const connected = await server().device(device.token);
    const webhook = { url: `${receiver.url}/{{ eventData.long }}`, filter: { devices: [device.id] } };
    const { id } = bodyOf(await save(webhook), 201);
    await event({ long: 'x'.repeat(9_000) })(connected);
    const delivery = await waitFor(
      async () => {
        const [item] = bodyOf(await api(`/webhooks/${id}/deliveries`), 200).items;
        return item?.status === 'failed' && item;
      },
      { what: 'the delivery to fail' },
    );
    assert.match(delivery.last_error, /the filled URL has more than 8192 characters/);
    assert.equal(receiver.received.length, 0);
  });

  test('O25: names beside ids, and something else for what is missing or blank', async () => {
    const home = await makeGroup(server(), 'Haus "am" See');
    const body =
      '["{{ deviceName }}","{{ homeName }}","{{ eventId }}","{{ eventKind }}","{{ eventData.gone | \'nobody\' }}",{{ eventData.blank | 0 }},{{ eventData.no | true }}]';
    const there = await deliver({ body }, event({ blank: ' ', no: false }), { group_id: home });
    assert.deepEqual(there.request.json, [
      there.made.name,
      'Haus "am" See',
      there.eventId,
      'event',
      'nobody',
      0,
      false,
    ]);
    const none = await deliver({ body: '["{{ homeName | \'no home\' }}",{{ homeId }}]' }, message({}));
    assert.deepEqual(none.request.json, ['no home', 0]);
  });

  test('I16: any path that can be written can be saved and found again', async () => {
    const name = fc
      .oneof(fc.string({ unit: 'grapheme' }), fc.string({ unit: 'binary' }))
      .map((text) => text.toWellFormed());
    const names = [
      ...new Set(['Alarm Status', 'PM2.5', 'Straße', '24h', '@type', 'soap:Envelope', 'a"\'\\}}', '']),
      ...fc.sample(name, { numRuns: 60, seed: 7 }),
    ];
    const data = Object.fromEntries([...new Set(names)].map((each, place) => [each, { in: [place] }]));
    const paths = Object.keys(data).map((each) => textOfPath(['eventData', each, 'in', 0]));
    const own = Object.keys(data).map((each) => ({ path: textOfPath([each, 'in', 0]), op: 'exists' }));
    const said = Object.values(data).map(({ in: [place] }) => place);
    const made = await makeDevice(server(), { name: crypto.randomUUID() });
    await using receiver = await startReceiver();
    const { id } = bodyOf(
      await save({
        url: receiver.url,
        body: `[${paths.map((path) => `{{ ${path} }}`).join()}]`,
        filter: { devices: [made.id], where: { all: own } },
      }),
      201,
    );
    const kept = bodyOf(await api(`/webhooks/${id}`), 200);
    assert.deepEqual(kept.filter.where, { all: own });
    await event(data)(await server().device(made.token));
    const [request] = await receiver.got(1);
    assert.deepEqual(request?.json, said);
  });
});
