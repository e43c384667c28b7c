import assert from 'node:assert/strict';
import { createHash, createHmac, randomBytes } from 'node:crypto';
import { test } from 'node:test';
import { getCACertificates, setDefaultCACertificates } from 'node:tls';
import { Webhook } from 'standardwebhooks';
import { verifyWebhook } from '../src/client/verify.ts';
import { certificate } from './support/certificate.ts';
import { makeDevice, makeGroup } from './support/fleet.ts';
import { bodyOf, codeOf, oneServer } from './support/management.ts';
import { onEveryDatabase, type TestDevice, type TestServer } from './support/server.ts';
import { waitFor } from './support/wait.ts';
import {
  type Received,
  reachReceivers,
  startReceiver,
  type WebhookReceiver,
} from './support/webhook-receiver.ts';

const url = 'https://hooks.example.com/evt';
const mebibyte = 1_024 * 1_024;

async function makeWebhook(server: TestServer, webhook: object) {
  return bodyOf(await server.api('/webhooks', { body: { name: crypto.randomUUID(), ...webhook } }), 201);
}

async function emit(device: TestDevice, event: 'event' | 'message' | 'bulk', ...said: unknown[]) {
  const answer = await device.socket.timeout(10_000).emitWithAck(event, ...said);
  assert.equal(answer.ok, true, JSON.stringify(answer));
  return answer.id as string;
}

onEveryDatabase('webhooks', (start) => {
  const server = oneServer((options) => start({ ...options, env: { ...reachReceivers } }));
  const api = (path: string, call?: Parameters<TestServer['api']>[1]) => server().api(path, call);
  const change = (id: string, body: object) => api(`/webhooks/${id}`, { method: 'PATCH', body });
  const connect = async (device: Parameters<typeof makeDevice>[1]) => {
    const made = await makeDevice(server(), device);
    return { ...made, device: await server().device(made.token) };
  };

  /** Makes a webhook, lets one device say one thing, and answers the request that came of it. */
  async function deliver(
    receiver: WebhookReceiver,
    webhook: object,
    say: (device: TestDevice) => Promise<unknown>,
    device: object = {},
  ): Promise<{ request: Received; webhook: Awaited<ReturnType<typeof makeWebhook>>; deviceId: number }> {
    const made = await connect({ name: crypto.randomUUID(), ...device });
    const created = await makeWebhook(server(), {
      url: `${receiver.url}/evt`,
      filter: { devices: [made.id] },
      ...webhook,
    });
    const before = receiver.received.length;
    await say(made.device);
    await receiver.got(before + 1);
    const request = receiver.received.at(-1);
    assert.ok(request);
    await api(`/webhooks/${created.id}`, { method: 'DELETE' });
    return { request, webhook: created, deviceId: made.id };
  }

  test('is made with a secret, listed, changed, switched off and deleted', async () => {
    const made = await makeWebhook(server(), {
      module_id: 'my-module_1',
      name: 'First',
      url,
      description: 'to try',
      headers: { 'X-Key': 'k{{ eventType }}' },
      body: '{"type":"{{ eventType }}"}',
      metadata: { team: 'a' },
    });
    assert.match(made.secret, /^whsec_/);
    assert.equal(made.signature, 'standard');
    assert.equal(made.enabled, true);
    const view = bodyOf(await api(`/webhooks/${made.id}`), 200);
    assert.equal('secret' in view, false);
    assert.deepEqual(view.headers, { 'X-Key': 'k{{ eventType }}' });
    assert.deepEqual(view.deliveries, { pending: 0, delivered: 0, exhausted: 0, failed: 0, canceled: 0 });
    const list = bodyOf(await api('/webhooks?q=Fir'), 200);
    assert.deepEqual(
      list.items.map((item: { id: string }) => item.id),
      [made.id],
    );
    const changed = bodyOf(await change(made.id, { enabled: false, body: null, name: 'Second' }), 200);
    assert.deepEqual([changed.enabled, changed.body, changed.name], [false, null, 'Second']);
    assert.deepEqual(changed.metadata, { team: 'a' });
    assert.equal((await api(`/webhooks/${made.id}`, { method: 'DELETE' })).status, 204);
    assert.equal((await api(`/webhooks/${made.id}`)).status, 404);
  });

  test('names and modules are unique', async () => {
    const first = await makeWebhook(server(), { name: 'Twice', module_id: 'twice', url });
    const again = await api('/webhooks', { body: { name: 'Twice', url } });
    assert.deepEqual(codeOf(again), [409, 'name_taken']);
    const module = await api('/webhooks', { body: { name: 'Other', module_id: 'twice', url } });
    assert.deepEqual(codeOf(module), [409, 'name_taken']);
    await api(`/webhooks/${first.id}`, { method: 'DELETE' });
  });

  const refused: [string, object, number, string][] = [
    ['an URL that is none', { url: 'nonsense' }, 400, 'bad_request'],
    ['another protocol', { url: 'ftp://example.com/' }, 400, 'bad_request'],
    ['a password in the URL', { url: 'https://a:b@example.com/' }, 400, 'bad_request'],
    ['Biotz over plain HTTP', { url: 'http://example.com/', signature: 'biotz' }, 400, 'bad_request'],
    ['a line break in a header', { url, headers: { 'X-A': 'a\r\nX-B: b' } }, 400, 'bad_request'],
    ['a header that is none', { url, headers: { 'X A': 'a' } }, 400, 'bad_request'],
    ['a header of the connection', { url, headers: { 'Content-Length': '1' } }, 400, 'bad_request'],
    ['a header of ours', { url, headers: { 'Webhook-Id': '1' } }, 400, 'bad_request'],
    ['a header twice', { url, headers: { 'X-A': '1', 'x-a': '2' } }, 400, 'bad_request'],
    ['an unclosed template', { url, body: '{{ unclosed' }, 422, 'bad_template'],
    ['a template with two dots', { url, body: '{{ wrongDots.. }}' }, 422, 'bad_template'],
    [
      'a template with an open bracket',
      { url, headers: { 'X-A': '{{ wrongArray[ }}' } },
      422,
      'bad_template',
    ],
    ['a secret that does not fit', { url, secret: 'short' }, 400, 'bad_request'],
    ['a secret for nothing', { url, signature: 'none', secret: 'x' }, 400, 'bad_request'],
    ['a module id with capitals', { url, module_id: 'Module' }, 400, 'bad_request'],
    ['a condition without an end', { url, filter: { where: { all: [] } } }, 400, 'bad_request'],
    ['a device that is not there', { url, filter: { devices: [999_999] } }, 422, 'unknown_target'],
    ['a group that is not there', { url, filter: { groups: [999_999] } }, 422, 'unknown_target'],
    ['a type that is not there', { url, filter: { device_types: ['nix'] } }, 422, 'unknown_target'],
    ['a member that is not known', { url, secrets: 'x' }, 400, 'bad_request'],
  ];
  for (const [what, body, status, code] of refused) {
    test(`refuses ${what}`, async () => {
      assert.deepEqual(codeOf(await api('/webhooks', { body: { name: 'x', ...body } })), [status, code]);
    });
  }

  test('the secret is shown again, rotated with an overlap, and both sign meanwhile', async () => {
    await using receiver = await startReceiver();
    const made = await connect({ name: crypto.randomUUID() });
    const webhook = await makeWebhook(server(), { url: receiver.url, filter: { devices: [made.id] } });
    const path = `/webhooks/${webhook.id}`;
    assert.equal(bodyOf(await api(`${path}/secret`), 200).secret, webhook.secret);
    const rotated = bodyOf(await api(`${path}/rotate-secret`, { body: { overlap_seconds: 60 } }), 200);
    assert.notEqual(rotated.secret, webhook.secret);
    assert.equal(rotated.old_secret, webhook.secret);
    await emit(made.device, 'event', { eventType: 'x' });
    const [request] = await receiver.got(1);
    assert.ok(request);
    for (const secret of [rotated.secret, rotated.old_secret]) {
      const verdict = verifyWebhook({
        scheme: 'standard',
        secret,
        headers: request.headers,
        body: request.bytes,
      });
      assert.equal(verdict.ok, true);
    }
    const now = bodyOf(await api(`${path}/rotate-secret`, { body: { overlap_seconds: 0 } }), 200);
    assert.equal(now.old_secret, webhook.secret, 'the one that was promised a minute has it');
    await emit(made.device, 'event', { eventType: 'x' });
    await receiver.got(2);
    const second = receiver.received[1];
    assert.equal(String(second?.headers['webhook-signature']).split(' ').length, 2);
    const looks = bodyOf(await api(`/audit?subject_id=${webhook.id}`), 200).items;
    assert.deepEqual(
      looks.map((entry: { change: string }) => entry.change),
      ['webhook.rotate_secret', 'webhook.rotate_secret', 'webhook.reveal', 'webhook.create'],
    );
    assert.equal(JSON.stringify(looks).includes(webhook.secret), false);
    await api(path, { method: 'DELETE' });
  });

  test('standard: the reference receiver accepts it, and not a changed body', async () => {
    await using receiver = await startReceiver();
    const { request, webhook } = await deliver(receiver, {}, (device) =>
      emit(device, 'event', { eventType: 'door', eventData: { open: true } }),
    );
    const reference = new Webhook(webhook.secret);
    const headers = request.headers as Record<string, string>;
    assert.equal((reference.verify(request.text, headers) as { eventType: string }).eventType, 'door');
    assert.throws(() => reference.verify(`${request.text} `, headers));
    assert.match(String(headers['user-agent']), /^Fleethook\/\d/);
  });

  test("mode: the seeds' sample verifies text, and bytes are signed as bytes", async () => {
    await using receiver = await startReceiver();
    const key = '6idnnaidkdkdr5zq1838jGV';
    const group = await makeGroup(server(), crypto.randomUUID());
    const text = await deliver(receiver, { signature: 'mode', secret: key }, (device) =>
      emit(device, 'event', { eventType: 'counter', eventData: { cnt: 120 } }),
    );
    const hmac = createHmac('sha256', key);
    hmac.update(`${receiver.url}/evt${text.request.text}`);
    assert.equal(text.request.headers['x-mode-signature'], hmac.digest('hex'));

    const data = Buffer.from([0xff, 0x00, 0xfe, 0x80, 0x41]);
    const bulk = await deliver(
      receiver,
      { signature: 'mode', secret: key, module_id: 'bulk-module' },
      (device) => emit(device, 'bulk', 'camera', data),
      { group_id: group },
    );
    const { headers, bytes } = bulk.request;
    const digest = createHmac('sha256', key).update(`${receiver.url}/evt`).update(data).digest('hex');
    assert.deepEqual(bytes, data);
    assert.equal(headers['content-type'], 'application/octet-stream');
    assert.deepEqual(
      [
        headers['x-mode-signature'],
        headers['x-mode-deviceid'],
        headers['x-mode-moduleid'],
        headers['x-mode-projectid'],
        headers['x-mode-homeid'],
      ],
      [digest, String(bulk.deviceId), 'bulk-module', '1', String(group)],
    );
  });

  test('biotz: the recipe of its documents verifies', async (t) => {
    const trusted = getCACertificates('default');
    setDefaultCACertificates([...trusted, certificate]);
    t.after(() => setDefaultCACertificates(trusted));
    await using receiver = await startReceiver(204, { https: true });
    const { request, webhook } = await deliver(receiver, { signature: 'biotz' }, (device) =>
      emit(device, 'event', { eventType: 'door' }),
    );
    assert.match(webhook.secret, /^whsec_/);
    const header = String(request.headers['biotz-iot-signature']);
    const parts = new Map(header.split(',').map((part) => part.split('=', 2) as [string, string]));
    const timestamp = parts.get('t') ?? '';
    const digest = createHmac('sha256', webhook.secret).update(`${timestamp}.${request.text}`).digest('hex');
    assert.equal(parts.get('v1'), digest);
    assert.ok(Math.abs(Date.now() / 1_000 - Number(timestamp)) < 60);
  });

  test('none: custom headers alone', async () => {
    await using receiver = await startReceiver();
    const { request } = await deliver(
      receiver,
      { signature: 'none', headers: { 'X-Api-Key': 'secret-of-theirs' } },
      (device) => emit(device, 'message', { type: 't', payload: { temperature: 21.5 } }),
    );
    assert.equal(request.headers['x-api-key'], 'secret-of-theirs');
    assert.equal(request.text, '{"temperature":21.5}');
    assert.equal(request.headers['content-type'], 'application/json');
    assert.equal(request.headers['webhook-signature'], undefined);
    assert.ok(request.headers['webhook-id']);
  });

  test('the envelope of an event says who, where and when', async () => {
    await using receiver = await startReceiver();
    const group = await makeGroup(server(), crypto.randomUUID());
    bodyOf(await api('/device-types', { body: { id: 'gate-class', name: 'Gate' } }), 201);
    const { request, deviceId } = await deliver(
      receiver,
      {},
      (device) => emit(device, 'event', { eventType: 'abc', eventData: { foo: { bar: 'BAR' } } }),
      { group_id: group, type: 'gate-class' },
    );
    const { timestamp, ...rest } = request.json;
    assert.match(timestamp, /^\d{4}-\d\d-\d\dT.*Z$/);
    assert.deepEqual(rest, {
      eventType: 'abc',
      eventData: { foo: { bar: 'BAR' } },
      homeId: group,
      originDeviceId: deviceId,
      originDeviceClass: 'gate-class',
      originDeviceIp: '127.0.0.1',
    });
  });

  test('templates fill headers and body as the seed says', async () => {
    await using receiver = await startReceiver();
    const { request } = await deliver(
      receiver,
      {
        headers: {
          'X-Type': 'a {{eventType}}',
          'X-Evil': '{{ eventData.evil }}',
          'X-None': 'x{{ nothing.here }}',
        },
        body: '{"description":"It is {{ eventType }}.","bar":"{{ eventData.foo.bar }}","b":"{{ eventData.buz[1] }}","foo":"{{ eventData.foo }}","no":"{{ a.b }}","n":{{ eventData.n }}}',
      },
      (device) =>
        emit(device, 'event', {
          eventType: 'abc',
          eventData: { foo: { bar: 'BA"R' }, buz: ['BUZ-a', 'BUZ-b'], n: 7, evil: 'a\r\nX-Injected: yes' },
        }),
    );
    assert.deepEqual(request.json, {
      description: 'It is abc.',
      bar: 'BA"R',
      b: 'BUZ-b',
      foo: '{"bar":"BA\\"R"}',
      no: '',
      n: 7,
    });
    assert.equal(request.headers['x-type'], 'a abc');
    assert.equal(request.headers['x-injected'], undefined);
    assert.match(String(request.headers['x-evil']), /^a +X-Injected: yes$/);
    assert.equal(request.headers['x-none'], 'x');
  });

  test('another content type needs no JSON', async () => {
    await using receiver = await startReceiver();
    const { request } = await deliver(
      receiver,
      { headers: { 'Content-Type': 'text/plain' }, body: 'Type: {{ eventType }}' },
      (device) => emit(device, 'event', { eventType: 'abc' }),
    );
    assert.equal(request.text, 'Type: abc');
    assert.equal(request.headers['content-type'], 'text/plain');
  });

  /** What becomes of a webhook that can't be sent. */
  async function failing(webhook: object, say: (device: TestDevice) => Promise<unknown>) {
    await using receiver = await startReceiver();
    const made = await connect({ name: crypto.randomUUID() });
    const created = await makeWebhook(server(), {
      url: receiver.url,
      filter: { devices: [made.id] },
      ...webhook,
    });
    await say(made.device);
    const delivery = await waitFor(
      async () => {
        const [item] = bodyOf(await api(`/webhooks/${created.id}/deliveries`), 200).items;
        return item?.status === 'failed' && item;
      },
      { what: 'the delivery to fail' },
    );
    const [entry] = bodyOf(await api(`/webhooks/${created.id}/logs?level=ERROR`), 200).items;
    assert.equal(entry.level, 'ERROR');
    assert.equal(receiver.received.length, 0);
    return delivery.last_error as string;
  }

  test('a body that is not JSON where JSON is announced is an ERROR and no request', async () => {
    const error = await failing({ body: '{"a":-{{ eventData.a }}}' }, (device) =>
      emit(device, 'event', { eventType: 'x' }),
    );
    assert.match(error, /not JSON after substitution/);
  });

  test('a template that grows without measure is an ERROR and no request', async () => {
    const error = await failing({ body: `["${'{{ eventData.a }}'.repeat(100)}"]` }, (device) =>
      emit(device, 'event', { eventType: 'x', eventData: { a: 'a'.repeat(100_000) } }),
    );
    assert.match(error, /4194304|too/);
  });

  test('16 MiB of bulk data go through byte for byte, signed', async () => {
    await using receiver = await startReceiver();
    const data = randomBytes(16 * mebibyte);
    const { request, webhook } = await deliver(receiver, {}, (device) => emit(device, 'bulk', 'video', data));
    const digest = (bytes: Uint8Array) => createHash('sha256').update(bytes).digest('hex');
    assert.equal(digest(request.bytes), digest(data));
    assert.equal(request.headers['content-length'], String(16 * mebibyte));
    const { secret } = webhook;
    const verdict = verifyWebhook({
      scheme: 'standard',
      secret,
      headers: request.headers,
      body: request.bytes,
    });
    assert.equal(verdict.ok, true);
  });

  test('every webhook gets its own copy, and only what its filter lets pass', async () => {
    await using receiver = await startReceiver();
    const top = await makeGroup(server(), crypto.randomUUID());
    const below = await makeGroup(server(), crypto.randomUUID(), top);
    const elsewhere = await makeGroup(server(), crypto.randomUUID());
    bodyOf(await api('/device-types', { body: { id: 'meter', name: 'Meter' } }), 201);
    const tag = `t${Date.now()}`;
    const meter = await connect({ name: crypto.randomUUID(), group_id: below, type: 'meter', tags: [tag] });
    const other = await connect({ name: crypto.randomUUID(), group_id: elsewhere });
    const filters: Record<string, object> = {
      everything: {},
      type: { event_types: ['alpha'] },
      star: { event_types: ['*'] },
      kind: { kinds: ['bulk'] },
      label: { labels: ['lab'] },
      device: { devices: [meter.id] },
      group: { groups: [top] },
      class: { device_types: ['Meter'] },
      tag: { tags: [tag] },
      where: { where: { path: 'temperature', op: '>', value: 30 } },
      both: { devices: [other.id], event_types: ['alpha'] },
      system: { kinds: ['system'] },
    };
    const made: string[] = [];
    for (const [name, filter] of Object.entries(filters)) {
      const webhook = { name: `${tag} ${name}`, url: `${receiver.url}/${name}`, filter };
      made.push(bodyOf(await api('/webhooks', { body: webhook }), 201).id);
    }
    await emit(meter.device, 'event', { eventType: 'alpha', eventData: { temperature: 31 } });
    await emit(meter.device, 'event', { eventType: 'beta', eventData: { temperature: 29 } });
    await emit(meter.device, 'bulk', 'lab', Buffer.from('bytes'));
    await emit(other.device, 'message', { type: 'alpha', payload: { temperature: 40 } });
    const expected = {
      everything: 4,
      type: 2,
      star: 4,
      kind: 1,
      label: 1,
      device: 3,
      group: 3,
      class: 3,
      tag: 3,
      where: 2,
      both: 1,
      system: 0,
    };
    const total = Object.values(expected).reduce((sum, count) => sum + count, 0);
    await receiver.got(total);
    const counts = Object.fromEntries(
      Object.keys(filters).map((name) => [
        name,
        receiver.received.filter((request) => request.url === `/${name}`).length,
      ]),
    );
    assert.deepEqual(counts, expected);
    const ids = receiver.received.map((request) => request.headers['webhook-id']);
    assert.equal(new Set(ids).size, total);
    for (const id of made) await api(`/webhooks/${id}`, { method: 'DELETE' });
  });
});
