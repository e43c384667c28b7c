import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { test } from 'node:test';
import { makeDevice, makeGroup } from './support/fleet.ts';
import { bodyOf, codeOf, listAll, oneServer } from './support/management.ts';
import { onEveryDatabase, request, type TestDevice, type TestServer } from './support/server.ts';
import { waitFor } from './support/wait.ts';
import { reachReceivers, startReceiver } from './support/webhook-receiver.ts';

const bulkBytesMax = 16 * 1_024 * 1_024;

type Door = 'event' | 'message' | 'bulk';
const emit = (device: TestDevice, door: Door, ...said: unknown[]) =>
  device.socket.timeout(10_000).emitWithAck(door, ...said);

/** JSON that is nested so deep. */
const nested = (depth: number): unknown => (depth === 0 ? 1 : { a: nested(depth - 1) });

onEveryDatabase('events over Socket.IO', (start) => {
  const server = oneServer((options) => start({ ...options, env: { ...reachReceivers } }));
  const api = (path: string, call?: Parameters<TestServer['api']>[1]) => server().api(path, call);
  const connect = async (device: Partial<Parameters<typeof makeDevice>[1]> = {}) => {
    const made = await makeDevice(server(), { name: crypto.randomUUID(), ...device });
    return { ...made, device: await server().device(made.token) };
  };

  test('what is acknowledged is stored, as it was said', async () => {
    const { id, name, device } = await connect({ tags: ['lobby'] });
    const event = await emit(device, 'event', { eventType: 'motion', eventData: { zone: 4 } });
    const message = await emit(device, 'message', { type: 'reading', payload: [1, { b: null }] });
    const bulk = await emit(device, 'bulk', 'camera', Buffer.from([0, 255, 10]));
    const raw = await emit(device, 'message', { payload: Buffer.from([1, 2]) });
    const view = async (answer: { id: string }) => bodyOf(await api(`/events/${answer.id}`), 200);
    const { at, ...shown } = await view(event);
    assert.ok(Math.abs(Date.parse(at) - Date.now()) < 60_000);
    assert.deepEqual(shown, {
      id: event.id,
      kind: 'event',
      type: 'motion',
      label: null,
      device: { id, name, type: null, group_id: null, group_path: [], tags: ['lobby'], address: '127.0.0.1' },
      key: null,
      user: null,
      rule_id: null,
      media_type: 'application/json',
      bytes: 10,
      problem: null,
      data: { zone: 4 },
    });
    assert.deepEqual((await view(message)).data, [1, { b: null }]);
    const bytes = await view(bulk);
    assert.deepEqual([bytes.kind, bytes.label, bytes.bytes, bytes.data], ['bulk', 'camera', 3, null]);
    assert.equal((await view(raw)).media_type, 'application/octet-stream');
  });

  test('the body is given back byte for byte, however large', async () => {
    const { device } = await connect();
    const data = randomBytes(3 * 1_024 * 1_024 + 7);
    const { id } = await emit(device, 'bulk', 'video', data);
    const answer = await fetch(`${server().url}/api/v1/events/${id}/body`, {
      headers: { authorization: `Bearer ${server().env.FLEETHOOK_ADMIN_KEY}` },
    });
    assert.equal(answer.headers.get('content-type'), 'application/octet-stream');
    assert.match(answer.headers.get('content-disposition') ?? '', /^attachment/);
    const digest = (bytes: Uint8Array) => createHash('sha256').update(bytes).digest('hex');
    assert.equal(digest(new Uint8Array(await answer.arrayBuffer())), digest(data));
  });

  const wrong: [string, Door, unknown[], string][] = [
    ['nothing', 'event', [], 'bad_request'],
    ['a text', 'event', ['motion'], 'bad_request'],
    ['no type', 'event', [{ eventData: {} }], 'bad_request'],
    ['an empty type', 'event', [{ eventType: '' }], 'bad_request'],
    ['a type that is a number', 'event', [{ eventType: 7 }], 'bad_request'],
    ['a type that is too long', 'event', [{ eventType: 'x'.repeat(201) }], 'bad_request'],
    ['data that is a list', 'event', [{ eventType: 'x', eventData: [1] }], 'bad_request'],
    ['bytes in JSON', 'event', [{ eventType: 'x', eventData: { a: Buffer.from('b') } }], 'bad_request'],
    ['data nested too deep', 'event', [{ eventType: 'x', eventData: nested(70) }], 'bad_request'],
    ['a message without payload', 'message', [{ type: 'x' }], 'bad_request'],
    ['a message nested too deep', 'message', [{ payload: nested(70) }], 'bad_request'],
    ['a label with a slash', 'bulk', ['a/b', Buffer.from('x')], 'bad_request'],
    ['a label that is none', 'bulk', [null, Buffer.from('x')], 'bad_request'],
    ['bulk data that is text', 'bulk', ['label', 'text'], 'bad_request'],
    ['a byte too much', 'bulk', ['label', Buffer.alloc(bulkBytesMax + 1)], 'too_large'],
  ];
  test('bad input is answered with its code, and the connection lives', async () => {
    const { id, device } = await connect();
    for (const [what, door, said, code] of wrong) {
      const answer = await emit(device, door, ...said);
      assert.equal(answer.ok, false, what);
      assert.equal(answer.error.code, code, what);
    }
    assert.equal(device.socket.connected, true);
    assert.deepEqual(await listAll(server().api, `/events?device_id=${id}`), []);
    assert.equal((await emit(device, 'bulk', 'label', Buffer.alloc(bulkBytesMax))).ok, true);
  });

  test('a device that is moved speaks from its new place at once', async () => {
    const { id, device } = await connect();
    const group = await makeGroup(server(), crypto.randomUUID());
    bodyOf(await api(`/devices/${id}`, { method: 'PATCH', body: { group_id: group, tags: ['new'] } }), 200);
    const { id: eventId } = await emit(device, 'event', { eventType: 'x' });
    const { device: from } = bodyOf(await api(`/events/${eventId}`), 200);
    assert.deepEqual([from.group_id, from.group_path, from.tags], [group, [group], ['new']]);
  });

  test('the list is searched by who, what and when', async () => {
    const { id, device } = await connect();
    const before = new Date(Date.now() - 1_000).toISOString();
    await emit(device, 'event', { eventType: 'alpha' });
    await emit(device, 'message', { type: 'beta', payload: 1 });
    await emit(device, 'bulk', 'gamma', Buffer.from('x'));
    const list = async (query: string) =>
      (await listAll(server().api, `/events?device_id=${id}${query}`, 2)).map(
        (item: { kind: string }) => item.kind,
      );
    assert.deepEqual(await list(''), ['bulk', 'message', 'event']);
    assert.deepEqual(await list('&kind=message'), ['message']);
    assert.deepEqual(await list('&type=alpha'), ['event']);
    assert.deepEqual(await list('&label=gamma'), ['bulk']);
    assert.deepEqual(await list(`&from=${before}`), ['bulk', 'message', 'event']);
    assert.deepEqual(await list(`&to=${before}`), []);
    assert.deepEqual(codeOf(await api('/events?kind=nix')), [400, 'bad_request']);
  });

  test('figures count what was said and tried', async () => {
    await using receiver = await startReceiver();
    const { id, device } = await connect();
    const body = { name: `figures ${id}`, url: receiver.url, filter: { devices: [id] } };
    const webhook = bodyOf(await api('/webhooks', { body }), 201);
    await emit(device, 'event', { eventType: 'x' });
    await receiver.got(1);
    await waitFor(
      async () => {
        const { body: text } = await request(`${server().url}/metrics`, { key: null });
        return (
          /fleethook_events_total\{kind="event",outcome="taken"\} [1-9]/.test(text) &&
          /fleethook_delivery_attempt_seconds_count\{outcome="delivered"\} [1-9]/.test(text)
        );
      },
      { what: 'the figures' },
    );
    await api(`/webhooks/${webhook.id}`, { method: 'DELETE' });
  });
});
