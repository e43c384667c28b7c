import assert from 'node:assert/strict';
import { before, suite, test } from 'node:test';
import type { Condition } from '../src/domain/condition.ts';
import { refusalOf } from '../src/domain/refusal.ts';
import { bodyOf, codeOf, listAll, makeTenant, oneServer, type Tenant } from './support/management.ts';
import { onEveryDatabase, request } from './support/server.ts';

const all = { all: true };
const loop = { function: 'pause_loop', params: {}, target: all };
const show = { function: 'enable_emergency', params: { message: '{{ payload.title }}' }, target: all };
const end = { function: 'disable_emergency', params: {}, target: all };
const is = (path: string, value: unknown) => ({ path, op: '=', value });
const firing = is('payload.status', 'firing');
const resolved = is('payload.status', 'resolved');
const hook = '/public-api/integration/webhooks';

onEveryDatabase('conditions on calls', (start) => {
  const server = oneServer(start);
  let of: Tenant;
  before(async () => {
    of = await makeTenant(server(), 'Choosy', ['manage', 'trigger']);
    await of.make('/devices', { name: 'screen' });
  });
  let made = 0;
  const save = async (steps: object[], rest: object = {}): Promise<string> => {
    made += 1;
    return (await of.make('/actions', { event_id: `choosy-${made}`, steps, ...rest })).event_id;
  };
  const call = (event_id: string, body: unknown, query = '') =>
    request(`${server().url}${hook}/${event_id}${query}`, { key: of.key, body });
  const fire = async (event_id: string, body: unknown, query = '') =>
    bodyOf(await call(event_id, body, query), 200);
  const traceOf = async ({ trigger_id }: { trigger_id: string }) =>
    bodyOf(await of.api(`/triggers/${trigger_id}`), 200);
  const functions = ({ commands }: { commands: { function: string }[] }) =>
    commands.map(({ function: name }) => name);

  test('one action shows on firing and ends on resolved', async () => {
    const event_id = await save([
      { ...show, when: firing },
      { ...end, when: resolved },
    ]);
    const shown = await fire(event_id, { status: 'firing', title: 'Hot' });
    assert.deepEqual(functions(shown), ['enable_emergency']);
    assert.equal(shown.warnings, undefined, 'a step that is for other calls is nothing to warn of');
    const trace = await traceOf(shown);
    assert.deepEqual(trace.skipped, [{ step: 2, by: 'step.when', refused: 'payload.status = "resolved"' }]);
    assert.equal(trace.status, 'fired');
    const ended = await fire(event_id, { status: 'resolved' });
    assert.deepEqual(functions(ended), ['disable_emergency']);
    assert.equal((await traceOf(ended)).skipped[0].step, 1);
    // A step that passes a call by does not mind what is in it.
    const source = bodyOf(await of.api(`/commands/${ended.commands[0].id}`), 200);
    assert.deepEqual(source.params, {});
  });

  test('a call that no step wants is a success without commands, and the log says why', async () => {
    const event_id = await save([show], { when: { not_any: [is('payload.action', 'ping')] } });
    const answer = await fire(event_id, { action: 'ping' });
    assert.deepEqual(answer, {
      message: 'success',
      trigger_id: answer.trigger_id,
      event_id,
      commands: [],
      warnings: ['no step wanted this call: action.when not (payload.action = "ping")'],
    });
    const trace = await traceOf(answer);
    assert.partialDeepStrictEqual(trace, {
      status: 'seen',
      reason: answer.warnings[0],
      warnings: answer.warnings,
      skipped: [{ step: 1, by: 'action.when', refused: 'not (payload.action = "ping")' }],
      coverage: null,
      commands: [],
    });
    assert.deepEqual(functions(await fire(event_id, { action: 'opened', title: 'x' })), ['enable_emergency']);
    assert.equal((await listAll(of.api, `/triggers?event_id=${event_id}&status=fired`)).length, 1);
  });

  test('of steps that all refuse, each is named', async () => {
    const event_id = await save([
      { ...show, when: firing },
      { ...end, when: { all: [resolved, { path: 'payload.alerts[0]', op: 'exists' }] } },
    ]);
    const { warnings } = await fire(event_id, { status: 'resolved' });
    assert.deepEqual(warnings, [
      'no step wanted this call: step 1: when payload.status = "firing"; step 2: when payload.alerts[0] exists',
    ]);
  });

  test('conditions see payload, sensor data and query, and lists by place', async () => {
    const cases: [object, unknown, string, boolean][] = [
      [is('payload.alerts[0].status', 'firing'), { alerts: [{ status: 'firing' }] }, '', true],
      [is('payload.alerts[1].status', 'firing'), { alerts: [{ status: 'firing' }] }, '', false],
      [is('payload[1].id', 2), [{ id: 1 }, { id: 2 }], '', true],
      [is('payload[0].id', 2), [{ id: 1 }, { id: 2 }], '', false],
      [is('sensor_data.event', 'motion'), { sensor_data: { event: 'motion' } }, '', true],
      [{ path: 'sensor_data', op: 'exists' }, { sensor_data: { event: 'motion' } }, '', true],
      [is('query.kind', 'drill'), {}, '?kind=drill', true],
      [is('query.kind', 'drill'), {}, '?kind=real', false],
      [{ path: 'payload.level', op: '>=', value: 3 }, { level: 3 }, '', true],
      [{ path: 'payload.level', op: '>=', value: 3 }, { level: '3' }, '', false],
      [{ any: [firing, resolved] }, { status: 'resolved' }, '', true],
      [{ not_all: [firing, resolved] }, { status: 'x' }, '', true],
      [{ path: 'payload.zen', op: 'exists', value: false }, { zen: 'Keep it simple.' }, '', false],
      [{ path: 'payload.zen', op: 'exists', value: false }, {}, '', true],
      [{ path: 'payload.zen', op: '!=', value: 1 }, {}, '', false],
    ];
    for (const [when, body, query, wanted] of cases) {
      for (const event_id of [await save([{ ...loop, when }]), await save([loop], { when })]) {
        const said = `${JSON.stringify(when)} of ${JSON.stringify(body)}`;
        assert.equal((await fire(event_id, body, query)).commands.length, wanted ? 1 : 0, said);
      }
    }
  });

  test('a step that does not want a call does not fail it', async () => {
    const strict = { function: 'show_toast', params: { message: '{{ payload.title }}' }, target: all };
    const event_id = await save([{ ...strict, when: firing }, loop]);
    assert.deepEqual(functions(await fire(event_id, { status: 'resolved' })), ['pause_loop']);
    assert.deepEqual(codeOf(await call(event_id, { status: 'firing' })), [422, 'bad_params']);
  });

  test('a dry run and a test say the same', async () => {
    const event_id = await save([{ ...show, when: firing }, loop]);
    const dry = await fire(event_id, { status: 'x' }, '?dry_run=true');
    assert.deepEqual(functions(dry), ['pause_loop']);
    assert.deepEqual(dry.skipped, [{ step: 1, by: 'step.when', refused: 'payload.status = "firing"' }]);
    const choosy = await save([loop], { when: firing });
    for (const body of [{}, { dry_run: true }]) {
      const told = bodyOf(await of.api(`/actions/${choosy}/test`, { body }), 200);
      assert.deepEqual([told.commands, told.warnings.length], [[], 1]);
    }
  });

  test('a repeated call and one that waits are answered at once', async () => {
    const event_id = await save([loop], { when: firing });
    const headers = { 'idempotency-key': 'ping' };
    const post = () =>
      request(`${server().url}${hook}/${event_id}?wait=30s`, { key: of.key, headers, body: { status: 'x' } });
    const [first, again] = [await post(), await post()];
    assert.deepEqual(again.body, first.body);
    assert.equal(again.headers.get('idempotent-replay'), 'true');
    assert.deepEqual(first.body.coverage, {
      targeted: 0,
      applied: 0,
      failed: 0,
      missing: [],
      reached: true,
    });
  });

  test('the pages that ask first say what would happen', async () => {
    const event_id = await save([
      { ...show, when: firing },
      { ...end, when: resolved },
    ]);
    const open = (url: string, accept: string) => request(url, { key: null, headers: { accept } });
    const link = await of.make('/links', { event_id, payload: { status: 'resolved' } });
    const page = (await open(link.url, 'text/html')).body;
    assert.match(page, /Disable emergency: 1 device/);
    assert.doesNotMatch(page, /Enable emergency/);
    assert.deepEqual(functions((await open(link.url, 'application/json')).body), ['disable_emergency']);

    const idle = await of.make('/links', { event_id, payload: { status: '<other>' } });
    const nothing = (await open(idle.url, 'text/html')).body;
    assert.match(nothing, /This would do nothing/);
    assert.match(nothing, /no step wanted this call: step 1: when payload\.status = &quot;firing&quot;/);
    assert.doesNotMatch(nothing, /<form/);
    const json = (await open(idle.url, 'application/json')).body;
    assert.deepEqual([json.commands, json.warnings.length], [[], 1]);
    const press = await request(idle.url, { key: null, method: 'POST', headers: { accept: 'text/html' } });
    assert.match(press.body, /Nothing was to be sent/);

    const asks = await save([{ ...loop, when: is('query.really', 'yes') }], { confirm: true });
    const get = (query: string) =>
      open(`${server().url}${hook}?event_id=${asks}&api_key=${of.key}${query}`, 'text/html');
    assert.match((await get('&really=yes')).body, /<form/);
    assert.match((await get('')).body, /This would do nothing/);
  });

  test('are shown, changed and taken away', async () => {
    const event_id = await save([{ ...loop, when: firing }, loop], { when: { any: [firing, resolved] } });
    const path = `/actions/${event_id}`;
    const action = bodyOf(await of.api(path), 200);
    assert.deepEqual(action.when, { any: [firing, resolved] });
    assert.deepEqual(action.steps, [{ ...loop, when: firing }, loop]);
    const listed = (await listAll(of.api, '/actions')).find((each) => each.event_id === event_id);
    assert.deepEqual(listed, action);
    const patch = async (body: object) => bodyOf(await of.api(path, { method: 'PATCH', body }), 200);
    assert.deepEqual((await patch({ name: 'x' })).when, action.when);
    const changed = await patch({ when: { path: 'payload.a', op: '==', value: 1 } });
    assert.deepEqual(changed.when, is('payload.a', 1));
    assert.deepEqual((await fire(event_id, { status: 'firing' })).commands, [], 'at once');
    assert.equal((await patch({ when: null })).when, null);
    assert.deepEqual((await patch({ steps: [{ ...loop, when: null }] })).steps, [loop]);
    assert.deepEqual(functions(await fire(event_id, {})), ['pause_loop']);
  });

  test('are checked when they are saved, and the place of what is wrong is named', async () => {
    const nest = (depth: number): object => (depth === 1 ? firing : { all: [nest(depth - 1)] });
    const many = (count: number) => ({ any: Array(count).fill(firing) });
    const wrong: [unknown, string][] = [
      ['payload.status', 'when'],
      [[], 'when'],
      [{}, 'when'],
      [is('payload..x', 1), 'when.path'],
      [{ path: 'payload.x', op: '~', value: 1 }, 'when.op'],
      [{ path: 'payload.x', op: '>', value: 'x' }, 'when.value'],
      [{ all: [] }, 'when.all'],
      [is('status', 'firing'), 'when'],
      [{ any: [firing, is('trigger.id', 'x')] }, 'when'],
      [nest(17), 'when'],
      [many(201), 'when'],
    ];
    const { event_id } = bodyOf(
      await of.api('/actions', { body: { event_id: 'whole', steps: [loop] } }),
      201,
    );
    for (const [when, place] of wrong) {
      const said = JSON.stringify(when).slice(0, 80);
      const tries = [
        [await of.api('/actions', { body: { event_id: 'new', steps: [loop], when } }), place],
        [
          await of.api('/actions', { body: { event_id: 'new', steps: [loop, { ...loop, when }] } }),
          `steps[1].${place}`,
        ],
        [await of.api(`/actions/${event_id}`, { method: 'PATCH', body: { when } }), place],
      ] as const;
      for (const [answer, expected] of tries) {
        assert.deepEqual(codeOf(answer), [400, 'bad_request'], said);
        const places = answer.body.errors.map(({ path }: { path: string }) => path);
        assert.ok(
          places.some((each: string) => each.startsWith(expected)),
          `${said}: ${places}`,
        );
      }
    }
    const heavy = Array(6).fill({ ...loop, when: many(200) });
    assert.deepEqual(codeOf(await of.api('/actions', { body: { event_id: 'new', steps: heavy } })), [
      400,
      'bad_request',
    ]);
    bodyOf(await of.api('/actions', { body: { event_id: 'heavy', steps: heavy.slice(1) } }), 201);
    const body = { when: firing };
    assert.equal((await of.api('/actions/heavy', { method: 'PATCH', body })).status, 400);
    assert.deepEqual(codeOf(await of.api('/actions/new')), [404, 'not_found']);
  });
});

suite('what refused', () => {
  test('is named as it was written, and short', () => {
    const scope = { payload: { a: 1, s: 'x' } };
    const a = (value: number): Condition => ({ path: 'payload.a', op: '=', value });
    const cases: [Condition, string][] = [
      [a(2), 'payload.a = 2'],
      [{ path: 'payload.s', op: '!=', value: 'x' }, 'payload.s != "x"'],
      [{ path: 'payload.b', op: 'exists' }, 'payload.b exists'],
      [{ path: 'payload.a', op: 'exists', value: false }, 'payload.a is not there'],
      [{ all: [a(1), { all: [a(1), a(3)] }] }, 'payload.a = 3'],
      [{ any: [a(2), a(3)] }, 'any of (payload.a = 2, payload.a = 3)'],
      [{ not_any: [a(2), a(1)] }, 'not (payload.a = 1)'],
      [{ not_all: [a(1), { any: [a(1)] }] }, 'not all of (payload.a = 1, any of (payload.a = 1))'],
      [{ any: [{ not_any: [a(1)] }] }, 'any of (none of (payload.a = 1))'],
    ];
    for (const [condition, said] of cases) assert.equal(refusalOf(condition, scope), said);
    const long = refusalOf({ any: Array(200).fill({ ...a(2), value: 'y'.repeat(1_000) }) }, scope);
    assert.ok(long.length <= 150, String(long.length));
  });
});
