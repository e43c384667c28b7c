import assert from 'node:assert/strict';
import { before, suite, test } from 'node:test';
import { functionCatalogue } from '../src/domain/command/function-catalogue.ts';
import { boundWarnings, cutText } from '../src/domain/warning.ts';
import { bodyOf, codeOf, listAll, makeTenant, oneServer, type Tenant } from './support/management.ts';
import { onEveryDatabase, request } from './support/server.ts';
import { waitFor } from './support/wait.ts';

type Params = Record<string, unknown>;
const all = { all: true };
const url = 'https://example.com/page';
const blanks = ['', null, ' \t\n', '\u00a0'];
/** Of every function, params that it can't do without. */
const required: Record<string, Params> = {
  load_url: { url },
  send_sensor_event: { id: 's1' },
  show_toast: { message: 'Hi' },
  custom: { action: 'dim' },
};
const notUrl = 'it is not an http or https URL';

onEveryDatabase('warnings', (start) => {
  const server = oneServer(start);
  let of: Tenant;
  before(async () => {
    of = await makeTenant(server(), 'Warned', ['manage', 'trigger', 'publish']);
    await of.make('/devices', { name: 'screen' });
  });
  let made = 0;
  const save = async (name: string, params: Params, rest: object = {}): Promise<string> => {
    made += 1;
    const steps = [{ function: name, params, target: all }];
    return (await of.make('/actions', { event_id: `warned-${made}`, name: 'Evacuate', steps, ...rest }))
      .event_id;
  };
  const call = (event_id: string, payload: object, more = {}) =>
    server().trigger({ event_id, ...payload }, { key: of.key, ...more });
  /** The params that devices get, and what the answer warns of. */
  const fire = async (event_id: string, payload: object) => {
    const answer = bodyOf(await call(event_id, payload), 200);
    const trace = bodyOf(await of.api(`/triggers/${answer.trigger_id}`), 200);
    assert.deepEqual(trace.warnings, answer.warnings);
    return { params: trace.commands[0].params as Params, warnings: answer.warnings as string[] | undefined };
  };
  const fireOnce = async (name: string, params: Params, payload: object) =>
    fire(await save(name, params), payload);
  const command = async (name: string, params: Params) => {
    const answer = bodyOf(await of.api('/commands', { body: { function: name, params, target: all } }), 201);
    const { params: sent } = bodyOf(await of.api(`/commands/${answer.id}`), 200);
    return { params: sent as Params, warnings: answer.warnings as string[] | undefined };
  };

  test('I9: what a call leaves blank counts as missing, and is said', async () => {
    const event_id = await save('enable_emergency', {
      message: '{{ payload.message }}',
      url: '{{ payload.url }}',
      expires_in: '{{ payload.ttl }}',
    });
    assert.deepEqual(await fire(event_id, { message: 'fire', url: '', ttl: null }), {
      params: { message: 'fire' },
      warnings: ['step 1: url is empty', 'step 1: expires_in is empty'],
    });
    assert.deepEqual(await fire(event_id, { message: 'fire', url, ttl: 60 }), {
      params: { message: 'fire', url, expires_in: 60 },
      warnings: undefined,
    });
  });

  for (const [name, entry] of Object.entries(functionCatalogue)) {
    const needed = required[name] ?? {};
    const optional = Object.keys(entry.params.properties).filter((param) => !Object.hasOwn(needed, param));
    test(`I9: optional params of ${name} that are blank count as missing`, async () => {
      const expected = entry.shows ? { message: 'Evacuate' } : needed;
      for (const blank of blanks) {
        const given = Object.fromEntries(optional.map((param) => [param, blank]));
        const event_id = await save(name, { ...needed, ...given });
        const action = bodyOf(await of.api(`/actions/${event_id}`), 200);
        assert.deepEqual(action.steps[0].params, { ...needed, ...given }, 'kept as it was given');
        assert.deepEqual((await fire(event_id, {})).params, expected, JSON.stringify(blank));
        assert.deepEqual((await command(name, { ...needed, ...given })).params, needed);

        const templates = Object.fromEntries(optional.map((param) => [param, `{{ payload.${param} }}`]));
        const filled = await fireOnce(name, { ...needed, ...templates }, given);
        assert.deepEqual(filled.params, expected, JSON.stringify(blank));
        for (const param of optional) assert.ok(filled.warnings?.includes(`step 1: ${param} is empty`));
      }
    });
  }

  test('I9: required params that are blank are refused as before', async () => {
    const cases: [string, Params, object][] = [
      ['load_url', { url: '{{ payload.url }}' }, { url: '' }],
      ['load_url', { url: '{{ payload.url }}' }, { url: null }],
      ['show_toast', { message: '{{ payload.message }}' }, { message: '' }],
      ['show_toast', { message: '{{ payload.message }}' }, {}],
      ['send_sensor_event', {}, { sensor_data: { id: '' } }],
      ['custom', { action: '{{ payload.action }}' }, { action: null }],
    ];
    for (const [name, params, payload] of cases) {
      const event_id = await save(name, params);
      assert.deepEqual(codeOf(await call(event_id, payload)), [422, 'bad_params'], JSON.stringify(params));
    }
    for (const [name, params] of Object.entries(required)) {
      const blank = Object.fromEntries(Object.keys(params).map((param) => [param, '']));
      const steps = [{ function: name, params: blank, target: all }];
      assert.deepEqual(codeOf(await of.api('/actions', { body: { event_id: 'x', steps } })), [
        422,
        'bad_params',
      ]);
    }
  });

  test('I9: an emergency leaves out what can not be used; what has no need to be shown is refused', async () => {
    const params = Object.fromEntries(
      ['message', 'url', 'level', 'priority', 'drill', 'expires_in'].map((name) => [
        name,
        `{{ payload.${name} }}`,
      ]),
    );
    const event_id = await save('enable_emergency', params);
    const fine = { message: 'Out!', url, level: 'info', priority: 10, drill: true, expires_in: 60 };
    const cases: [string, unknown, string][] = [
      ['url', 'ftp://example.com/x', notUrl],
      ['url', 'javascript:alert(1)', notUrl],
      ['url', 'not one', notUrl],
      ['url', { href: url }, notUrl],
      ['url', `${url}/${'x'.repeat(2_048)}`, notUrl],
      ['level', 'high', 'it is none of info, warning, critical'],
      ['level', 5, 'it is none of info, warning, critical'],
      ['priority', 101, 'it must be <= 100'],
      ['priority', 'soon', 'it must be integer'],
      ['drill', 'perhaps', 'it must be boolean'],
      ['expires_in', 0, 'it must be >= 1'],
      ['expires_in', 'soon', 'it must be integer'],
      ['message', { text: 'Out!' }, 'it must be string'],
    ];
    for (const [name, value, reason] of cases) {
      const { [name as keyof typeof fine]: _, ...others } = fine;
      const { params: sent, warnings } = await fire(event_id, { ...fine, [name]: value });
      assert.deepEqual(sent, others, `${name}: ${JSON.stringify(value)}`);
      assert.deepEqual(warnings, [`step 1: ${name} was left out: ${reason}`]);
    }
    const none = await fire(event_id, { url: 'x', level: 'x', priority: 'x', drill: 'x', expires_in: 'x' });
    assert.deepEqual(none.params, { message: 'Evacuate' });
    assert.equal(none.warnings?.length, 7);

    const refused: [string, Params, object][] = [
      ['load_url', { url: '{{ payload.url }}' }, { url: 'ftp://example.com/' }],
      ['show_toast', { message: 'Hi', seconds: '{{ payload.seconds }}' }, { seconds: 'soon' }],
      ['restart_device', { jitter: '{{ payload.jitter }}' }, { jitter: -1 }],
    ];
    for (const [name, given, payload] of refused)
      assert.deepEqual(codeOf(await call(await save(name, given), payload)), [422, 'bad_params'], name);
  });

  test('words of few are taken as forms and other programs write them', async () => {
    const event_id = await save('enable_emergency', {
      message: 'x',
      level: '{{ payload.level }}',
      drill: '{{ payload.drill }}',
    });
    for (const [given, level] of [
      ['Critical', 'critical'],
      [' WARNING ', 'warning'],
    ])
      assert.equal((await fire(event_id, { level: given })).params.level, level);
    for (const yes of [true, 1, 'true', 'True', 'yes', 'on', '1'])
      assert.equal((await fire(event_id, { drill: yes })).params.drill, true, String(yes));
    for (const no of [false, 0, 'false', 'NO', 'off', '0'])
      assert.equal((await fire(event_id, { drill: no })).params.drill, false, String(no));
  });

  test('I27: texts that are too long are cut between characters, with a mark, and said', async () => {
    const cut = ['step 1: message was cut to 2000 characters'];
    const texts: [string, string, string[] | undefined][] = [
      ['x'.repeat(2_001), `${'x'.repeat(1_999)}…`, cut],
      ['x'.repeat(2_000), 'x'.repeat(2_000), undefined],
      ['🚨'.repeat(2_001), `${'🚨'.repeat(1_999)}…`, cut],
      ['🚨'.repeat(2_000), '🚨'.repeat(2_000), undefined],
      ['ü'.repeat(100_000), `${'ü'.repeat(1_999)}…`, cut],
    ];
    for (const name of ['enable_emergency', 'show_toast']) {
      const event_id = await save(name, { message: '{{ payload.message }}' });
      for (const [message, shown, warnings] of texts)
        assert.deepEqual(await fire(event_id, { message }), { params: { message: shown }, warnings });
      const direct = await command(name, { message: 'x'.repeat(2_001) });
      assert.deepEqual(direct.warnings, ['message was cut to 2000 characters']);
      assert.equal(direct.params.message, `${'x'.repeat(1_999)}…`);
    }
    const mixed = await fireOnce(
      'show_toast',
      { message: 'At {{ payload.at }}.' },
      { at: 'x'.repeat(3_000) },
    );
    assert.equal(Array.from(String(mixed.params.message)).length, 2_000);
    assert.deepEqual(mixed.warnings, cut);
    // Not what is compared or followed.
    const long = await save('custom', { action: '{{ payload.action }}' });
    assert.deepEqual(codeOf(await call(long, { action: 'x'.repeat(201) })), [422, 'bad_params']);
    const page = await save('load_url', { url: '{{ payload.url }}' });
    assert.deepEqual(codeOf(await call(page, { url: `${url}/${'x'.repeat(2_048)}` })), [422, 'bad_params']);
  });

  test('I26: what is optional is optional in a command too', async () => {
    assert.deepEqual(await command('send_sensor_event', { id: 's1' }), {
      params: { id: 's1' },
      warnings: undefined,
    });
    assert.deepEqual((await command('send_sensor_event', { id: 's1', value: 0 })).params, {
      id: 's1',
      value: 0,
    });
    for (const params of [{}, { event: 'motion' }, { id: '' }, { id: '{{ sensor_data.id }}' }]) {
      const body = { function: 'send_sensor_event', params, target: all };
      assert.deepEqual(codeOf(await of.api('/commands', { body })), [422, 'bad_params']);
    }
    const sensor_data = { id: 's1', value: 5 };
    assert.deepEqual(await fireOnce('send_sensor_event', {}, { sensor_data }), {
      params: sensor_data,
      warnings: undefined,
    });
  });

  test('an emergency with neither message nor url shows the name of its action', async () => {
    const shown = { message: 'Evacuate' };
    const named = "step 1: the action's name is shown, since there is no message and no url";
    const empty = 'step 1: message is empty';
    const cases: [Params, object, string[]][] = [
      [{}, {}, [empty, named]],
      [{ message: '' }, {}, [empty, named]],
      [{ message: '{{ payload.message }}' }, {}, [empty, named]],
      [{ message: '{{ payload.message }}' }, { message: ' ' }, [empty, named]],
      [{ message: '{{ payload.a }} {{ payload.b }}' }, {}, [empty, named]],
      [{ url: '{{ payload.url }}' }, {}, ['step 1: url is empty', empty, named]],
      [{ url: '{{ payload.url }}' }, { url: 'x' }, [`step 1: url was left out: ${notUrl}`, empty, named]],
    ];
    for (const [params, payload, warnings] of cases)
      assert.deepEqual(await fireOnce('enable_emergency', params, payload), { params: shown, warnings });
    assert.deepEqual(await fireOnce('enable_emergency', { url, message: '{{ payload.message }}' }, {}), {
      params: { url },
      warnings: [empty],
    });
    assert.deepEqual(await command('enable_emergency', {}), { params: {}, warnings: ['message is empty'] });
  });

  test('a template that leads nowhere is said, wherever it stands', async () => {
    const toast = await save('show_toast', {
      message: 'Leave {{ payload.where }} by {{ payload.by[0].way }}, {{ payload.where }}',
    });
    const where = 'step 1: message: payload.where is empty';
    const way = 'step 1: message: payload.by[0].way is empty';
    assert.deepEqual(await fire(toast, {}), { params: { message: 'Leave  by , ' }, warnings: [where, way] });
    assert.deepEqual((await fire(toast, { where: null, by: [{ way: ' ' }] })).warnings, [where, way]);
    assert.deepEqual((await fire(toast, { where: 0, by: [{ way: false }] })).warnings, undefined);
    const custom = {
      action: 'dim',
      parameters: { by: [{ deep: '{{ payload.x }}' }], list: '{{ query.y }}' },
    };
    assert.deepEqual((await fireOnce('custom', custom, {})).warnings, [
      'step 1: parameters: payload.x is empty',
      'step 1: parameters: query.y is empty',
    ]);
  });

  test('warnings are bounded, and name their step', async () => {
    const steps = Array.from({ length: 30 }, (_, place) => ({
      function: 'show_toast',
      params: { message: `{{ payload.${'x'.repeat(300)}${place} }} here` },
      target: all,
    }));
    const event_id = await save('pause_loop', {}, { steps });
    const { warnings } = bodyOf(await call(event_id, {}), 200);
    assert.equal(warnings.length, 20);
    assert.ok(warnings.every((text: string) => text.length <= 200));
    assert.match(warnings[18], /^step 19: message: payload\.x+…$/);
    assert.equal(warnings[19], 'and 11 more');
  });

  test('they stand in dry runs, tests, links, replays, lists, and in what an alarm fires', async () => {
    const event_id = await save('enable_emergency', { message: '{{ payload.message }}' });
    const [empty = ''] = ['step 1: message is empty'];
    const dry = bodyOf(await call(event_id, { dry_run: true }), 200);
    assert.equal(dry.warnings[0], empty);
    const tested = bodyOf(await of.api(`/actions/${event_id}/test`, { body: {} }), 200);
    assert.equal(tested.warnings[0], empty);

    const headers = { 'idempotency-key': 'twice' };
    const [first, again] = [await call(event_id, {}, { headers }), await call(event_id, {}, { headers })];
    assert.equal(again.headers.get('idempotent-replay'), 'true');
    assert.deepEqual(bodyOf(again, 200), bodyOf(first, 200));
    assert.equal(again.body.warnings[0], empty);

    const link = await of.make('/links', { event_id, payload: { message: '' } });
    const press = (accept: string) => request(link.url, { key: null, method: 'POST', headers: { accept } });
    assert.equal(bodyOf(await press('application/json'), 200).warnings[0], empty);
    assert.match((await press('text/html')).body, /step 1: message is empty/);

    const [listed] = await listAll(of.api, `/triggers?event_id=${event_id}`);
    assert.equal(listed.warnings[0], empty);
    const fine = bodyOf(await call(event_id, { message: 'Out!' }), 200);
    assert.ok(!Object.hasOwn(fine, 'warnings'));
    assert.ok(!Object.hasOwn(bodyOf(await of.api(`/triggers/${fine.trigger_id}`), 200), 'warnings'));

    await of.make('/device-types', { id: 'boiler', name: 'Boiler' });
    const device = await of.make('/devices', { name: 'boiler', type: 'boiler' });
    const when = { path: 'temperature', op: '>', value: 30 };
    const rule = { name: 'Hot', level: 'critical', device_type: 'boiler', message_type: 'reading', when };
    await of.make('/alarm-rules', { ...rule, actions: [event_id] });
    const said = await request(`${server().url}/messages/reading`, {
      key: null,
      headers: { authorization: `Thing ${device.token}` },
      body: { temperature: 40 },
    });
    assert.equal(said.status, 202);
    const byAlarm = await waitFor(
      async () =>
        (await listAll(of.api, `/triggers?event_id=${event_id}`)).find(({ source }) => source === 'alarm'),
      { what: 'the trigger of the alarm' },
    );
    assert.equal(byAlarm.warnings[0], empty);
  });
});

suite('texts of warnings', () => {
  test('are cut between characters', () => {
    const cases: [string, number, string][] = [
      ['abc', 3, 'abc'],
      ['abcd', 3, 'ab…'],
      ['🚨🚨🚨', 3, '🚨🚨🚨'],
      ['🚨🚨🚨🚨', 3, '🚨🚨…'],
      ['a🚨', 1, '…'],
      ['', 3, ''],
    ];
    for (const [text, max, cut] of cases) assert.equal(cutText(text, max), cut, text);
  });

  test('are told once', () => {
    assert.deepEqual(boundWarnings(['a', 'b', 'a']), ['a', 'b']);
    const many = Array.from({ length: 25 }, (_, place) => `${place}`);
    assert.deepEqual(boundWarnings(many).slice(-2), ['18', 'and 6 more']);
    assert.equal(boundWarnings(many.slice(0, 20)).at(-1), '19');
  });
});
