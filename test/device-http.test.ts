import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { test } from 'node:test';
import { brotliCompressSync, deflateSync, gzipSync, zstdCompressSync } from 'node:zlib';
import { systemCaller } from '../src/domain/access/caller.ts';
import { getEvent, getEventBody, listEvents } from '../src/domain/event/history.ts';

import { createWebhook } from '../src/domain/webhook/webhook.ts';
import { type MadeDevice, makeDevice, makeGroup } from './support/fleet.ts';
import { bodyOf, codeOf, makeKey, makeTenant, oneServer } from './support/management.ts';
import { type Call, onEveryDatabase, request, type TestServer } from './support/server.ts';
import { reachReceivers, startReceiver } from './support/webhook-receiver.ts';

const caller = systemCaller(1, 'test');
const bytesMax = 16 * 1_024 * 1_024;
const json = 'application/json';
/** As it is written: JavaScript would write none of these numbers this way. */
const numbers = '{"id":12345678901234567890,"pi":3.14159265358979323846264338327950288,"far":1e400}';

/** A request with nothing but what is said here. */
function speak(
  server: TestServer,
  path: string,
  { as, type, headers, ...call }: Call & { as?: string; type?: string },
) {
  return request(server.url + path, {
    key: null,
    method: 'POST',
    ...call,
    headers: {
      ...(as === undefined ? {} : { authorization: as }),
      ...(type === undefined ? {} : { 'content-type': type }),
      ...headers,
    },
  });
}

/** What the device has said, newest first. */
async function said(server: TestServer, device: MadeDevice) {
  return (await listEvents(server.ctx, caller, { device_id: device.id })).items;
}

async function lastSaid(server: TestServer, device: MadeDevice) {
  const [event] = await said(server, device);
  assert.ok(event, 'the device said something');
  return getEvent(server.ctx, caller, event.id);
}

async function lastBytes(server: TestServer, device: MadeDevice): Promise<Buffer> {
  const [event] = await said(server, device);
  assert.ok(event, 'the device said something');
  const { parts } = await getEventBody(server.ctx, caller, event.id);
  const read: Uint8Array[] = [];
  for await (const part of parts) read.push(part);
  return Buffer.concat(read);
}

onEveryDatabase('devices over HTTP', (start) => {
  const server = oneServer((options) => start({ ...options, env: { ...reachReceivers } }));
  let made = 0;
  const newDevice = (extra: object = {}): Promise<MadeDevice> => {
    made += 1;
    return makeDevice(server(), { name: `device ${made}`, ...extra });
  };
  const event = (device: MadeDevice, call: Parameters<typeof speak>[2]) =>
    speak(server(), `/devices/${device.id}/event`, { method: 'PUT', as: `Thing ${device.token}`, ...call });
  const message = (device: MadeDevice, raw: Call['raw'] = '{}', type: string | undefined = json, path = '') =>
    speak(server(), `/messages${path}`, { as: `Thing ${device.token}`, raw: raw ?? '', type });

  test('a byte order mark before JSON is passed over, and does not go on', async () => {
    const device = await newDevice();
    assert.equal((await message(device, `\uFEFF${numbers}`)).status, 202);
    assert.equal((await lastBytes(server(), device)).toString(), numbers);
  });

  test('an event is stored with who said it, from where', async () => {
    bodyOf(await server().api('/device-types', { body: { id: 'thermo-1', name: 'Thermometers' } }), 201);
    const group_id = await makeGroup(server(), 'a home');
    const body = { name: 'in the hall', group_id, type: 'thermo-1', tags: ['lobby'] };
    const device = bodyOf(await server().api('/devices', { body }), 201);
    const answer = await event(device, { body: { eventType: 'motion', eventData: { room: 'hall' } } });
    assert.deepEqual([answer.status, answer.body], [204, '']);
    const stored = await lastSaid(server(), device);
    assert.deepEqual([stored.kind, stored.type, stored.label, stored.key], ['event', 'motion', null, null]);
    assert.deepEqual(stored.data, { room: 'hall' });
    assert.deepEqual(stored.device, {
      id: device.id,
      name: 'in the hall',
      type: 'Thermometers',
      group_id,
      group_path: [group_id],
      tags: ['lobby'],
      address: '127.0.0.1',
    });
    const bare = await event(device, { raw: '{"eventType":"bare"}', type: 'text/plain' });
    assert.equal(bare.status, 204, 'whatever the body is announced as');
    assert.deepEqual((await lastSaid(server(), device)).data, {});
  });

  test('an answer means that it is stored', async () => {
    const device = await newDevice();
    const types = Array.from({ length: 20 }, (_, place) => `type ${place}`);
    await Promise.all(
      types.map(async (eventType) => {
        assert.equal((await event(device, { body: { eventType } })).status, 204);
        const { items } = await listEvents(server().ctx, caller, { device_id: device.id, type: eventType });
        assert.equal(items.length, 1, eventType);
      }),
    );
  });

  test('bulk data goes byte for byte, to the last byte that is allowed', async () => {
    const device = await newDevice();
    const bulk = (raw: Uint8Array, label = 'photo') =>
      speak(server(), `/devices/${device.id}/bulkData/${label}`, { as: `ModeCloud ${device.token}`, raw });
    await using receiver = await startReceiver();
    const filter = { kinds: ['bulk'], devices: [device.id] };
    await createWebhook(server().ctx, caller, { name: 'bulk', url: receiver.url, signature: 'mode', filter });
    for (const bytes of [Buffer.from([0xff, 0, 0xfe, 0x80, 0x41]), randomBytes(bytesMax), Buffer.alloc(0)]) {
      const before = receiver.received.length;
      const answer = await bulk(bytes);
      assert.deepEqual([answer.status, answer.body], [202, '']);
      const { kind, label, media_type } = await lastSaid(server(), device);
      assert.deepEqual([kind, label, media_type], ['bulk', 'photo', 'application/octet-stream']);
      assert.ok((await lastBytes(server(), device)).equals(bytes), `${bytes.length} bytes as they came`);
      const got = (await receiver.got(before + 1)).at(-1);
      assert.ok(got?.bytes.equals(bytes), `${bytes.length} bytes as they were sent`);
      assert.equal(got?.headers['content-type'], 'application/octet-stream');
      assert.equal(got?.headers['x-mode-deviceid'], String(device.id));
    }
    const stored = (await said(server(), device)).length;
    assert.deepEqual(codeOf(await bulk(Buffer.alloc(bytesMax + 1))), [413, 'too_large']);
    for (const label of ['a%2Fb', 'a+b', 'a%23b', '%20', '%00', 'x'.repeat(201)])
      assert.deepEqual(codeOf(await bulk(Buffer.from('x'), label)), [400, 'bad_request'], label);
    assert.equal((await said(server(), device)).length, stored);
  });

  test('events and messages end at 16 MiB too', async () => {
    const device = await newDevice();
    const around = (head: string, tail: string, size: number) =>
      `${head}${'x'.repeat(size - head.length - tail.length)}${tail}`;
    const eventOf = (size: number) => around('{"eventType":"big","eventData":{"x":"', '"}}', size);
    assert.equal((await event(device, { raw: eventOf(bytesMax) })).status, 204);
    assert.equal((await message(device, around('"', '"', bytesMax))).status, 202);
    assert.equal((await lastBytes(server(), device)).length, bytesMax);
    assert.deepEqual(codeOf(await event(device, { raw: eventOf(bytesMax + 1) })), [413, 'too_large']);
    assert.deepEqual(codeOf(await message(device, around('"', '"', bytesMax + 1))), [413, 'too_large']);
    assert.equal((await said(server(), device)).length, 2);
  });

  test('a message has its subtopic as type', async () => {
    const device = await newDevice();
    const types: [string, string | null][] = [
      ['', null],
      ['/', null],
      ['/a', 'a'],
      ['/a/b', 'a.b'],
      ['/a//b/', 'a.b'],
      ['/a%2Fb/c.d', 'a.b.c.d'],
      ['/%C3%BC%20x', 'ü x'],
    ];
    for (const [path, type] of types) {
      const answer = await message(device, '{"t":1}', json, path);
      assert.deepEqual([answer.status, answer.body], [202, ''], path);
      const stored = await lastSaid(server(), device);
      assert.deepEqual([stored.kind, stored.type, stored.data], ['message', type, { t: 1 }], path);
    }
    for (const path of ['/*', '/a/*', '/a*b', '/%3E', '/a/b%3E', '/%zz', '/%00', `/${'x'.repeat(201)}`])
      assert.deepEqual(codeOf(await message(device, '{}', json, path)), [400, 'bad_request'], path);
    assert.equal((await said(server(), device)).length, types.length);
  });

  test('a message is what it is announced as, or refused', async () => {
    const device = await newDevice();
    const cbor = Buffer.from([0x81, 0xa2, 0x00, 0x61, 0x74, 0x02, 0x15]);
    const taken: [string, string | Uint8Array, string][] = [
      ['application/json', '{"t":21.5}', 'application/json'],
      ['Application/JSON; charset=utf-8', ' [1,\n2] ', 'application/json'],
      ['application/senml+json', '[{"n":"t","v":21}]', 'application/senml+json'],
      ['application/senml+cbor', cbor, 'application/senml+cbor'],
    ];
    for (const [type, raw, mediaType] of taken) {
      assert.equal((await message(device, raw, type)).status, 202, type);
      assert.equal((await lastSaid(server(), device)).media_type, mediaType);
      assert.ok((await lastBytes(server(), device)).equals(Buffer.from(raw)), type);
    }
    assert.deepEqual(codeOf(await message(device, '{', json)), [400, 'bad_request']);
    const encoded = { 'content-encoding': 'rot13' };
    const strange = await speak(server(), '/messages', {
      as: `Thing ${device.token}`,
      raw: '{}',
      headers: encoded,
    });
    assert.deepEqual(codeOf(strange), [415, 'unsupported_media_type']);
    assert.deepEqual(codeOf(await message(device, 'x', 'text/plain; charset=utf-7')), [
      415,
      'unsupported_media_type',
    ]);
    assert.equal((await said(server(), device)).length, taken.length);
  });

  test('O26: text and bytes are taken as MQTT takes them', async () => {
    const device = await newDevice();
    const bytes = Buffer.from([0xff, 0xfe, 0x00, 0x41]);
    const octets = 'application/octet-stream';
    const taken: [type: string, raw: string | Uint8Array, mediaType: string, stored?: string][] = [
      ['text/plain', 'ON', octets],
      ['text/plain;charset=UTF-8', '{"t":21.5}', json],
      ['', '{"t":21.5}', json],
      ['application/x-www-form-urlencoded', '{"t":21.5}', json],
      [octets, '\uFEFF[1]', json, '[1]'],
      [octets, bytes, octets],
      ['text/plain', '', octets],
      ['application/cbor', bytes, 'application/cbor'],
      ['text/plain; charset=iso-8859-1', Buffer.from([0xdc, 0x62, 0x65, 0x72]), octets, 'Über'],
      ['application/json; charset=iso-8859-1', Buffer.from([0x22, 0xdc, 0x22]), json, '"Ü"'],
    ];
    for (const [type, raw, mediaType, stored = raw] of taken) {
      assert.equal((await message(device, raw, type, '/state')).status, 202, type);
      const { media_type, problem } = await lastSaid(server(), device);
      assert.deepEqual([media_type, problem], [mediaType, null], type);
      assert.deepEqual(await lastBytes(server(), device), Buffer.from(stored), type);
    }
    const latin = await event(device, {
      raw: Buffer.from('{"eventType":"T\u00fcr"}', 'latin1'),
      type: 'application/json; charset=iso-8859-1',
    });
    assert.equal(latin.status, 204);
    assert.equal((await lastSaid(server(), device)).type, 'Tür');
  });

  test('I25: bodies are unpacked, and nothing packed is nothing', async () => {
    const device = await newDevice();
    const packed = (encoding: string, raw: Uint8Array) =>
      speak(server(), `/devices/${device.id}/event`, {
        method: 'PUT',
        as: `Thing ${device.token}`,
        raw,
        headers: { 'content-encoding': encoding },
      });
    const bytes = Buffer.from('{"eventType":"packed"}');
    for (const [encoding, raw] of [
      ['gzip', gzipSync(bytes)],
      ['x-gzip', gzipSync(bytes)],
      ['GZIP', gzipSync(bytes)],
      ['deflate', deflateSync(bytes)],
      ['br', brotliCompressSync(bytes)],
      ['zstd', zstdCompressSync(bytes)],
      ['identity', bytes],
    ] as const)
      assert.equal((await packed(encoding, raw)).status, 204, encoding);
    assert.deepEqual(codeOf(await packed('gzip', bytes)), [400, 'bad_request']);
    assert.deepEqual(codeOf(await packed('gzip', gzipSync(bytes).subarray(0, 20))), [400, 'bad_request']);
    assert.deepEqual(codeOf(await packed('gzip, gzip', bytes)), [415, 'unsupported_media_type']);
    const bomb = gzipSync(Buffer.alloc(bytesMax + 1, 'x'));
    assert.deepEqual(codeOf(await packed('gzip', bomb)), [413, 'too_large']);
    const bulk = (raw: Uint8Array) =>
      speak(server(), `/devices/${device.id}/bulkData/empty`, {
        as: `Thing ${device.token}`,
        raw,
        headers: { 'content-encoding': 'x-gzip' },
      });
    for (const nothing of [Buffer.alloc(0), gzipSync(Buffer.alloc(0))]) {
      assert.equal((await bulk(nothing)).status, 202);
      assert.equal((await lastBytes(server(), device)).length, 0);
    }
  });

  test('a page of any origin may speak for a device', async () => {
    const device = await newDevice();
    for (const path of ['/messages', '/messages/a/b', `/devices/${device.id}/event`]) {
      const asked = await request(server().url + path, {
        method: 'OPTIONS',
        key: null,
        headers: {
          origin: 'https://kiosk.example',
          'access-control-request-method': 'PUT',
          'access-control-request-headers': 'authorization,content-type',
        },
      });
      assert.equal(asked.status, 204, path);
      assert.equal(asked.headers.get('access-control-allow-origin'), '*', path);
      assert.match(asked.headers.get('access-control-allow-methods') ?? '', /PUT/);
      assert.match(asked.headers.get('access-control-allow-headers') ?? '', /authorization/);
    }
    for (const as of [`Thing ${device.token}`, 'Thing nobody']) {
      const headers = { origin: 'https://kiosk.example' };
      const said = await speak(server(), '/messages', { as, raw: '1', type: json, headers });
      assert.equal(said.headers.get('access-control-allow-origin'), '*', as);
      assert.equal(said.headers.get('access-control-allow-credentials'), null);
    }
  });

  test('what is not sound JSON is refused', async () => {
    const device = await newDevice();
    const deep = (levels: number) => '['.repeat(levels) + ']'.repeat(levels);
    const inEvent = (value: string) => `{"eventType":"x","eventData":{"v":${value}}}`;
    const bad: [string, string | Uint8Array][] = [
      ['nothing', ''],
      ['half', '{"eventType":'],
      ['two', '{} {}'],
      ['no UTF-8', Buffer.from([0x22, 0xc3, 0x28, 0x22])],
      ['cut UTF-8', Buffer.from([0x22, 0xe2, 0x82, 0x22])],
      ['UTF-16', Buffer.from('{"eventType":"x"}', 'utf16le')],
      ['deep', deep(65)],
    ];
    for (const [what, raw] of bad) {
      assert.deepEqual(codeOf(await message(device, raw)), [400, 'bad_request'], `message: ${what}`);
      assert.deepEqual(codeOf(await event(device, { raw })), [400, 'bad_request'], `event: ${what}`);
    }
    for (const raw of [
      'null',
      '[]',
      '7',
      '{}',
      '{"eventType":7}',
      '{"eventType":" "}',
      '{"eventType":"x","eventData":[]}',
      '{"eventType":"x","eventData":"y"}',
      inEvent(deep(63)),
    ])
      assert.deepEqual(codeOf(await event(device, { raw })), [400, 'bad_request'], raw);
    assert.equal((await said(server(), device)).length, 0);
    assert.equal((await message(device, deep(64))).status, 202);
    assert.equal((await event(device, { raw: inEvent(deep(62)) })).status, 204);
  });

  test('numbers reach the receiver as they were written', async () => {
    const device = await newDevice();
    await using receiver = await startReceiver();
    await createWebhook(server().ctx, caller, {
      name: 'numbers',
      url: receiver.url,
      filter: { devices: [device.id] },
    });
    const raw = ` ${numbers.replaceAll(',', ' ,\t')}\n`;
    assert.equal((await message(device, raw)).status, 202);
    await receiver.got(1);
    assert.equal(receiver.received[0]?.text, raw, 'a message byte for byte');
    assert.equal(receiver.received[0]?.headers['content-type'], json);
    assert.equal((await event(device, { raw: `{"eventType":"n","eventData":${numbers}}` })).status, 204);
    await receiver.got(2);
    assert.ok(receiver.received[1]?.text.includes(`"eventData":${numbers}`), receiver.received[1]?.text);
  });

  test('a device speaks for itself alone, by any of three schemes', async () => {
    const device = await newDevice();
    const other = await newDevice();
    const body = { eventType: 'x' };
    const { token } = device;
    for (const as of [`Thing ${token}`, `ModeCloud ${token}`, `Bearer ${token}`, `bearer  ${token} `]) {
      assert.equal((await event(device, { as, body })).status, 204, as);
      assert.equal((await speak(server(), '/messages', { as, raw: '1', type: json })).status, 202, as);
      assert.deepEqual(codeOf(await event(other, { as, body })), [403, 'not_allowed'], as);
      const bulk = await speak(server(), `/devices/${other.id}/bulkData/x`, { as, raw: 'x' });
      assert.deepEqual(codeOf(bulk), [403, 'not_allowed'], as);
    }
    const publisher = await makeKey(server(), { scopes: ['publish'] });
    const wrong = [
      '',
      token,
      `Basic ${token}`,
      'Thing ',
      `Thing ${token}x`,
      `Thing fhd_${'0'.repeat(token.length - 4)}`,
      `Thing ${publisher.key}`,
    ];
    for (const as of [...wrong, `Bearer ${publisher.key}x`]) {
      const answer = await event(device, { as, body });
      assert.equal(answer.status, 401, as);
      assert.equal(answer.headers.get('www-authenticate'), 'Bearer');
    }
    for (const as of [...wrong, `Bearer ${publisher.key}`])
      assert.equal((await speak(server(), '/messages', { as, raw: '1', type: json })).status, 401, as);
    assert.equal((await event({ ...device, id: 0 }, { body })).status, 404);
    assert.equal((await said(server(), device)).length, 8);
    assert.equal((await said(server(), other)).length, 0);
  });

  test('a program may speak for the devices of its project, and is named', async () => {
    const device = await newDevice();
    const publisher = await makeKey(server(), { name: 'gateway', scopes: ['publish'] });
    const reader = await makeKey(server(), { scopes: ['read', 'trigger', 'command'] });
    await using receiver = await startReceiver();
    const filter = { devices: [device.id] };
    await createWebhook(server().ctx, caller, { name: 'envelopes', url: receiver.url, filter });
    for (const scheme of ['ModeCloud', 'Bearer']) {
      const body = { eventType: 'for it', eventData: { scheme } };
      const before = receiver.received.length;
      assert.equal((await event(device, { as: `${scheme} ${publisher.key}`, body })).status, 204);
      const { json: told } = (await receiver.got(before + 1)).at(-1) ?? {};
      assert.deepEqual(
        { ...told, timestamp: '' },
        {
          ...body,
          timestamp: '',
          homeId: 0,
          originDeviceId: device.id,
          originDeviceIp: '127.0.0.1',
          originProjectKeyID: publisher.id,
          originProjectKeyName: 'gateway',
        },
      );
      assert.match(told.timestamp, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/);
    }
    assert.deepEqual((await lastSaid(server(), device)).key, { id: publisher.id, name: 'gateway' });
    const bulk = `/devices/${device.id}/bulkData/x`;
    assert.equal((await speak(server(), bulk, { as: `Bearer ${publisher.key}`, raw: 'x' })).status, 202);

    const body = { eventType: 'x' };
    const stored = (await said(server(), device)).length;
    assert.deepEqual(codeOf(await event(device, { as: `Bearer ${reader.key}`, body })), [403, 'not_allowed']);
    const tenant = await makeTenant(server(), 'other project', ['publish', 'manage']);
    assert.deepEqual(codeOf(await event(device, { as: `Bearer ${tenant.key}`, body })), [404, 'not_found']);
    const unknown = { ...device, id: 999_999_999 };
    assert.deepEqual(codeOf(await event(unknown, { as: `Bearer ${publisher.key}`, body })), [
      404,
      'not_found',
    ]);
    assert.equal((await said(server(), device)).length, stored);
  });

  test('a device that floods is held up, another one is not', async () => {
    const [device, other] = [await newDevice(), await newDevice()];
    const send = (from: MadeDevice, count: number) =>
      Promise.all(Array.from({ length: count }, () => event(from, { body: { eventType: 'flood' } })));
    let refused: Awaited<ReturnType<typeof event>> | undefined;
    let taken = 0;
    // 500 at once, 100 a second after that: whoever sends without a pause is told soon.
    for (let round = 0; round < 100 && !refused; round += 1) {
      const answers = await send(device, 50);
      taken += answers.filter(({ status }) => status === 204).length;
      refused = answers.find(({ status }) => status !== 204);
    }
    assert.ok(refused, `after ${taken} events`);
    assert.deepEqual(codeOf(refused), [429, 'too_many']);
    assert.match(refused.headers.get('retry-after') ?? '', /^[1-9]\d*$/);
    assert.ok(taken >= 500, `${taken} were taken`);
    const calm = await send(other, 200);
    assert.ok(calm.every(({ status }) => status === 204));
  });
});

onEveryDatabase('devices over HTTP behind a proxy', (start) => {
  const server = oneServer(start, { env: { TRUST_PROXY: 'loopback', RATE_LIMIT_FAILED_KEYS: '3' } });
  const headers = (address: string) => ({ 'x-forwarded-for': address });

  test('the address is the one the proxy tells', async () => {
    const device = await makeDevice(server(), { name: 'behind a proxy' });
    const path = `/devices/${device.id}/event`;
    for (const address of ['203.0.113.7', '2001:db8::7']) {
      const call = { as: `Thing ${device.token}`, method: 'PUT', body: { eventType: 'x' } };
      assert.equal((await speak(server(), path, { ...call, headers: headers(address) })).status, 204);
      assert.equal((await lastSaid(server(), device)).device?.address, address);
    }
  });

  test('whoever tries tokens is held up by address', async () => {
    const device = await makeDevice(server(), { name: 'guessed' });
    const path = `/devices/${device.id}/event`;
    const from = (address: string, token: string) =>
      speak(server(), path, {
        as: `Thing ${token}`,
        method: 'PUT',
        body: { eventType: 'x' },
        headers: headers(address),
      });
    const statuses: number[] = [];
    for (let tries = 0; tries < 4; tries += 1) statuses.push((await from('203.0.113.8', 'fhd_x')).status);
    assert.deepEqual(statuses, [401, 401, 401, 429]);
    assert.equal((await from('203.0.113.9', device.token)).status, 204);
    assert.equal((await from('203.0.113.8', device.token)).status, 204, 'a good token is good from anywhere');
  });
});
