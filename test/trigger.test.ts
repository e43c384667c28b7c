import assert from 'node:assert/strict';
import { before, test } from 'node:test';
import undici from 'undici';
import { fire, makeAction, makeDevice, makeStep, makeTriggerKey, traceOf } from './support/fleet.ts';
import { type Call, onEveryDatabase, request, type TestServer } from './support/server.ts';
import { waitFor } from './support/wait.ts';

const path = '/public-api/integration/webhooks';
const base64 = (value: unknown) => Buffer.from(JSON.stringify(value)).toString('base64');

onEveryDatabase('triggers', (start) => {
  let server: TestServer;
  let key: string;
  /** The key's own way in, without the admin key. */
  const call = (suffix: string, more: Call = {}) =>
    request(`${server.url}${path}${suffix}`, { key: null, ...more });
  const withKey = (more: Call = {}): Call => ({
    ...more,
    headers: { 'x-webhook-apikey': key, ...more.headers },
  });
  const countTriggers = async (event_id: string, status: string) =>
    (await server.api(`/triggers?event_id=${event_id}&status=${status}`)).body.items.length;

  before(async () => {
    server = await start();
    key = await makeTriggerKey(server);
    await makeDevice(server, { name: 'one', tags: ['lobby'] });
    await makeStep(server, 'evac', 'enable_emergency', { message: '{{ payload.why }}' });
    await makeStep(server, '289478969', 'refresh_content');
    await makeStep(server, 'sensor', 'send_sensor_event');
    await makeStep(server, 'toast', 'show_toast', { message: 'T: {{ payload.alert.title }}{{ query.x }}' });
    await makeStep(server, 'strict', 'show_toast', { message: '{{ payload.message }}' });
    await makeAction(server, {
      event_id: 'post-only',
      allow_get: false,
      steps: [{ function: 'refresh_content', target: { all: true } }],
    });
    await makeAction(server, {
      event_id: 'ask-first',
      name: 'Evacuate <now>',
      confirm: true,
      steps: [{ function: 'refresh_content', target: { all: true } }],
    });
  });

  test('a POST answers as the contract says, after it is on disk', async () => {
    const { status, body } = await call('', withKey({ body: { event_id: 'evac', why: 'smoke' } }));
    assert.equal(status, 200);
    assert.equal(body.message, 'success');
    assert.equal(body.event_id, 'evac');
    const [command] = body.commands;
    assert.deepEqual(
      { ...command, id: 'x' },
      { id: 'x', function: 'enable_emergency', targeted: 1, online: 0 },
    );
    const trace = await traceOf(server, body.trigger_id);
    assert.equal(trace.commands[0].id, command.id);
    assert.equal(trace.commands[0].params.message, 'smoke');
    assert.deepEqual(trace.call.payload, { why: 'smoke' });
  });

  test('every spelling of key and event finds the action', async () => {
    const payload = base64({ event_id: 289478969, note: '>>>???' });
    const urlSafe = payload.replaceAll('+', '-').replaceAll('/', '_').replaceAll('=', '');
    const spellings: [string, string, Call][] = [
      ['header key', '', withKey({ body: { event_id: 'evac' } })],
      ['bearer key', '', { key, body: { event_id: 'evac' } }],
      ['api_key', `?api_key=${key}`, { body: { event_id: 'evac' } }],
      ['apiKey', `?apiKey=${key}`, { body: { event_id: 'evac' } }],
      ['eventId', '', withKey({ body: { eventId: 'evac' } })],
      ['a number', '', withKey({ body: { event_id: 289478969 } })],
      ['query event_id', '?event_id=evac', withKey({ body: {} })],
      ['query eventId, no body', '?eventId=evac', withKey({ method: 'POST' })],
      [
        'form',
        '',
        withKey({
          raw: 'event_id=evac&a=b',
          headers: { 'content-type': 'application/x-www-form-urlencoded' },
        }),
      ],
      [
        'JSON announced as a form',
        '',
        withKey({
          raw: '{"event_id":"evac"}',
          headers: { 'content-type': 'application/x-www-form-urlencoded' },
        }),
      ],
      ['GET payload', `?api_key=${key}&payload=${encodeURIComponent(payload)}`, {}],
      ['GET payload, plus not encoded', `?api_key=${key}&payload=${payload}`, {}],
      ['GET payload, URL-safe and bare', `?apiKey=${key}&payload=${urlSafe}`, {}],
      ['GET event_id', `?event_id=evac&api_key=${key}`, {}],
      ['oldest GET', `?eventId=evac&apiKey=${key}`, {}],
      [
        'sensor data as text',
        '',
        withKey({ body: { event_id: 'sensor', sensor_data: "{id: 's1', value: '1'}" } }),
      ],
    ];
    for (const [name, suffix, how] of spellings) {
      const { status, body } = await call(suffix, how);
      assert.equal(status, 200, `${name}: ${JSON.stringify(body)}`);
      assert.equal(body.message, 'success', name);
    }
  });

  test('bad calls get their code and issue nothing', async () => {
    const bad: [string, Call, number, string][] = [
      ['', { body: { event_id: 'evac' } }, 401, 'bad_key'],
      [
        '',
        withKey({ body: { event_id: 'evac' }, headers: { 'x-webhook-apikey': 'fhk_nonsense' } }),
        401,
        'bad_key',
      ],
      ['', { body: { event_id: 'evac', api_key: key } }, 401, 'bad_key'],
      ['', withKey({ body: { event_id: 'nothing' } }), 404, 'unknown_event'],
      ['', withKey({ body: {} }), 400, 'bad_request'],
      ['', withKey({ body: [] }), 400, 'bad_request'],
      ['', withKey({ body: { event_id: { a: 1 } } }), 400, 'bad_request'],
      [
        '',
        withKey({ raw: '{"event_id":', headers: { 'content-type': 'application/json' } }),
        400,
        'bad_request',
      ],
      [
        '',
        withKey({
          raw: `${'['.repeat(200)}${']'.repeat(200)}`,
          headers: { 'content-type': 'application/json' },
        }),
        400,
        'bad_request',
      ],
      [
        '',
        withKey({ raw: '<a/>', headers: { 'content-type': 'application/xml' } }),
        415,
        'unsupported_media_type',
      ],
      ['', withKey({ body: { event_id: 'evac', x: 'y'.repeat(300_000) } }), 413, 'too_large'],
      ['', withKey({ body: { event_id: 'strict' } }), 422, 'bad_params'],
      ['', withKey({ body: { event_id: 'sensor' } }), 422, 'bad_params'],
      ['', withKey({ body: { event_id: 'sensor', sensor_data: 7 } }), 400, 'bad_request'],
      ['?wait=2h', withKey({ body: { event_id: 'evac' } }), 400, 'bad_request'],
      ['?wait=1s&quorum=0', withKey({ body: { event_id: 'evac' } }), 400, 'bad_request'],
      [`?api_key=K&payload=${'*'.repeat(8)}`, {}, 400, 'bad_request'],
      [`?api_key=K&payload=${base64('text')}`, {}, 400, 'bad_request'],
      [
        `?api_key=K&payload=${encodeURIComponent(base64({ event_id: 'evac', x: 'y'.repeat(9_000) }))}`,
        {},
        413,
        'too_large',
      ],
      ['?event_id=post-only&api_key=K', {}, 405, 'method_not_allowed'],
      ['', withKey({ method: 'PUT', body: {} }), 405, 'method_not_allowed'],
      ['/evac', withKey({ method: 'DELETE' }), 405, 'method_not_allowed'],
    ];
    const fired = await countTriggers('evac', 'fired');
    for (const [suffix, how, status, code] of bad) {
      const answer = await call(suffix.replace('api_key=K', `api_key=${key}`), how);
      const name = `${suffix} ${JSON.stringify(how).slice(0, 120)}: ${JSON.stringify(answer.body)}`;
      assert.equal(answer.status, status, name);
      assert.equal(answer.body.message, 'Error', name);
      assert.equal(answer.body.error.code, code, name);
    }
    assert.equal(await countTriggers('evac', 'fired'), fired);
  });

  test('a key for other events or other addresses is not allowed', async () => {
    const narrow = await makeTriggerKey(server, { event_ids: ['toast'] });
    const elsewhere = await makeTriggerKey(server, { allowed_ips: ['203.0.113.0/24'] });
    const reader = await makeTriggerKey(server, { scopes: ['read'] });
    for (const other of [narrow, elsewhere, reader]) {
      const { status, body } = await call('', { key: other, body: { event_id: 'evac' } });
      assert.deepEqual([status, body.error.code], [403, 'not_allowed']);
    }
    assert.equal(
      (await call('', { key: narrow, body: { event_id: 'toast', alert: { title: 'x' } } })).status,
      200,
    );
  });

  test('callers that cannot shape their body use the path', async () => {
    const bodies: [string, string | Uint8Array, string][] = [
      ['application/json', '{"alert":{"title":"Hot"}}', 'T: Hot'],
      ['application/vnd.api+json', '{"alert":{"title":"Hot"}}', 'T: Hot'],
      ['application/xml', '<alert><title>Hot</title></alert>', 'T: Hot'],
      ['text/plain', 'anything at all', 'T: '],
    ];
    for (const [type, raw, message] of bodies) {
      const { status, body } = await call('/toast', withKey({ raw, headers: { 'content-type': type } }));
      assert.equal(status, 200, `${type}: ${JSON.stringify(body)}`);
      assert.equal((await traceOf(server, body.trigger_id)).commands[0].params.message, message, type);
    }
    const { body } = await call('/toast?x=1', withKey({ raw: '', method: 'POST' }));
    assert.equal((await traceOf(server, body.trigger_id)).commands[0].params.message, 'T: 1');
    const bomb = '<!DOCTYPE a [<!ENTITY b "c">]><a>&b;</a>';
    assert.equal(
      (await call('/toast', withKey({ raw: bomb, headers: { 'content-type': 'text/xml' } }))).status,
      400,
    );
  });

  test('a GET that nobody meant does not fire, and the log says so', async () => {
    const unmeant: Record<string, string>[] = [
      { 'sec-purpose': 'prefetch;prerender' },
      { purpose: 'prefetch' },
      { 'x-moz': 'prefetch' },
      { 'sec-fetch-site': 'cross-site', 'sec-fetch-mode': 'no-cors', 'sec-fetch-dest': 'image' },
      { 'sec-fetch-site': 'cross-site', 'sec-fetch-mode': 'navigate', 'sec-fetch-dest': 'iframe' },
      { 'user-agent': 'Slackbot-LinkExpanding 1.0 (+https://api.slack.com/robots)' },
      { 'user-agent': 'WhatsApp/2.23.20.0' },
      { 'user-agent': 'facebookexternalhit/1.1' },
    ];
    const fired = await countTriggers('evac', 'fired');
    const seen = await countTriggers('evac', 'seen');
    // Not by fetch, which sends a sec-fetch-mode of its own.
    const open = async (headers: Record<string, string>) =>
      (await undici.request(`${server.url}${path}?event_id=evac&api_key=${key}`, { headers })).statusCode;
    for (const headers of unmeant) assert.equal(await open(headers), 204, JSON.stringify(headers));
    assert.equal((await call(`?event_id=evac&api_key=${key}`, { method: 'HEAD' })).status, 204);
    assert.equal(await countTriggers('evac', 'fired'), fired);
    assert.equal(await countTriggers('evac', 'seen'), seen + unmeant.length + 1);
    const meant: Record<string, string>[] = [
      { 'sec-fetch-site': 'none', 'sec-fetch-mode': 'navigate', 'sec-fetch-dest': 'document' },
      { 'sec-fetch-site': 'cross-site', 'sec-fetch-mode': 'navigate', 'sec-fetch-dest': 'document' },
      { 'sec-fetch-site': 'same-origin', 'sec-fetch-mode': 'cors', 'sec-fetch-dest': 'empty' },
      { 'user-agent': 'curl/8.0' },
    ];
    for (const headers of meant) assert.equal(await open(headers), 200, JSON.stringify(headers));
    assert.equal(await countTriggers('evac', 'fired'), fired + meant.length);
  });

  test('an action that asks first shows a page, whose button posts', async () => {
    const suffix = `?event_id=ask-first&api_key=${key}`;
    const page = await call(suffix, { headers: { accept: 'text/html' } });
    assert.equal(page.status, 200);
    assert.match(page.body, /<form method="post">/);
    assert.match(page.body, /Evacuate &lt;now&gt;/);
    assert.equal(await countTriggers('ask-first', 'fired'), 0);
    const done = await call(suffix, {
      raw: '',
      method: 'POST',
      headers: { accept: 'text/html', 'content-type': 'application/x-www-form-urlencoded' },
    });
    assert.equal(done.status, 200);
    assert.match(done.headers.get('content-type') ?? '', /html/);
    assert.equal(await countTriggers('ask-first', 'fired'), 1);
  });

  test('an Idempotency-Key replays the first answer, also of calls that overlap', async () => {
    const headers = { 'idempotency-key': `once-${crypto.randomUUID()}` };
    const fired = await countTriggers('toast', 'fired');
    const calls = Array.from({ length: 8 }, () =>
      call('', withKey({ headers, body: { event_id: 'toast', x: 1 } })),
    );
    const answers = await Promise.all(calls);
    const again = await call('', withKey({ headers, body: { event_id: 'toast', x: 1 } }));
    assert.deepEqual(new Set([...answers, again].map((answer) => answer.body.trigger_id)).size, 1);
    assert.equal(answers.filter((answer) => answer.headers.get('idempotent-replay') === 'true').length, 7);
    assert.equal(again.headers.get('idempotent-replay'), 'true');
    assert.equal(await countTriggers('toast', 'fired'), fired + 1);
    const other = await call('', withKey({ headers, body: { event_id: 'toast', x: 2 } }));
    assert.deepEqual([other.status, other.body.error.code], [409, 'idempotency_conflict']);
    const elsewhere = await call('', {
      key: await makeTriggerKey(server),
      headers,
      body: { event_id: 'toast', x: 2 },
    });
    assert.equal(elsewhere.status, 200);
  });

  test('a dry run names the devices and issues nothing', async () => {
    const fired = await countTriggers('evac', 'fired');
    for (const [suffix, body] of [
      ['?dry_run=true', { event_id: 'evac' }],
      ['', { event_id: 'evac', dry_run: true }],
    ] as const) {
      const answer = await call(suffix, withKey({ body }));
      assert.equal(answer.body.dry_run, true);
      assert.deepEqual(
        answer.body.commands[0].devices.map((device: { name: string }) => device.name),
        ['one'],
      );
    }
    assert.equal(await countTriggers('evac', 'fired'), fired);
  });

  test('a wait ends when the quorum has applied, or when time is up', async () => {
    const device = await makeDevice(server, { name: 'waiting', tags: ['wait'] });
    await makeDevice(server, { name: 'never', tags: ['wait'] });
    await makeStep(server, 'wait', 'show_toast', { message: 'wait' }, { tags: ['wait'] });
    const connected = await server.device(device.token);
    const half = call('?wait=20s&quorum=50%25', withKey({ body: { event_id: 'wait' } }));
    const mine = () => connected.commands.some((command) => command.params.message === 'wait');
    await waitFor(mine, { what: 'the command' });
    await connected.applyAll();
    const { body } = await half;
    assert.deepEqual(
      { ...body.coverage, missing: [] },
      { targeted: 2, applied: 1, failed: 0, missing: [], reached: true },
    );
    const late = await call('?wait=50ms', withKey({ body: { event_id: 'wait' } }));
    assert.equal(late.body.coverage.reached, false);
    assert.deepEqual(
      late.body.coverage.missing.map((missing: { name: string }) => missing.name),
      ['waiting', 'never'],
    );
  });

  test('a refused call of a good key stands in the trigger log with its reason', async () => {
    await call('', withKey({ body: { event_id: 'strict' } }));
    const { body } = await server.api('/triggers?event_id=strict&status=refused');
    assert.match(body.items[0].reason, /^bad_params: /);
  });

  test('no key shows up in the log or in the trace', async () => {
    await call(`?event_id=evac&api_key=${key}&x=1`);
    const { trigger_id } = await fire(server, 'evac');
    assert.ok(!JSON.stringify(await traceOf(server, trigger_id)).includes(key));
    const { body } = await server.api('/triggers?event_id=evac');
    const trace = await traceOf(server, body.items[1].id);
    assert.deepEqual(trace.call.query, { event_id: 'evac', x: '1' });
    assert.ok(!server.logged.join('').includes(key));
  });
});
