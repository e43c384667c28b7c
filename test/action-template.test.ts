/** What actions make of templates and URLs, from the saving to the device. */
import assert from 'node:assert/strict';
import { before, test } from 'node:test';
import { bodyOf, codeOf, makeTenant, oneServer, type Tenant } from './support/management.ts';
import { onEveryDatabase, request } from './support/server.ts';

type Params = Record<string, unknown>;
const all = { all: true };

onEveryDatabase('templates of actions', (start) => {
  const server = oneServer(start);
  let of: Tenant;
  before(async () => {
    of = await makeTenant(server(), 'Templates', ['manage', 'trigger', 'command']);
    await of.make('/devices', { name: 'screen' });
  });
  let made = 0;
  const save = (name: string, params: Params) => {
    made += 1;
    const steps = [{ function: name, params, target: all }];
    return of.api('/actions', { body: { event_id: `filled-${made}`, name: 'Filled', steps } });
  };
  const call = async (name: string, params: Params, payload: object) => {
    const { event_id } = bodyOf(await save(name, params), 201);
    return server().trigger({ event_id, ...payload }, { key: of.key });
  };
  /** The params that devices get. */
  const fire = async (name: string, params: Params, payload: object = {}): Promise<Params> => {
    const { trigger_id } = bodyOf(await call(name, params, payload), 200);
    return bodyOf(await of.api(`/triggers/${trigger_id}`), 200).commands[0].params;
  };
  const toast = async (message: string, payload: object) =>
    (await fire('show_toast', { message }, payload)).message;

  const normal: [string, string][] = [
    ['https://münchen.example/ü?q=a b', 'https://xn--mnchen-3ya.example/%C3%BC?q=a%20b'],
    ['HTTPS://Example.COM', 'https://example.com/'],
    [' https://example.com/a b \n', 'https://example.com/a%20b'],
    ['http://例え.テスト:8080/パス#ä', 'http://xn--r8jz45g.xn--zckzah:8080/%E3%83%91%E3%82%B9#%C3%A4'],
    ['https://example.com/%20?a=%C3%BC', 'https://example.com/%20?a=%C3%BC'],
    ['https://example.com/a|b"c', 'https://example.com/a|b%22c'],
  ];

  test('I10: URLs are taken as people write them, and devices get them as machines do', async () => {
    for (const [url, expected] of normal) {
      assert.deepEqual(await fire('load_url', { url }), { url: expected }, url);
      assert.deepEqual(await fire('load_url', { url: '{{ payload.url }}' }, { url }), { url: expected }, url);
      const shown = await fire('enable_emergency', { message: 'Out!', url: ' {{ payload.url }} ' }, { url });
      assert.deepEqual(shown, { message: 'Out!', url: expected }, url);
      const command = { function: 'load_url', params: { url }, target: all };
      const { id } = bodyOf(await of.api('/commands', { body: command }), 201);
      assert.deepEqual(bodyOf(await of.api(`/commands/${id}`), 200).params, { url: expected }, url);
    }
    const { steps } = bodyOf(await save('load_url', { url: normal[0]?.[0] }), 201);
    assert.equal(steps[0].params.url, normal[0]?.[0], 'kept as it was given');
  });

  test('I10: values in a URL are components of it', async () => {
    const payload = { room: 'Saal 1/2 & "Foyer"', up: '..', q: 'ü=?#', list: [1], zero: 0 };
    const cases: [string, string][] = [
      [
        'https://maps.example/{{ payload.room }}?q={{ payload.q }}',
        'https://maps.example/Saal%201%2F2%20%26%20%22Foyer%22?q=%C3%BC%3D%3F%23',
      ],
      ['https://münchen.example/ü {{ payload.zero }}', 'https://xn--mnchen-3ya.example/%C3%BC%200'],
      ['https://maps.example/a/{{ payload.up }}/b', 'https://maps.example/a//b'],
      [
        'https://maps.example/?l={{ payload.list }}&g={{ payload.gone }}',
        'https://maps.example/?l=%5B1%5D&g=',
      ],
      ["https://maps.example/{{ payload.gone | 'lobby 1' }}", 'https://maps.example/lobby%201'],
      ["{{ payload.gone | 'https://maps.example/a b' }}", 'https://maps.example/a%20b'],
    ];
    for (const [url, expected] of cases)
      assert.deepEqual(await fire('load_url', { url }, payload), { url: expected }, url);
  });

  test('I10: the scheme is looked at when the URL is filled', async () => {
    for (const url of [
      'ftp://example.com/',
      'javascript:alert(1)',
      'example.com',
      'https://',
      'data:text/html,x',
    ]) {
      const answer = await call('load_url', { url: '{{ payload.url }}' }, { url });
      assert.deepEqual(codeOf(answer), [422, 'bad_params'], url);
      assert.deepEqual(codeOf(await save('load_url', { url })), [422, 'bad_params'], url);
      const shown = await fire('enable_emergency', { message: 'Out!', url: '{{ payload.url }}' }, { url });
      assert.deepEqual(shown, { message: 'Out!' }, url);
    }
  });

  test('I10: the host of a URL can not come from a value beside other text', async () => {
    const foreign = [
      'https://{{ payload.host }}/a',
      'https://example.com{{ payload.host }}/a',
      'https://example.com:{{ payload.port }}/',
      'https://{{ payload.user }}@example.com/',
      '{{ payload.base }}/a',
      '{{ payload.a }}{{ payload.b }}',
      'ftp://example.com/{{ payload.a }}',
    ];
    for (const url of foreign) {
      const answer = await save('enable_emergency', { message: 'Out!', url });
      assert.deepEqual(codeOf(answer), [422, 'bad_template'], url);
      assert.equal(answer.body.errors[0].path, 'steps[0].params.url');
    }
  });

  test('I10: what was saved before that rule still fires, without the URL', async () => {
    const { event_id, steps } = bodyOf(await save('enable_emergency', { message: 'Out!' }), 201);
    const old = [{ ...steps[0], params: { message: 'Out!', url: 'https://{{ payload.host }}/a' } }];
    await server()
      .ctx.db.updateTable('actions')
      .set({ steps_json: JSON.stringify(old) })
      .where('event_id', '=', event_id)
      .execute();
    const answer = bodyOf(await server().trigger({ event_id, host: 'example.com' }, { key: of.key }), 200);
    const { commands } = bodyOf(await of.api(`/triggers/${answer.trigger_id}`), 200);
    assert.deepEqual(commands[0].params, { message: 'Out!' });
  });

  test('I13: a text that is JSON can be looked into', async () => {
    const { event_id } = bodyOf(
      await save('show_toast', { message: '{{ payload.payload.ref }} {{ payload.payload.commits[0].id }}' }),
      201,
    );
    const body = new URLSearchParams({ payload: JSON.stringify({ ref: 'x', commits: [{ id: 'c1' }] }) });
    const answer = await request(`${server().url}/public-api/integration/webhooks/${event_id}`, {
      key: of.key,
      raw: body.toString(),
      headers: { 'content-type': 'application/x-www-form-urlencoded' },
    });
    const { commands } = bodyOf(await of.api(`/triggers/${bodyOf(answer, 200).trigger_id}`), 200);
    assert.equal(commands[0].params.message, 'x c1');
    const when = { path: 'payload.payload.ref', op: '=', value: 'x' };
    const steps = [{ function: 'show_toast', params: { message: 'Hi' }, target: all, when }];
    bodyOf(await of.api('/actions', { body: { event_id: 'when-inside', steps } }), 201);
    const fired = async (payload: string) =>
      bodyOf(await server().trigger({ event_id: 'when-inside', payload }, { key: of.key }), 200).commands
        .length;
    assert.deepEqual(
      [await fired('{"ref":"x"}'), await fired('{"ref":"y"}'), await fired('{"ref"')],
      [1, 0, 0],
    );
  });

  test('I16: names of any kind are found', async () => {
    const payload = {
      'Alarm Status': 'on',
      'PM2.5': 12,
      Straße: 'Ring',
      '24h': 24,
      '@type': 'Alarm',
      'soap:Envelope': { Body: 'b' },
    };
    const cases: [string, string][] = [
      ['{{ payload["Alarm Status"] }}', 'on'],
      ["{{ payload['PM2.5'] }}!", '12!'],
      ['{{ payload.Straße }}', 'Ring'],
      ['{{ payload.24h }}', '24'],
      ['{{ payload.@type }}', 'Alarm'],
      ['{{ payload.soap:Envelope.Body }}', 'b'],
    ];
    for (const [message, expected] of cases) assert.equal(await toast(message, payload), expected, message);
  });

  test('O25: something else for what is missing or blank', async () => {
    const cases: [string, object, string][] = [
      ["{{ payload.who | 'somebody' }} is here", {}, 'somebody is here'],
      ["{{ payload.who | 'somebody' }} is here", { who: ' ' }, 'somebody is here'],
      ["{{ payload.who | 'somebody' }} is here", { who: 'Ada' }, 'Ada is here'],
      ['{{ payload.n | 0 }} left', { n: null }, '0 left'],
      ['{{ payload.n | 7 }} left', { n: 0 }, '0 left'],
      ['{{ payload.yes | true }}', {}, 'true'],
      ['{{ json payload }}', { a: ['b'] }, '{"a":["b"]}'],
    ];
    for (const [message, payload, expected] of cases)
      assert.equal(await toast(message, payload), expected, message);
    const params = {
      message: 'Out!',
      priority: '{{ payload.priority | 70 }}',
      level: "{{ payload.level | 'info' }}",
    };
    assert.deepEqual(await fire('enable_emergency', params), {
      message: 'Out!',
      priority: 70,
      level: 'info',
    });
  });

  test('a broken template is named with its step, its param and its place', async () => {
    const answer = await save('show_toast', { message: 'It is {{ payload..x }}' });
    assert.deepEqual(codeOf(answer), [422, 'bad_template']);
    assert.match(
      answer.body.detail,
      /^step 1: message: "\{\{ payload\.\.x \}\}" at position 6: .*position 17/,
    );
    assert.equal(answer.body.errors[0].path, 'steps[0].params.message');
  });
});
