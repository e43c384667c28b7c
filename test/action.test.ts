import assert from 'node:assert/strict';
import { before, test } from 'node:test';
import { functionCatalogue } from '../src/domain/command/function-catalogue.ts';
import { bodyOf, codeOf, listAll, makeTenant, oneServer, type Tenant } from './support/management.ts';
import { adminKey, type Call, onEveryDatabase, request, type TestDevice } from './support/server.ts';
import { waitFor } from './support/wait.ts';

type Params = Record<string, unknown>;
const url = 'https://example.com/page';
/** Of every function: params that are good, and params that are not. */
const catalogue: Record<string, { good: Params[]; bad: Params[] }> = {
  load_url: {
    good: [{ url }, { url: 'http://10.0.0.1:8080/?a=b', expires_in: 60 }, { url: '{{ payload.url }}' }],
    bad: [
      {},
      { url: 'ftp://example.com/' },
      { url: 'javascript:alert(1)' },
      { url, expires_in: 0 },
      { url, x: 1 },
    ],
  },
  enable_emergency: {
    good: [
      {},
      { message: 'Out!', url, level: 'warning', priority: 100, expires_in: 3_600, drill: true },
      { message: '{{ payload.say }} at {{ payload.list[0] }}', priority: 0 },
    ],
    bad: [
      { level: 'high' },
      { priority: 101 },
      { priority: -1 },
      { url: 'x' },
      { expires_in: 'soon' },
      { drill: 'x' },
    ],
  },
  disable_emergency: { good: [{}], bad: [{ message: 'x' }, { expires_in: 5 }] },
  pause_loop: { good: [{}], bad: [{ expires_in: 5 }, { constructor: '{{ payload.say }}' }] },
  resume_loop: { good: [{}], bad: [{ x: 1 }, { x: '{{ payload.say }}' }] },
  refresh_datasource: {
    good: [{}, { datasource_id: 7 }, { datasource_id: 'a' }],
    bad: [{ datasource_id: {} }],
  },
  refresh_content: { good: [{}, { expires_in: 10 }], bad: [{ url }, { expires_in: 1.5 }] },
  send_sensor_event: {
    good: [{}, { id: 's1', event: 'motion', value: 1 }, { id: 's1', value: '{{ sensor_data.value }}' }],
    bad: [{ id: '' }, { id: {} }, { value: [] }, { other: 1 }],
  },
  restart_device: { good: [{}, { jitter: 30 }, { jitter: 0.5 }], bad: [{ jitter: -1 }, { jitter: 3_601 }] },
  show_toast: {
    good: [{ message: 'Hi' }, { message: '{{ payload.say }}', seconds: 5 }],
    bad: [{}, { message: '' }, { message: 'Hi', seconds: 0 }, { message: '{{ payload.say }}', seconds: 'x' }],
  },
  custom: {
    good: [{ action: 'dim' }, { action: 'dim', parameters: { by: [{ deep: '{{ payload.list[1].x }}' }] } }],
    bad: [{}, { action: '' }, { action: 'dim', parameters: 'all' }, { action: 'dim', parameters: [1] }],
  },
};

const all = { all: true };
const loop = { function: 'pause_loop', target: all };
const toast = (message: string) => ({ function: 'show_toast', params: { message }, target: all });

onEveryDatabase('actions', (start) => {
  const server = oneServer(start, { env: { LOG_LEVEL: 'trace' } });
  let of: Tenant;
  let device: TestDevice;
  before(async () => {
    of = await makeTenant(server(), 'Actions', ['manage', 'trigger']);
    device = await server().device((await of.make('/devices', { name: 'screen' })).token);
  });
  let made = 0;
  const save = (steps: unknown, rest = {}) => {
    made += 1;
    return of.api('/actions', { body: { event_id: `action ${made}`, steps, ...rest } });
  };
  const patch = (event_id: string, body: unknown) =>
    of.api(`/actions/${encodeURIComponent(event_id)}`, { method: 'PATCH', body });
  const commandIds = async () => (await listAll(of.api, '/commands')).map(({ id }) => id);

  test('every function of the catalogue is tried here', () => {
    assert.deepEqual(Object.keys(catalogue).sort(), Object.keys(functionCatalogue).sort());
  });

  for (const [name, { good, bad }] of Object.entries(catalogue)) {
    test(`${name} is saved with good params, and then fires`, async () => {
      const payload = { url, say: 'Hello', list: ['here', { x: 1 }] };
      for (const params of good) {
        const action = bodyOf(await save([{ function: name, params, target: all }]), 201);
        assert.deepEqual(action.steps, [{ function: name, params, target: all }]);
        const body = { ...payload, sensor_data: { id: 's1', event: 'motion', value: 5 } };
        const fired = bodyOf(await of.api(`/actions/${action.event_id}/test`, { body }), 200);
        assert.deepEqual(
          fired.commands.map(({ function: each }: Params) => each),
          [name],
        );
      }
    });

    test(`${name} is refused with bad params, and the step is named`, async () => {
      const count = (await listAll(of.api, '/actions')).length;
      for (const params of bad) {
        const answer = await save([loop, { function: name, params, target: all }]);
        assert.deepEqual(codeOf(answer), [422, 'bad_params'], JSON.stringify(params));
        assert.match(answer.body.detail, /^step 2: /);
        const issued = await of.api('/commands', { body: { function: name, params, target: all } });
        assert.equal(issued.status, 422, JSON.stringify(params));
      }
      assert.equal((await listAll(of.api, '/actions')).length, count);
    });
  }

  test('a param that is wrong is named by its place in what was sent', async () => {
    const steps = [loop, { function: 'load_url', params: { url: 7 }, target: all }];
    assert.equal((await save(steps)).body.errors[0].path, 'steps[1].params.url');
    const command = await of.api('/commands', { body: steps[1] });
    assert.equal(command.body.errors[0].path, 'params.url');
  });

  const steps: [string, unknown, unknown][] = [
    ['no steps', [], [400, 'bad_request']],
    ['51 steps', Array(51).fill(loop), [400, 'bad_request']],
    ['no target', [{ function: 'pause_loop' }], [400, 'bad_request']],
    ['two targets', [{ ...loop, target: { all: true, groups: [1] } }], [400, 'bad_request']],
    ['an empty target', [{ ...loop, target: {} }], [400, 'bad_request']],
    ['all: false', [{ ...loop, target: { all: false } }], [400, 'bad_request']],
    ['no groups', [{ ...loop, target: { groups: [] } }], [400, 'bad_request']],
    ['a bad tag', [{ ...loop, target: { tags: ['a b'] } }], [400, 'bad_request']],
    ['a bad match', [{ ...loop, target: { tags: ['a'], match: 'some' } }], [400, 'bad_request']],
    ['params that are no object', [{ ...loop, params: [] }], [400, 'bad_request']],
    [
      'params without end',
      [{ ...toast('x'), params: { message: 'x'.repeat(33_000) } }],
      [400, 'bad_request'],
    ],
    ['an unknown function', [{ ...loop, function: 'explode' }], [422, 'unknown_function']],
    ['an inherited function', [{ ...loop, function: 'toString' }], [422, 'unknown_function']],
    ['an unknown group', [{ ...loop, target: { groups: [999_999] } }], [422, 'unknown_target']],
    ['an unknown device', [{ ...loop, target: { devices: [999_999] } }], [422, 'unknown_target']],
    ['a good and a bad step', [loop, { ...loop, target: { groups: [999_999] } }], [422, 'unknown_target']],
  ];
  for (const broken of [
    '{{ unclosed',
    '{{ a..b }}',
    '{{ a[ }}',
    '{{}}',
    '{{ a b }}',
    '{{ a[-1] }}',
    '{{ a() }}',
  ]) {
    steps.push([`the template ${broken}`, [toast(`Hi ${broken}`)], [422, 'bad_template']]);
  }
  for (const [title, wrong, expected] of steps) {
    test(`${title}: refused, by a change too`, async () => {
      const action = bodyOf(await save([loop]), 201);
      assert.deepEqual(codeOf(await save(wrong)), expected);
      assert.deepEqual(codeOf(await patch(action.event_id, { steps: wrong })), expected);
      assert.deepEqual(bodyOf(await of.api(`/actions/${action.event_id}`), 200), action);
    });
  }

  test('an action for hundreds of groups fires, and says for how many', async () => {
    const groups: number[] = [];
    for (let place = 0; place < 600; place += 1)
      groups.push((await of.make('/groups', { name: `Floor ${place}` })).id);
    await of.make('/devices', { name: 'on the last floor', group_id: groups.at(-1) });
    const target = { groups };
    const { event_id } = bodyOf(await save([{ ...toast('Out!'), target }]), 201);
    const body = { event_id, dry_run: true };
    const said = bodyOf(await server().trigger(body, { key: of.key }), 200);
    assert.deepEqual([said.commands[0].targeted, said.commands[0].devices[0].name], [1, 'on the last floor']);
    const fired = bodyOf(await server().trigger({ event_id }, { key: of.key }), 200);
    assert.equal(fired.commands[0].targeted, 1);
    const [command] = bodyOf(await of.api(`/triggers/${fired.trigger_id}`), 200).commands;
    assert.equal(command.coverage.targeted, 1);
  });

  test('fifty steps are fifty commands, in their order', async () => {
    const messages = Array.from({ length: 50 }, (_, place) => `step ${place}`);
    const { event_id } = bodyOf(await save(messages.map(toast)), 201);
    const heard = device.commands.length;
    const fired = bodyOf(await of.api(`/actions/${event_id}/test`, { body: {} }), 200);
    await waitFor(() => device.commands.length === heard + 50, { what: 'fifty toasts' });
    const toasts = device.commands.slice(heard);
    assert.deepEqual(
      toasts.map(({ params }) => params.message),
      messages,
    );
    assert.deepEqual(
      toasts.map(({ id }) => id),
      fired.commands.map(({ id }: Params) => id),
    );
  });

  const eventIds: [unknown, string | null][] = [
    [42, '42'],
    ['  spaced  ', 'spaced'],
    ['Évac 100% 🚨?#', 'Évac 100% 🚨?#'],
    ['case', 'case'],
    ['Case', 'Case'],
    ['__proto__', '__proto__'],
    ['x'.repeat(200), 'x'.repeat(200)],
    ['x'.repeat(201), null],
    ['a/b', null],
    ['', null],
    [' ', null],
    ['a\nb', null],
    [1.5, null],
    [null, null],
    [['a'], null],
  ];
  for (const [event_id, kept] of eventIds) {
    test(`the event_id ${JSON.stringify(event_id).slice(0, 30)}`, async () => {
      const answer = await save([toast(String(kept))], { event_id });
      if (kept === null) return assert.deepEqual(codeOf(answer), [400, 'bad_request']);
      assert.equal(bodyOf(answer, 201).event_id, kept);
      assert.deepEqual(codeOf(await save([loop], { event_id: kept })), [409, 'name_taken']);
      assert.equal(bodyOf(await of.api(`/actions/${encodeURIComponent(kept)}`), 200).id, answer.body.id);
      const fired = bodyOf(await server().trigger({ event_id }, { key: of.key }), 200);
      assert.equal(fired.event_id, kept);
      const [command] = bodyOf(await of.api(`/triggers/${fired.trigger_id}`), 200).commands;
      assert.equal(command.params.message, kept);
    });
  }

  test('a change changes what it names alone, and counts at once', async () => {
    const action = bodyOf(await save([toast('old')], { name: 'Name', allow_get: false }), 201);
    const path = `/actions/${action.event_id}`;
    const changed = bodyOf(await patch(action.event_id, { steps: [{ ...toast('new') }] }), 200);
    assert.deepEqual({ ...changed, steps: 0, updated_at: 0 }, { ...action, steps: 0, updated_at: 0 });
    const fired = bodyOf(await of.api(`${path}/test`, { body: {} }), 200);
    const command = bodyOf(await of.api(`/commands/${fired.commands[0].id}`), 200);
    assert.equal(command.params.message, 'new');
    bodyOf(await patch(action.event_id, { enabled: false }), 200);
    assert.deepEqual(codeOf(await of.api(`${path}/test`, { body: {} })), [404, 'unknown_event']);
    // What callers and links know it by stays.
    assert.deepEqual(codeOf(await patch(action.event_id, { event_id: 'other' })), [400, 'bad_request']);
  });

  test('links go with the action', async () => {
    const event_id = 'to be deleted';
    bodyOf(await save([toast('by link')], { event_id }), 201);
    const link = await of.make('/links', { event_id });
    const press = () => request(link.url, { key: null, method: 'POST' });
    assert.equal((await press()).status, 200);
    const path = `/actions/${encodeURIComponent(event_id)}`;
    bodyOf(await of.api(path, { method: 'DELETE' }), 204);
    for (const gone of [path, `/links/${link.id}`]) {
      assert.deepEqual(codeOf(await of.api(gone)), [404, 'not_found']);
    }
    assert.deepEqual(codeOf(await press()), [404, 'unknown_link']);
    assert.deepEqual(codeOf(await server().trigger({ event_id }, { key: of.key })), [404, 'unknown_event']);
    bodyOf(await save([toast('another')], { event_id }), 201);
    assert.deepEqual(codeOf(await press()), [404, 'unknown_link'], 'not the next of that name');
  });

  test('a dry run tells what would be, and issues nothing', async () => {
    const { event_id } = bodyOf(await save([toast('{{ payload.say }}')]), 201);
    const [commands, triggers] = [
      await commandIds(),
      (await listAll(of.api, '/triggers?status=fired')).length,
    ];
    const heard = device.commands.length;
    const dry = { dry_run: true, say: 'Hello' };
    const told = bodyOf(await of.api(`/actions/${event_id}/test`, { body: dry }), 200);
    assert.deepEqual([told.dry_run, told.trigger_id, told.commands[0].id], [true, null, null]);
    assert.partialDeepStrictEqual(told.commands[0].devices, [{ name: 'screen', online: true }]);
    const byQuery = await of.api(`/actions/${event_id}/test?dry_run=true`, { body: { say: 'Hello' } });
    assert.equal(bodyOf(byQuery, 200).dry_run, true);
    const broken = await of.api(`/actions/${event_id}/test`, { body: { dry_run: true } });
    assert.deepEqual(codeOf(broken), [422, 'bad_params']);
    assert.deepEqual(await commandIds(), commands);
    assert.equal((await listAll(of.api, '/triggers?status=fired')).length, triggers);
    assert.equal(device.commands.length, heard);
    const fired = bodyOf(await of.api(`/actions/${event_id}/test`, { body: { say: 'Hello' } }), 200);
    await waitFor(() => device.commands.length > heard, { what: 'the toast' });
    assert.equal(device.commands.at(-1)?.id, fired.commands[0].id);
    const trigger = bodyOf(await of.api(`/triggers/${fired.trigger_id}`), 200);
    assert.deepEqual([trigger.source, trigger.key_id], ['test', of.keyId]);
  });

  test('members named like inherited ones do no harm', async () => {
    const { event_id } = bodyOf(await save([toast('x')]), 201);
    const poison = '"__proto__":{"polluted":1},"constructor":{"prototype":{"polluted":1}},"toString":1';
    const json = { 'content-type': 'application/json' };
    const calls: [string, string][] = [
      ['/api/v1/devices', `{"name":"p1",${poison}}`],
      ['/api/v1/devices', `{"name":"p2","metadata":{${poison}}}`],
      ['/api/v1/keys', `{"name":"p3","scopes":["read"],${poison}}`],
      ['/api/v1/actions', `{"event_id":"p4","steps":[{"function":"constructor","target":{"all":true}}]}`],
      [
        '/api/v1/actions',
        `{"event_id":"__proto__","steps":[{"function":"pause_loop","target":{"all":true}}]}`,
      ],
      ['/api/v1/links', `{"event_id":"constructor","payload":{${poison}}}`],
      ['/api/v1/device-types', `{"id":"constructor","name":"p5","message_types":[{"id":"a",${poison}}]}`],
      ['/public-api/integration/webhooks', `{"event_id":"constructor",${poison}}`],
      ['/public-api/integration/webhooks/__proto__', `{${poison}}`],
      ['/public-api/integration/webhooks', `{"event_id":"${event_id}","sensor_data":{${poison}}}`],
      ['/public-api/integration/webhooks', `{"event_id":"${event_id}","sensor_data":"{__proto__:{p:1}}"}`],
    ];
    for (const [path, raw] of calls) {
      const { status } = await request(server().url + path, { key: of.key, raw, headers: json });
      assert.ok(status < 500, `${status} ${path} ${raw}`);
      assert.equal(({} as Record<string, unknown>).polluted, undefined, path);
    }
  });

  test('what is nested too deep is refused, in whatever form it comes', async () => {
    const { event_id } = bodyOf(await save([toast('{{ payload.a }}x')]), 201);
    const nest = (depth: number, open = '[', close = ']') => open.repeat(depth) + close.repeat(depth);
    const json = { 'content-type': 'application/json' };
    const form = { 'content-type': 'application/x-www-form-urlencoded' };
    const xml = { 'content-type': 'application/xml' };
    const path = '/public-api/integration/webhooks';
    const text = (depth: number) => `{a:${nest(depth)}}`;
    const ways: [string, (depth: number) => [string, Call]][] = [
      ['JSON', (depth) => [path, { raw: `{"event_id":"${event_id}","a":${nest(depth)}}`, headers: json }]],
      ['any JSON', (depth) => [`${path}/${event_id}`, { raw: nest(depth), headers: json }]],
      ['JSON text', (depth) => [path, { body: { event_id, sensor_data: text(depth) } }]],
      [
        'a form',
        (depth) => [path, { raw: `event_id=${event_id}&sensor_data=${text(depth)}`, headers: form }],
      ],
      ['XML', (depth) => [`${path}/${event_id}`, { raw: nest(depth, '<a>', '</a>'), headers: xml }]],
      ['GET', (depth) => [`${path}?event_id=${event_id}&payload=${btoa(`{"a":${nest(depth)}}`)}`, {}]],
    ];
    const wrong = [];
    for (const [way, make] of ways) {
      for (const [depth, status] of [
        [60, 200],
        [way === 'XML' ? 4_900 : 70, 400],
        [way === 'GET' ? 2_900 : 4_900, 400],
      ]) {
        const [target, call] = make(depth ?? 0);
        const answer = await request(server().url + target, { key: of.key, ...call });
        if (answer.status !== status) wrong.push(`${way}, ${depth} deep: ${answer.status}`);
      }
    }
    assert.deepEqual(wrong, []);
  });

  test('the audit log tells every change and who made it, and no secret', async () => {
    const a = await makeTenant(server(), 'Audited', ['manage', 'trigger']);
    const password = 'correct horse battery staple';
    const rotate = async (path: string) => bodyOf(await a.api(path, { method: 'POST' }), 200);
    const key = await a.make('/keys', { name: 'k', scopes: ['trigger'] });
    const group = await a.make('/groups', { name: 'g' });
    const type = await a.make('/device-types', { name: 't' });
    const one = await a.make('/devices', { name: 'd', metadata: { note: 'of it' } });
    const { items } = await a.make('/devices', [{ name: 'e' }, { name: 'f' }]);
    const action = await a.make('/actions', { event_id: 'evac', steps: [loop] });
    const link = await a.make('/links', { event_id: 'evac', payload: { pin: 'payload-secret' } });
    const user = await a.make('/users', { email: 'u@audit.example', name: 'U', role: 'owner', password });
    const fired = bodyOf(await a.api('/actions/evac/test', { body: {} }), 200);
    bodyOf(await a.api(`/keys/${key.id}/reveal`), 200);
    const secrets = [a.key, key.key, one.token, link.token, password, 'payload-secret', adminKey];
    secrets.push(...items.map(({ token }: { token: string }) => token));
    secrets.push((await rotate(`/keys/${key.id}/rotate`)).key);
    secrets.push((await rotate(`/devices/${one.id}/rotate-token`)).token);
    bodyOf(await a.api(`/commands/${fired.commands[0].id}/cancel`, { method: 'POST' }), 200);
    const session = await server().api('/session', { body: { email: user.email, password }, key: null });
    const cookie = session.headers.get('set-cookie')?.split(';')[0] ?? '';
    secrets.push(cookie.split('=')[1] ?? '');
    await server().api('/session', { body: { email: user.email, password: `${password}!` }, key: null });
    const trigger = `${server().url}/public-api/integration/webhooks`;
    const got = await request(`${trigger}?event_id=evac&api_key=${a.key}`, { key: null });
    await request(`${trigger}?event_id=none&api_key=${a.key}`, { key: null });
    await request(`${trigger}?event_id=evac&api_key=${a.key}x`, { key: null });
    await request(link.url, { key: null, method: 'POST' });
    await assert.rejects(server().device(`${one.token}x`));
    const things: [string, unknown, unknown][] = [
      ['keys', key.id, { name: 'k2' }],
      ['users', user.id, { password: 'another long password' }],
      ['links', link.id, null],
      ['actions', action.event_id, { name: 'a2' }],
      ['devices', one.id, { name: 'd2' }],
      ['device-types', type.id, { name: 't2' }],
      ['groups', group.id, { name: 'g2' }],
    ];
    for (const [list, id, body] of things) {
      if (body) bodyOf(await a.api(`/${list}/${id}`, { method: 'PATCH', body }), 200);
      bodyOf(await a.api(`/${list}/${id}`, { method: 'DELETE' }), 204);
    }
    const changes = (await listAll(a.api, '/audit')).reverse();
    const nouns = 'key group device_type device device action link user';
    const expected = [
      ...`key ${nouns}`.split(' ').map((noun) => `${noun}.create`),
      ...['key.reveal', 'key.rotate', 'device.rotate_token', 'command.cancel', 'session.create'],
      ...'key user link action device device_type group'
        .split(' ')
        .flatMap((noun) => (noun === 'link' ? ['link.delete'] : [`${noun}.change`, `${noun}.delete`])),
    ];
    assert.deepEqual(
      changes.map(({ change }) => change),
      expected,
    );
    for (const { change, actor, subject } of changes.slice(1)) {
      const who = change === 'session.create' ? ['user', user.id] : ['key', a.keyId];
      assert.deepEqual([actor.kind, actor.id], who, change);
      assert.ok(subject.id, change);
    }
    const trace = await a.api(`/triggers/${got.body.trigger_id}`);
    const shown = {
      audit: changes,
      log: server().logged,
      trace,
      metrics: await request(`${server().url}/metrics`),
    };
    for (const [place, said] of Object.entries(shown)) {
      const text = JSON.stringify(said);
      assert.ok(text.length > 100, place);
      for (const secret of secrets) assert.ok(secret && !text.includes(secret), `${place}: ${secret}`);
    }
    assert.deepEqual(await listAll(a.api, `/audit?subject_kind=key&subject_id=${key.id}&change=key.rotate`), [
      changes.find(({ change }) => change === 'key.rotate'),
    ]);
  });
});
