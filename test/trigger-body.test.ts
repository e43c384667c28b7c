/** What callers send to the trigger routes, and what comes of it: the words arrive, or nothing is fired and all is told. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { gzipSync } from 'node:zlib';
import { makeDevice, makeStep, makeTriggerKey, traceOf } from './support/fleet.ts';
import { bodyOf, codeOf, oneServer } from './support/management.ts';
import { type Call, onEveryDatabase, request } from './support/server.ts';
import { waitFor } from './support/wait.ts';

const path = '/public-api/integration/webhooks';
const json = 'application/json';
const form = 'application/x-www-form-urlencoded';
const words = 'Gebäude räumen: Ausgang Süd';
const latin = (text: string) => Buffer.from(text, 'latin1');

onEveryDatabase('bodies of triggers', (start) => {
  let second = 0;
  const server = oneServer((options) => start({ ...options, now: () => Date.now() + second * 1_000 }));
  /** With a key of its own unless said otherwise, so that one call does not hide another in the log. */
  const call = async (suffix: string, raw: Call['raw'], type?: string, more: Call = {}) => {
    const key = more.key ?? (await makeTriggerKey(server()));
    const headers = { ...(type === undefined ? {} : { 'content-type': type }), ...more.headers };
    // As bytes, or fetch would announce a text.
    const bytes = typeof raw === 'string' ? Buffer.from(raw) : raw;
    return request(server().url + path + suffix, {
      method: 'POST',
      ...more,
      key: null,
      headers: { 'x-webhook-apikey': key, ...headers },
      ...(bytes === undefined ? {} : { raw: bytes }),
    });
  };
  let steps = 0;
  const newStep = async (fn: string, params: object): Promise<string> => {
    steps += 1;
    await makeStep(server(), `step-${steps}`, fn, params);
    return `step-${steps}`;
  };
  /** The params of the one command that the call has issued. */
  const paramsOf = async (answer: Awaited<ReturnType<typeof call>>) => {
    const { trigger_id } = bodyOf(answer, 200);
    return (await traceOf(server(), trigger_id)).commands[0].params;
  };
  const listOf = async (eventId: string) =>
    (await server().api(`/triggers?event_id=${eventId}&limit=200`)).body.items as {
      status: string;
      reason: string | null;
      source: string;
    }[];

  const parts = (name: string, value: string) =>
    `--b\r\nContent-Disposition: form-data; name="${name}"\r\n\r\n${value}\r\n--b--\r\n`;
  const multipart = 'multipart/form-data; boundary=b';
  /** Every kind of body that says the words as `message`, and the one that has nothing but them. */
  const named: [type: string | undefined, raw: string | Uint8Array, path?: string][] = [
    [json, JSON.stringify({ message: words })],
    ['text/plain', JSON.stringify({ message: words })],
    ['application/octet-stream', JSON.stringify({ message: words })],
    [form, JSON.stringify({ message: words })],
    [undefined, JSON.stringify({ message: words })],
    [`${json}; charset=iso-8859-1`, latin(JSON.stringify({ message: words }))],
    [json, `\uFEFF${JSON.stringify({ message: words })}`],
    [json, Buffer.from(`\uFEFF${JSON.stringify({ message: words })}`, 'utf16le')],
    [form, new URLSearchParams({ message: words }).toString()],
    [`${form}; charset=ISO-8859-1`, 'message=Geb%E4ude+r%E4umen:+Ausgang+S%FCd'],
    [multipart, parts('message', words)],
    ['multipart/form-data', parts('message', words)],
    ['application/xml', `<alarm><message>${words}</message></alarm>`, 'alarm.message'],
    ['text/plain', `<alarm><message lang="de">${words}</message></alarm>`, 'alarm.message'],
    [form, `<a><m l="de">Geb&#228;ude r&#xE4;umen: <b>Ausgang</b> Süd</m><m l="en">Leave</m></a>`, 'a.m'],
    ['text/xml', latin(`<?xml version="1.0" encoding="ISO-8859-1"?><m>${words}</m>`), 'm'],
  ];
  const plain: typeof named = [
    ['text/plain', words],
    ['text/plain; charset=windows-1252', latin(words)],
    [undefined, words],
    [form, words],
    ['application/octet-stream', words],
  ];
  /** Every function that can say something, and where the words are found. What an address may hold has rules of its own. */
  const functions: [fn: string, params: (place: string) => object, said: (params: unknown) => unknown][] = [
    ['enable_emergency', (at) => ({ message: `{{ ${at} }}` }), (p) => (p as { message: string }).message],
    ['show_toast', (at) => ({ message: `{{ ${at} }}` }), (p) => (p as { message: string }).message],
    [
      'send_sensor_event',
      (at) => ({ id: 's1', event: `{{ ${at} }}`, value: `{{ ${at} }}` }),
      (p) => (p as { value: string }).value,
    ],
    ['refresh_datasource', (at) => ({ datasource_id: `{{ ${at} }}` }), (p) => Object.values(p as object)[0]],
    [
      'custom',
      (at) => ({ action: 'say', parameters: { deep: [`say {{ ${at} }}`] } }),
      (p) => (p as { parameters: { deep: string[] } }).parameters.deep[0]?.slice(4),
    ],
  ];

  test('I1, I2, I3, I12, I14, I15: the words arrive, of every kind of body and by every function', async () => {
    const key = await makeTriggerKey(server());
    const fields = [...new Set(named.map(([, , at = 'message']) => at))];
    for (const [fn, params, said] of functions) {
      const events = new Map<string, string>();
      for (const at of fields) events.set(at, await newStep(fn, params(`payload.${at}`)));
      events.set('', await newStep(fn, params('payload')));
      for (const [type, raw, at = 'message'] of [
        ...named,
        ...plain.map(([type, raw]) => [type, raw, ''] as const),
      ]) {
        const answer = await call(`/${events.get(at)}`, raw, type, { key });
        assert.equal(said(await paramsOf(answer)), words, `${fn}: ${type}: ${raw}`);
        assert.equal(answer.body.warnings, undefined, `${fn}: ${type}`);
      }
    }
  });

  test('I1, I2, I3: the path without the event takes them too', async () => {
    const event_id = await newStep('show_toast', { message: '{{ payload.message }}' });
    const key = await makeTriggerKey(server());
    const bodies: [string | undefined, string | Uint8Array][] = [
      ['text/plain', JSON.stringify({ event_id, message: words })],
      [undefined, JSON.stringify({ event_id, message: words })],
      ['application/octet-stream', `\uFEFF${JSON.stringify({ event_id, message: words })}\0`],
      [`${form}; charset=latin1`, `event_id=${event_id}&message=Geb%E4ude+r%E4umen:+Ausgang+S%FCd`],
      [multipart, parts('event_id', event_id).replace(/--b--\r\n$/, '') + parts('message', words)],
    ];
    for (const [type, raw] of bodies)
      assert.equal((await paramsOf(await call('', raw, type, { key }))).message, words, `${type}`);
    assert.deepEqual(codeOf(await call(`?event_id=${event_id}`, words, 'text/plain', { key })), [
      415,
      'unsupported_media_type',
    ]);
    assert.deepEqual(codeOf(await call(`?event_id=${event_id}`, 'fire', form, { key })), [
      415,
      'unsupported_media_type',
    ]);
  });

  test('I3: what a form in parts loses is said', async () => {
    const event_id = await newStep('show_toast', { message: '{{ payload.message }}' });
    const data = new FormData();
    data.append('message', words);
    data.append('photo', new Blob(['x'], { type: 'image/png' }), 'x.png');
    const response = new Response(data);
    const type = response.headers.get('content-type') ?? '';
    const bytes = new Uint8Array(await response.arrayBuffer());
    const answer = await call(`/${event_id}`, bytes, type);
    assert.equal((await paramsOf(answer)).message, words);
    assert.deepEqual(answer.body.warnings, ['the file "photo" was left out']);
    const tried = await call(`/${event_id}?dry_run=true`, bytes, type);
    assert.deepEqual(tried.body.warnings, ['the file "photo" was left out']);
  });

  test('I1, I2, I3, I19: what can not be read fires nothing and is in the trigger log', async () => {
    const bad: [type: string | undefined, raw: string | Uint8Array, status: number, more?: Call][] = [
      [form, latin('message=Geb\u00e4ude'), 400],
      [form, 'message=Geb%E4ude', 400],
      [json, '{"message":', 400],
      ['text/plain', '{"message":"Leave"', 400],
      [undefined, '<alarm>Leave</alar>', 400],
      ['text/plain; charset=x-klingon', 'Leave', 415],
      ['image/png', Buffer.from([0x89, 0x50, 0x4e, 0x47, 0x0d]), 415],
      [multipart, '--b\r\nContent-Disposition: form-data; name="a"\r\n\r\nLeave', 400],
      [json, '{}', 400, { headers: { 'content-encoding': 'gzip' } }],
      [json, '{}', 415, { headers: { 'content-encoding': 'rot13' } }],
      [json, JSON.stringify({ message: 'x'.repeat(300_000) }), 413],
      [
        json,
        gzipSync(JSON.stringify({ message: 'x'.repeat(300_000) })),
        413,
        { headers: { 'content-encoding': 'gzip' } },
      ],
    ];
    const event_id = await newStep('show_toast', { message: 'x' });
    for (const [place, [type, raw, status, more]] of bad.entries()) {
      const answer = await call(`/${event_id}`, raw, type, more);
      const [got, code] = codeOf(answer);
      assert.equal(got, status, `${type}: ${raw}`.slice(0, 100));
      assert.equal(answer.body.message, 'Error');
      const rows = await listOf(event_id);
      assert.equal(rows.length, place + 1);
      assert.deepEqual([rows[0]?.status, rows[0]?.source], ['refused', 'post']);
      assert.equal(rows[0]?.reason, `${code}: ${answer.body.error.detail}`);
    }
    const query = await call(`/${event_id}?message=%E4`, '{}', json);
    assert.deepEqual(codeOf(query), [400, 'bad_request']);
    const named = await call('', JSON.stringify({ event_id, wait: '2h' }), json);
    assert.deepEqual(codeOf(named), [400, 'bad_request']);
    assert.equal((await listOf(event_id)).length, bad.length + 2);
  });

  test('I19: a flood of them leaves one entry a second for each key', async () => {
    const event_id = await newStep('show_toast', { message: 'x' });
    const keys = [await makeTriggerKey(server()), await makeTriggerKey(server())];
    const flood = () =>
      Promise.all(
        Array.from({ length: 20 }, (_, place) =>
          call(`/${event_id}`, '{', json, { key: keys[place % 2] ?? '' }),
        ),
      );
    const before = second;
    second = before + 1;
    await flood();
    const first = (await listOf(event_id)).length;
    assert.ok(first >= 2 && first <= 6, `${first} entries`);
    second = before + 10;
    await flood();
    assert.ok((await listOf(event_id)).length >= first + 2);
    assert.ok((await listOf(event_id)).every(({ status }) => status === 'refused'));
    const { body } = await request(`${server().url}/metrics`);
    assert.match(body, /fleethook_triggers_total\{[^}]*outcome="bad_request"\} (?:[4-9]\d|\d{3})/);
  });

  test('I24, I25: blanks and packed nothing are as no body', async () => {
    const event_id = await newStep('show_toast', { message: 'fixed' });
    const key = await makeTriggerKey(server());
    for (const [type, raw, encoding] of [
      [json, ' \r\n\t', 'identity'],
      [json, '', 'gzip'],
      [json, gzipSync(''), 'gzip'],
      [json, gzipSync(' '), 'x-gzip'],
      [form, '\n', 'identity'],
      ['application/xml', '\uFEFF', 'identity'],
    ] as const)
      for (const suffix of [`/${event_id}`, `?event_id=${event_id}`]) {
        const headers = { 'content-encoding': encoding };
        assert.equal((await call(suffix, raw, type, { key, headers })).status, 200, `${type} ${encoding}`);
      }
    const packed = { key, headers: { 'content-encoding': 'x-gzip' } };
    assert.equal((await call('', gzipSync(JSON.stringify({ event_id })), json, packed)).status, 200);
  });

  test('I11: sensor_data that is none is payload, where the body is not of our shape', async () => {
    const event_id = await newStep('show_toast', {
      message: 'T: {{ payload.sensor_data }}{{ sensor_data.id }}',
    });
    const key = await makeTriggerKey(server());
    const given: [unknown, string][] = [
      [7, 'T: 7'],
      ['offline', 'T: offline'],
      [[1, 2], 'T: [1,2]'],
      [null, 'T: '],
      [true, 'T: true'],
      [`{a:${'['.repeat(70)}${']'.repeat(70)}}`, `T: {a:${'['.repeat(70)}${']'.repeat(70)}}`],
      ["{id: 's1'}", "T: {id: 's1'}s1"],
      [{ id: 's1' }, 'T: {"id":"s1"}s1'],
    ];
    for (const [sensor_data, message] of given) {
      const answer = await call(`/${event_id}`, JSON.stringify({ sensor_data }), json, { key });
      assert.equal((await paramsOf(answer)).message, message);
      if (sensor_data === null || String(sensor_data).includes('id') || typeof sensor_data === 'object')
        continue;
      const ours = await call('', JSON.stringify({ event_id, sensor_data }), json, { key });
      assert.deepEqual(codeOf(ours), [400, 'bad_request'], JSON.stringify(sensor_data));
    }
  });

  test('I22: a Base64 payload may be wrapped', async () => {
    const event_id = await newStep('show_toast', { message: '{{ payload.message }}' });
    const key = await makeTriggerKey(server());
    const payload = Buffer.from(JSON.stringify({ event_id, message: words, fill: 'x'.repeat(200) }))
      .toString('base64')
      .replace(/.{76}/g, '$&\r\n');
    for (const method of ['GET', 'POST']) {
      const answer = await request(
        `${server().url}${path}?api_key=${key}&payload=${encodeURIComponent(payload)}`,
        { key: null, method },
      );
      assert.equal((await paramsOf(answer)).message, words, method);
    }
    const bad = await request(`${server().url}${path}?api_key=${key}&event_id=${event_id}&payload=*`, {
      key: null,
    });
    assert.deepEqual(codeOf(bad), [400, 'bad_request']);
    const [row] = await listOf(event_id);
    assert.deepEqual(
      [row?.status, row?.source, row?.reason],
      ['refused', 'get', 'bad_request: payload is not Base64'],
    );
  });

  test('I6: numbers are exact, from the call to the device, the log and the API', async () => {
    const big = '9123456789654321987';
    const far = '0.12345678901234567890123';
    const text = async (suffix: string, how: Call = {}) => {
      const response = await fetch(server().url + suffix, {
        method: how.raw === undefined ? 'GET' : 'POST',
        headers: {
          authorization: `Bearer ${how.key ?? server().env.FLEETHOOK_ADMIN_KEY}`,
          'content-type': json,
        },
        ...(how.raw === undefined ? {} : { body: how.raw as string }),
      });
      return { status: response.status, text: await response.text() };
    };
    const device = await makeDevice(server(), { name: 'exact', tags: ['exact'] });
    const connected = await server().device(device.token);
    const frames: string[] = [];
    connected.socket.io.engine.on('packet', ({ data }: { data?: unknown }) => frames.push(String(data)));

    const custom = `{"function":"custom","params":{"action":"x","parameters":{"fixed":${big},"id":"{{ payload.id }}","far":"{{ sensor_data.far }}","deep":"{{ payload.deep }}"}},"target":{"tags":["exact"]}}`;
    const sensor = '{"function":"send_sensor_event","target":{"tags":["exact"]}}';
    const toast =
      '{"function":"show_toast","params":{"message":"{{ payload.id }}"},"target":{"tags":["exact"]}}';
    const source =
      '{"function":"refresh_datasource","params":{"datasource_id":"{{ payload.id }}"},"target":{"tags":["exact"]}}';
    const action = `{"event_id":${big},"steps":[${[custom, sensor, toast, source].join()}]}`;
    const made = await text('/api/v1/actions', { raw: action });
    assert.equal(made.status, 201, made.text);
    assert.ok(made.text.includes(`"event_id":"${big}"`) && made.text.includes(`"fixed":${big}`), made.text);

    const rest = `"id":${big},"deep":{"a":[${big},1e400]}`;
    const spellings = [
      `{"event_id":${big},"sensor_data":{"id":${big},"event":true,"value":1e400,"far":${far}},${rest}}`,
      `{"eventId":"${big}","sensor_data":"{id: ${big}, event: true, value: 1e400, far: ${far}}",${rest}}`,
    ];
    for (const raw of spellings) {
      const fired = await text(path, { raw });
      assert.equal(fired.status, 200, fired.text);
      const { trigger_id, commands } = JSON.parse(fired.text);
      const trace = await text(`/api/v1/triggers/${trigger_id}`);
      for (const said of [`"id":${big}`, `"far":${far}`, `"value":1e400`, `"a":[${big},1e400]`])
        assert.ok(trace.text.slice(trace.text.indexOf('"call"')).includes(said), `${said} in ${trace.text}`);
      const wanted = [
        `"parameters":{"fixed":${big},"id":${big},"far":${far},"deep":{"a":[${big},1e400]}}`,
        `"id":${big},"event":true,"value":1e400`,
        `"message":"${big}"`,
        `"datasource_id":${big}`,
      ];
      for (const [place, said] of wanted.entries()) {
        const id = commands[place].id as string;
        const shown = await text(`/api/v1/commands/${id}`);
        assert.ok(shown.text.includes(said), `${said} in ${shown.text}`);
        const sent = () => frames.find((frame) => frame.includes(id));
        await waitFor(sent, { what: `command ${id}` });
        assert.ok(sent()?.includes(said), `${said} in ${sent()}`);
      }
    }

    const direct = await text('/api/v1/commands', {
      raw: `{"function":"custom","params":{"action":"x","parameters":{"id":${big}}},"target":{"devices":[${device.id}]}}`,
    });
    assert.equal(direct.status, 201, direct.text);
    assert.ok((await text(`/api/v1/commands/${JSON.parse(direct.text).id}`)).text.includes(`{"id":${big}}`));
    const ids = await text('/api/v1/commands', {
      raw: `{"function":"refresh_content","target":{"devices":[${big}]}}`,
    });
    assert.equal(ids.status, 400, ids.text);
    const seconds = `{"function":"refresh_content","params":{"expires_in":${big}},"target":{"all":true}}`;
    assert.equal((await text('/api/v1/commands', { raw: seconds })).status, 422);

    const link = await text('/api/v1/links', { raw: `{"event_id":"${big}","payload":{"id":${big}}}` });
    assert.equal(link.status, 201, link.text);
    assert.ok(link.text.includes(`"payload":{"id":${big}}`), link.text);
    assert.ok((await text(`/api/v1/links/${JSON.parse(link.text).id}`)).text.includes(`"id":${big}`));

    const metadata = await text(`/api/v1/devices`, {
      raw: `{"name":"of ${big}","metadata":{"serial":${big}}}`,
    });
    assert.equal(metadata.status, 201, metadata.text);
    const { id } = JSON.parse(metadata.text);
    assert.ok((await text(`/api/v1/devices/${id}`)).text.includes(`"serial":${big}`));
  });

  test('I6: a link and an answer that is said again have them too', async () => {
    const big = '9123456789654321985';
    await makeStep(server(), big, 'show_toast', { message: '{{ payload.id }}' });
    const key = await makeTriggerKey(server());
    const headers = { 'idempotency-key': 'one', 'x-webhook-apikey': key };
    const fire = (raw: string) =>
      request(server().url + path, { key: null, raw, headers: { ...headers, 'content-type': json } });
    const body = `{"event_id":${big},"id":${big}}`;
    const [first, again] = [await fire(body), await fire(body)];
    assert.deepEqual(again.body, first.body);
    assert.equal(first.body.event_id, big);
    assert.equal(again.headers.get('idempotent-replay'), 'true');
    assert.deepEqual(codeOf(await fire(body.replace(/5\}$/, '6}'))), [409, 'idempotency_conflict']);
    const raw = `{"event_id":${big},"payload":{"id":${big}}}`;
    const link = bodyOf(await server().api('/links', { raw, headers: { 'content-type': json } }), 201);
    const fired = await request(`${server().url}/l/${link.token}`, { method: 'POST', key: null });
    assert.equal((await paramsOf(fired)).message, big);
  });

  test('I6: an action that an alarm fires has them as the device has said them', async () => {
    const big = '9123456789654321987';
    const make = async (path: string, body: object) => bodyOf(await server().api(path, { body }), 201);
    await make('/device-types', { id: 'counter', name: 'Counters' });
    const device = await makeDevice(server(), { name: 'counter', type: 'counter' });
    const action = await newStep('custom', { action: 'x', parameters: '{{ payload.observation }}' });
    const raw = `{"name":"exactly","level":"info","device_type":"counter","message_type":"count","when":{"path":"id","op":"=","value":${big}},"actions":["${action}"]}`;
    const rule = await server().api('/alarm-rules', { raw, headers: { 'content-type': json } });
    assert.equal(rule.status, 201, JSON.stringify(rule.body));
    const say = (body: string) =>
      request(`${server().url}/messages/count`, {
        key: null,
        raw: body,
        headers: { authorization: `Thing ${device.token}`, 'content-type': json },
      });
    assert.equal((await say('{"id":9123456789654321986}')).status, 202);
    assert.equal((await say(`{"id":${big}}`)).status, 202);
    const [fired] = await waitFor(
      async () => {
        const { body } = await server().api(`/triggers?event_id=${action}`);
        return body.items.length > 0 && body.items;
      },
      { what: 'the trigger of the alarm' },
    );
    const headers = { authorization: `Bearer ${server().env.FLEETHOOK_ADMIN_KEY}` };
    const trace = await (await fetch(`${server().url}/api/v1/triggers/${fired.id}`, { headers })).text();
    assert.ok(trace.includes(`"parameters":{"id":${big}}`), trace);
    assert.ok(trace.includes(`"observation":{"id":${big}}`), trace);
    assert.equal((await listOf(action)).length, 1);
  });

  test('I1, I6, I8, I24, I25: the management API reads as triggers do, of the types it takes', async () => {
    const post = (path: string, raw: string | Uint8Array, headers: Record<string, string>, key?: string) =>
      server().api(path, { raw: Buffer.from(raw), headers, ...(key ? { key } : {}) });
    const good: [string | Uint8Array, Record<string, string>][] = [
      [latin('{"name":"S\u00fcd 1"}'), { 'content-type': `${json}; charset=ISO-8859-1` }],
      ['\uFEFF{"name":"Süd 2"}', { 'content-type': json }],
      [Buffer.from('\uFEFF{"name":"Süd 3"}', 'utf16le'), { 'content-type': json }],
      [gzipSync('{"name":"Süd 4"}'), { 'content-type': json, 'content-encoding': 'x-gzip' }],
      ['{"name":"Süd 5"}', {}],
    ];
    for (const [place, [raw, headers]] of good.entries()) {
      const { status, body } = await post('/groups', raw, headers);
      assert.deepEqual([status, body.name], [201, `Süd ${place + 1}`]);
    }
    const csv = { 'content-type': 'text/csv; charset=windows-1252' };
    const made = await post('/devices', latin('name\nT\u00fcr 1\nT\u00fcr 2\n'), csv);
    assert.deepEqual(
      made.body.items.map(({ name }: { name: string }) => name),
      ['Tür 1', 'Tür 2'],
    );
    const bad: [string | Uint8Array, string, number][] = [
      [latin('{"name":"S\u00fcd"}'), json, 400],
      [latin('name\nT\u00fcr\n'), 'text/csv', 400],
      ['{"name":"x"}', `${json}; charset=x-klingon`, 415],
      ['{"name":"x"}', 'text/plain', 415],
      ['<name/>', json, 400],
      [' \n', json, 400],
    ];
    for (const [raw, type, status] of bad)
      assert.equal((await post('/devices', raw, { 'content-type': type })).status, status, `${type}: ${raw}`);
    const { body: hook } = await server().api('/webhooks', { body: { name: 'x', url: 'https://x.example' } });
    for (const raw of ['', ' \r\n']) {
      const rotated = await post(`/webhooks/${hook.id}/rotate-secret`, raw, { 'content-type': json });
      assert.equal(rotated.status, 200, JSON.stringify(rotated.body));
    }
  });
});
