import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { newId } from '../src/domain/id.ts';
import type { Route } from '../src/http/route.ts';
import { routes } from '../src/http/routes.ts';
import { insertFirings } from '../src/store/firing.ts';
import {
  asGuest,
  bodyOf,
  codeOf,
  listAll,
  makeKey,
  makeTenant,
  oneServer,
  type Tenant,
} from './support/management.ts';
import { type Answer, type Call, onEveryDatabase, request, type TestServer } from './support/server.ts';
import { waitFor } from './support/wait.ts';
import { reachReceivers, startReceiver, type WebhookReceiver } from './support/webhook-receiver.ts';

/** Stands in everything that is B's and that A must not see. */
const marker = 'bee-secret';
const scopes = ['trigger', 'read', 'manage', 'command'];
const step = (target: unknown, message = 'hello') => ({
  function: 'enable_emergency',
  params: { message },
  target,
});

type Case = { body?: unknown; status: number; code?: string; query?: string };
const missing = (body?: unknown): Case => ({ body, status: 404, code: 'not_found' });
const admins = (body?: unknown): Case => ({ body, status: 403, code: 'not_allowed' });
const wrongTarget = (body: unknown): Case => ({ body, status: 422, code: 'unknown_target' });
const noEvent = (body: unknown): Case => ({ body, status: 404, code: 'unknown_event' });
/** A's own list, or what A makes for itself. */
const own = (status: number, body?: unknown): Case => ({ body, status });

const hook = (filter: object) => ({ name: 'x', url: 'https://hooks.example.com/x', filter });
const rule = (of: object) => ({
  name: 'x',
  level: 'info',
  device_type: 'screen',
  message_type: 'reading',
  when: { path: 'celsius', op: '>', value: 20 },
  ...of,
});

/** What A gets when it calls a route with B's ids. A route that is not here makes its test fail. */
const cases: Record<string, (b: Things) => Case> = {
  'get /whoami': () => own(200),
  'post /keys': () => own(201, { name: 'taken by B too', scopes: ['read'] }),
  'get /keys': () => own(200),
  'get /keys/:id': () => missing(),
  'patch /keys/:id': () => missing({ name: 'mine', scopes: ['read'] }),
  'delete /keys/:id': () => missing(),
  'get /keys/:id/reveal': () => missing(),
  'post /keys/:id/rotate': () => missing(),
  'post /users': () =>
    own(201, { email: 'ann@a.example', name: 'Ann', role: 'viewer', password: 'long enough it is' }),
  'get /users': () => own(200),
  'get /users/:id': () => missing(),
  'patch /users/:id': () => missing({ role: 'viewer', password: 'another long password' }),
  'delete /users/:id': () => missing(),
  'get /audit': () => own(200),
  'post /projects': () => admins({ name: 'Mine' }),
  'get /projects': () => admins(),
  'get /projects/:id': () => admins(),
  'patch /projects/:id': () => admins({ name: 'Mine' }),
  'delete /projects/:id': () => admins(),
  'post /groups': (b) => wrongTarget({ name: 'x', parent_id: b.groups }),
  'get /groups': (b) => ({ ...own(200), query: `?parent_id=${b.groups}` }),
  'get /groups/:id': () => missing(),
  'patch /groups/:id': () => missing({ name: 'mine' }),
  'delete /groups/:id': () => missing(),
  'post /device-types': () => own(201, { id: 'screen', name: 'Screen' }),
  'get /device-types': () => own(200),
  'get /device-types/:id': () => missing(),
  'patch /device-types/:id': () => missing({ name: 'mine' }),
  'delete /device-types/:id': () => missing(),
  'post /devices': (b) => wrongTarget({ name: 'x', group_id: b.groups }),
  'get /devices': (b) => ({ ...own(200), query: `?group_id=${b.groups}` }),
  'get /devices/:id': () => missing(),
  'patch /devices/:id': () => missing({ name: 'mine', tags: ['mine'] }),
  'delete /devices/:id': () => missing(),
  'post /devices/:id/rotate-token': () => missing(),
  'get /devices/:id/state': () => missing(),
  'post /actions': (b) => wrongTarget({ event_id: 'x', steps: [step({ devices: [b.devices] })] }),
  'get /actions': () => own(200),
  'get /actions/:event_id': () => missing(),
  'patch /actions/:event_id': () => missing({ name: 'mine' }),
  'delete /actions/:event_id': () => missing(),
  'post /actions/:event_id/test': () => noEvent({}),
  'post /links': (b) => noEvent({ event_id: b.actions }),
  'get /links': () => own(200),
  'get /links/:id': () => missing(),
  'delete /links/:id': () => missing(),
  'post /webhooks': (b) => wrongTarget(hook({ devices: [b.devices] })),
  'get /webhooks': () => own(200),
  'get /webhooks/:id': () => missing(),
  'patch /webhooks/:id': () => missing({ url: 'https://hooks.example.com/mine', enabled: false }),
  'delete /webhooks/:id': () => missing(),
  'get /webhooks/:id/secret': () => missing(),
  'post /webhooks/:id/rotate-secret': () => missing({ overlap_seconds: 0 }),
  'post /webhooks/:id/test': () => missing({ data: { note: 'mine' } }),
  'get /webhooks/:id/deliveries': () => missing(),
  'get /webhooks/:id/logs': () => missing(),
  'post /webhooks/:id/replay': () => missing({ from: '2020-01-01T00:00:00Z' }),
  'get /deliveries': (b) => ({ ...own(200), query: `?event_id=${b.events}` }),
  'get /deliveries/:id': () => missing(),
  'post /deliveries/:id/replay': () => missing(),
  'post /deliveries/:id/cancel': () => missing(),
  'get /events': (b) => ({ ...own(200), query: `?device_id=${b.devices}` }),
  'get /events/:id': () => missing(),
  'get /events/:id/body': () => missing(),
  'post /alarm-rules': (b) => wrongTarget(rule({ device_type: b['device-types'] })),
  'get /alarm-rules': () => own(200),
  'get /alarm-rules/:id': () => missing(),
  'patch /alarm-rules/:id': () => missing({ name: 'mine', enabled: false }),
  'delete /alarm-rules/:id': () => missing(),
  'get /alarms': (b) => ({ ...own(200), query: `?rule_id=${b['alarm-rules']}` }),
  'get /alarms/:id': () => missing(),
  'post /alarms/:id/note': () => missing({ note: 'mine' }),
  'post /alarms/:id/clear': () => missing({ note: 'mine' }),
  'get /triggers': (b) => ({ ...own(200), query: `?event_id=${b.actions}` }),
  'get /triggers/:id': () => missing(),
  'post /commands': (b) => wrongTarget(step({ groups: [b.groups] })),
  'get /commands': () => own(200),
  'get /commands/:id': () => missing(),
  'get /commands/:id/receipts': () => missing(),
  'post /commands/:id/cancel': () => missing(),
};

const nameOf = (route: Route) => `${route.method} ${route.path.replace('/api/v1', '')}`;

/** An id of each of a project's nouns, by the name its route has, and its connected device. */
type Things = Awaited<ReturnType<typeof makeThings>>;

/** `word` stands in everything that can hold a text. */
async function makeThings(
  server: TestServer,
  receiver: WebhookReceiver,
  tenant: Tenant,
  { event, word }: { event: string; word: string },
) {
  const { make, api, keyId, projectId } = tenant;
  const group = await make('/groups', { name: word });
  const type = await make('/device-types', { name: word });
  const rest = { type: type.id, tags: ['lobby'], metadata: { note: word } };
  const device = await make('/devices', { name: word, group_id: group.id, ...rest });
  const connected = await server.device(device.token);
  const steps = [step({ groups: [group.id] }, word)];
  await make('/actions', { event_id: event, name: word, steps });
  const link = await make('/links', { event_id: event, payload: { note: word } });
  const email = `${word}@${event}.example`;
  const user = await make('/users', { email, name: word, role: 'owner', password: 'a password of B' });
  const fired = bodyOf(await api(`/actions/${event}/test`, { body: { note: word } }), 200);
  await connected.applyAll();
  return {
    keys: keyId,
    users: user.id,
    projects: projectId,
    groups: group.id,
    'device-types': type.id,
    devices: device.id,
    actions: event,
    links: link.id,
    triggers: fired.trigger_id,
    commands: fired.commands[0].id,
    token: device.token as string,
    connected,
    ...(await makeHeard(server, receiver, tenant, { word, device, type })),
  };
}

/** What a device says, and all that comes of it: an event, an alarm, and deliveries of both that are done. */
async function makeHeard(
  server: TestServer,
  receiver: WebhookReceiver,
  { make, api, projectId }: Tenant,
  { word, device, type }: { word: string; device: { id: number; token: string }; type: { id: string } },
) {
  const webhook = await make('/webhooks', {
    module_id: `module-${projectId}`,
    name: word,
    description: word,
    url: `${receiver.url}/${word}`,
    headers: { 'x-note': word },
    command_url: `${receiver.url}/${word}`,
    metadata: { note: word },
  });
  const when = { path: 'note', op: '=', value: word };
  const attached = { device_type: type.id, webhooks: [webhook.id] };
  const alarmRule = await make('/alarm-rules', rule({ name: word, when, clear_when: null, ...attached }));
  const asDevice = { key: null, headers: { authorization: `Thing ${device.token}` } };
  const event = { eventType: word, eventData: { note: word } };
  const put = { ...asDevice, method: 'PUT', body: event };
  assert.equal((await request(`${server.url}/devices/${device.id}/event`, put)).status, 204);
  const said = { ...asDevice, body: { note: word } };
  assert.equal((await request(`${server.url}/messages/reading`, said)).status, 202);
  const deliveries = await waitFor(
    async () => {
      const items = await listAll(api, '/deliveries?status=delivered');
      return items.length === 3 && items;
    },
    { what: 'the deliveries of an event, a message and an alarm' },
  );
  const [alarm] = await listAll(api, '/alarms');
  return {
    webhooks: webhook.id as string,
    deliveries: deliveries[0].id as string,
    events: bodyOf(await api('/events?kind=event'), 200).items[0].id as string,
    'alarm-rules': alarmRule.id as string,
    alarms: alarm.id as string,
  };
}

onEveryDatabase('tenants', (start) => {
  const server = oneServer(start, { env: reachReceivers });
  let receiver: WebhookReceiver;
  let a: Tenant;
  let b: Tenant;
  let ofA: Things;
  let ofB: Things;
  let keyForNothing: string;
  let earlier: unknown;

  before(async () => {
    receiver = await startReceiver();
    a = await makeTenant(server(), 'A', scopes);
    b = await makeTenant(server(), 'B', scopes);
    ofA = await makeThings(server(), receiver, a, { event: 'a-event', word: 'of-a' });
    ofB = await makeThings(server(), receiver, b, { event: 'b-event', word: marker });
    keyForNothing = (await makeKey(server(), { scopes: ['publish'] }, b.projectId)).key;
  });
  after(() => receiver?.[Symbol.asyncDispose]());

  /** Every answer is looked at: no failure of ours, no glimpse of our inside. */
  async function ask(route: Route, things: Things, call: Call & { query?: string } = {}): Promise<Answer> {
    const noun = route.path.split('/')[3] as keyof Things;
    const path = route.path.replace(/:(id|event_id)/, String(things[noun])) + (call.query ?? '');
    return sound(await request(server().url + path, { method: route.method.toUpperCase(), ...call }));
  }

  function sound(answer: Answer): Answer {
    const text = JSON.stringify(answer.body);
    assert.ok(answer.status < 500, `${answer.status} ${text}`);
    assert.doesNotMatch(text, /\bat [^"]*\.[tj]s:\d+|node_modules|node:internal/);
    return answer;
  }

  /** Everything of B as B sees it, but for when it was last used and by whom. */
  async function everythingOfB() {
    const lists = [
      ...['keys', 'users', 'audit', 'groups', 'device-types', 'devices', 'actions', 'links', 'triggers'],
      ...['commands', 'webhooks', 'deliveries', 'events', 'alarm-rules', 'alarms'],
    ];
    const ones = [
      `/webhooks/${ofB.webhooks}`,
      `/webhooks/${ofB.webhooks}/logs`,
      `/deliveries/${ofB.deliveries}`,
      `/events/${ofB.events}`,
      `/devices/${ofB.devices}/state`,
      `/commands/${ofB.commands}`,
      `/commands/${ofB.commands}/receipts`,
    ];
    const shown = await Promise.all([
      ...lists.map((list) => listAll(b.api, `/${list}`)),
      ...ones.map(async (path) => bodyOf(await b.api(path), 200)),
    ]);
    return JSON.parse(
      JSON.stringify(shown, (name, value) =>
        /^(last_(used|seen)|connected)_at$|^address$/.test(name) ? undefined : value,
      ),
    );
  }

  for (const route of routes) {
    const name = nameOf(route);

    test(`${name} with ids of another project`, async () => {
      const make = cases[name];
      assert.ok(make, `there is no case for ${name}: add one to this file`);
      earlier ??= await everythingOfB();
      const given = make(ofB);
      const answer = await ask(route, ofB, { key: a.key, ...given });
      assert.equal(answer.status, given.status, JSON.stringify(answer.body));
      if (given.code) assert.equal(answer.body.code, given.code);
      assert.ok(!JSON.stringify(answer.body).includes(marker));
      assert.deepEqual(await everythingOfB(), earlier);
      assert.ok(ofB.connected.socket.connected);
    });

    test(`${name} as a guest, and with a key for nothing of it`, async () => {
      const { body } = cases[name]?.(ofB) ?? {};
      for (const call of [{ key: null }, { key: 'fhk_wrong' }, { key: ofB.token }]) {
        const answer = await ask(route, ofB, { ...call, body });
        assert.deepEqual(codeOf(answer), [401, 'bad_key']);
      }
      const answer = await ask(route, ofB, { key: keyForNothing, body });
      const expected = name === 'get /whoami' ? [200, undefined] : [403, 'not_allowed'];
      assert.deepEqual(codeOf(answer), expected);
    });

    test(`${name} of another project by x-project-id`, async () => {
      const { body } = cases[name]?.(ofB) ?? {};
      const headers = { 'x-project-id': String(b.projectId) };
      const answer = await ask(route, ofB, { key: a.key, headers, body });
      assert.deepEqual(codeOf(answer), [403, 'not_allowed']);
    });

    if (route.method === 'get' || !cases[name]?.({} as Things).body) continue;
    test(`${name} with a broken body`, async () => {
      const json = { 'content-type': 'application/json' };
      const deep = `{"name":${'['.repeat(64)}${']'.repeat(64)}}`;
      const broken: [string | Uint8Array, Record<string, string>, number][] = [
        ['{"name":', json, 400],
        ['"text"', json, 400],
        ['null', json, 400],
        [deep, json, 400],
        ['<name/>', { 'content-type': 'application/xml' }, 415],
        ['{}', { 'content-type': 'text/plain' }, 415],
        ['{"no such member":1}', json, 400],
        [`{"name":"${'x'.repeat(8 * 1_024 * 1_024)}"}`, json, 413],
      ];
      const key = route.scopes.includes('admin') ? undefined : b.key;
      for (const [raw, headers, status] of broken) {
        // What is tried out with a call of any shape takes any member.
        if (name === 'post /actions/:event_id/test' && raw === '{"no such member":1}') continue;
        const answer = await ask(route, ofB, { raw, headers, ...(key && { key }) });
        assert.equal(answer.status, status, `${raw.slice(0, 30)} ${JSON.stringify(answer.body)}`);
      }
    });
  }

  test('A can put nothing of its own where B is', async () => {
    const steps = [step({ all: true }), step({ groups: [ofA.groups, ofB.groups] })];
    const wrong: [string, string, unknown][] = [
      ['PATCH', `/groups/${ofA.groups}`, { parent_id: ofB.groups }],
      ['PATCH', `/devices/${ofA.devices}`, { group_id: ofB.groups }],
      ['PATCH', `/devices/${ofA.devices}`, { type: ofB['device-types'] }],
      ['POST', '/devices', [{ name: 'one' }, { name: 'two', group_id: ofB.groups }]],
      ['POST', '/devices', { name: 'three', type: ofB['device-types'] }],
      ['POST', '/actions', { event_id: 'wrong', steps }],
      ['PATCH', `/actions/${ofA.actions}`, { steps }],
      ['PATCH', `/actions/${ofA.actions}`, { steps: [step({ devices: [ofB.devices] })] }],
      ['POST', '/commands', step({ devices: [ofB.devices] })],
      ['POST', '/webhooks', hook({ groups: [ofA.groups, ofB.groups] })],
      ['POST', '/webhooks', hook({ device_types: [marker] })],
      ['POST', '/webhooks', hook({ alarm_rules: [ofB['alarm-rules']] })],
      ['PATCH', `/webhooks/${ofA.webhooks}`, { filter: { devices: [ofB.devices] } }],
      ['POST', '/alarm-rules', rule({ device_type: marker })],
      ['POST', '/alarm-rules', rule({ device_type: 'of-a', webhooks: [ofB.webhooks] })],
      ['PATCH', `/alarm-rules/${ofA['alarm-rules']}`, { device_type: ofB['device-types'] }],
      ['PATCH', `/alarm-rules/${ofA['alarm-rules']}`, { webhooks: [ofA.webhooks, ofB.webhooks] }],
      ['POST', `/webhooks/${ofA.webhooks}/test`, { device_id: ofB.devices }],
    ];
    const heard = ofB.connected.states.length;
    for (const [method, path, body] of wrong) {
      const answer = await a.api(path, { method, body });
      const expected = path.endsWith('/test') ? [404, 'not_found'] : [422, 'unknown_target'];
      assert.deepEqual(codeOf(answer), expected, `${method} ${path} ${JSON.stringify(body)}`);
    }
    const firing = await a.api('/alarm-rules', {
      body: rule({ device_type: 'of-a', actions: [ofB.actions] }),
    });
    assert.deepEqual(codeOf(firing), [404, 'unknown_event']);
    assert.equal(ofB.connected.states.length, heard);
    assert.equal((await listAll(a.api, '/devices?q=one')).length, 0);
  });

  test('filters and cursors of A find nothing of B', async () => {
    const cursor = Buffer.from('zzz').toString('base64url');
    const last = Buffer.from('ffffffff-ffff-7fff-bfff-ffffffffffff').toString('base64url');
    const paths = [
      `/commands?cursor=${cursor}`,
      `/triggers?cursor=${cursor}`,
      `/audit?subject_id=${ofB.keys}`,
      '/devices?tag=lobby&online=true',
      `/devices?q=${marker}`,
      `/groups?name=${marker}`,
      `/webhooks?q=${marker}`,
      `/deliveries?cursor=${last}`,
      `/webhooks/${ofA.webhooks}/deliveries?event_id=${ofB.events}`,
      `/webhooks/${ofA.webhooks}/logs?cursor=${last}`,
      `/events?cursor=${last}`,
      `/events?type=${marker}`,
      `/alarms?cursor=${last}`,
      `/alarms?device_id=${ofB.devices}`,
    ];
    for (const path of paths) {
      const items = await listAll(a.api, path);
      assert.ok(!JSON.stringify(items).includes(marker), path);
      const ids = items.map((item) => item.id);
      const foreign = Object.values(ofB).filter((id) => typeof id !== 'object' && ids.includes(id));
      assert.deepEqual(foreign, [], path);
    }
  });

  test('the same event_id, id, tag and name in both projects stay apart', async () => {
    const event_id = 'shared';
    const made = [];
    for (const tenant of [a, b]) {
      const name = `of ${tenant.projectId}`;
      await tenant.make('/device-types', { id: event_id, name });
      const group = await tenant.make('/groups', { name: event_id });
      const device = await tenant.make('/devices', { name: event_id, group: event_id, type: event_id });
      assert.equal(device.group_id, group.id);
      const steps = [step({ tags: ['lobby'] }, name), step({ all: true }, name)];
      await tenant.make('/actions', { event_id, steps });
      made.push({ device, link: await tenant.make('/links', { event_id }) });
    }
    const heard = ofB.connected.states.length;
    const fired = bodyOf(await server().trigger({ event_id }, { key: a.key }), 200);
    const counts = fired.commands.map(({ targeted, online }: Record<string, number>) => [targeted, online]);
    assert.equal(JSON.stringify(counts), '[[1,1],[2,1]]');
    await ofA.connected.applyAll();
    assert.equal(ofB.connected.states.length, heard);
    assert.equal(bodyOf(await b.api(`/devices/${ofB.devices}/state`), 200).emergency.message, marker);

    const earlierOfB = await everythingOfB();
    const type = `/device-types/${event_id}`;
    bodyOf(await a.api(type, { method: 'PATCH', body: { name: 'mine' } }), 200);
    for (const path of [`/devices/${made[0]?.device.id}`, type, `/actions/${event_id}`]) {
      bodyOf(await a.api(path, { method: 'DELETE' }), 204);
    }
    assert.equal((await a.api(`/links/${made[0]?.link.id}`)).status, 404);
    assert.deepEqual(await everythingOfB(), earlierOfB);
  });

  test('a device that connects gets nothing that was meant for another project', async () => {
    await a.make('/commands', { function: 'show_toast', params: { message: 'x' }, target: { all: true } });
    await a.make('/commands', step({ all: true }, 'of A'));
    const { token } = await b.make('/devices', { name: 'late' });
    const device = await server().device(token);
    const { id } = await b.make('/commands', { function: 'refresh_content', target: { all: true } });
    await waitFor(() => device.commands.some((command) => command.id === id), {
      what: 'what is meant for it',
    });
    assert.ok(!device.commands.some((command) => command.function === 'show_toast'));
    assert.notEqual(device.state.emergency?.message, 'of A');
    assert.equal((await listAll(a.api, '/devices?q=late')).length, 0);
  });

  test('a project that is deleted takes nothing of another along', async () => {
    const c = await makeTenant(server(), 'C', scopes);
    const ofC = await makeThings(server(), receiver, c, { event: 'c-event', word: 'of-c' });
    const ofUser = { email: `${marker}@b-event.example`, password: 'a password of B' };
    const session = await server().api('/session', { key: null, body: ofUser });
    const cookie = session.headers.get('set-cookie') ?? '';
    const earlierOfB = await everythingOfB();
    bodyOf(await c.api(`/devices/${ofC.devices}`, { method: 'DELETE' }), 204);
    bodyOf(await server().api(`/projects/${c.projectId}`, { method: 'DELETE' }), 204);
    assert.deepEqual(await everythingOfB(), earlierOfB);
    assert.equal((await server().api('/devices', { key: null, headers: { cookie } })).status, 200);
    assert.ok(ofB.connected.socket.connected);
  });

  test('a project that is deleted leaves nothing that goes on', async () => {
    const d = await makeTenant(server(), 'D', scopes);
    const ofD = await makeThings(server(), receiver, d, { event: 'd-event', word: 'of-d' });
    await d.make('/commands', { function: 'show_toast', params: { message: 'x' }, target: { all: true } });
    const away = await d.make('/webhooks', { name: 'away', url: 'http://127.0.0.1:9/' });
    const said = { eventType: 'x' };
    const put = { method: 'PUT', key: null, headers: { authorization: `Thing ${ofD.token}` }, body: said };
    await request(`${server().url}/devices/${ofD.devices}/event`, put);
    await waitFor(async () => bodyOf(await d.api(`/webhooks/${away.id}/logs`), 200).items.length > 0, {
      what: 'the first attempt in vain',
    });
    const { db, live } = server().ctx;
    const firing = { id: newId(1), actionEventId: 'd-event', alarmId: ofD.alarms, payload: {} };
    await insertFirings(db, [{ ...firing, projectId: d.projectId }]);
    const tables = ['pulses', 'alarms', 'deliveries', 'webhook_logs', 'firings'] as const;
    /** What of the project would go on by itself, or stay for ever. */
    const left = async () => {
      const found: string[] = [];
      for (const table of ['commands', ...tables] as const) {
        const all = db.selectFrom(table as 'commands').where('project_id', '=', d.projectId);
        const rows = await (table === 'commands' ? all.where('in_force', '=', 1) : all).selectAll().execute();
        if (rows.length > 0) found.push(table);
      }
      return found;
    };
    assert.deepEqual(await left(), ['commands', ...tables]);
    const before = live.inForce.size();
    bodyOf(await d.api(`/devices/${ofD.devices}`, { method: 'DELETE' }), 204);
    bodyOf(await server().api(`/projects/${d.projectId}`, { method: 'DELETE' }), 204);
    assert.deepEqual(await left(), []);
    assert.equal(live.inForce.size(), before - 1);
  });

  test("A's key fires nothing of B", async () => {
    const heard = ofB.connected.states.length;
    const answer = sound(await server().trigger({ event_id: ofB.actions }, { key: a.key }));
    assert.deepEqual(codeOf(answer), [404, 'unknown_event']);
    assert.equal(ofB.connected.states.length, heard);
    assert.ok(!(await listAll(b.api, '/triggers')).some((trigger) => trigger.status === 'refused'));
  });

  test("B's device gives no receipt for A's command", async () => {
    const { id } = await a.make('/commands', step({ all: true }));
    const answer = await ofB.connected.receipt({ id, status: 'applied' });
    assert.ok(!answer.ok && answer.error.code === 'unknown_command');
    assert.equal(bodyOf(await a.api(`/commands/${id}/receipts`), 200).items.length, 0);
    assert.equal(bodyOf(await a.api(`/commands/${id}`), 200).coverage.applied, 0);
  });

  test("A's devices and keys speak for no device of B, and ask no webhook of B", async () => {
    earlier = await everythingOfB();
    const group = `/groups/${ofB.groups}/webhooks`;
    const thing = `/things/${ofB.devices}/webhooks`;
    const webhook = `/webhooks/${ofB.webhooks}`;
    const removal = { webhook_ids: [ofB.webhooks] };
    const own = { name: 'mine', url: 'https://hooks.example.com/mine' };
    const event = { eventType: 'mine' };
    const command = { action: 'mine' };
    const module = `smartModules/module-${b.projectId}/command`;
    const calls: [string, string, unknown, number, string?][] = [
      ['PUT', `/devices/${ofB.devices}/event`, event, 403, ofA.token],
      ['PUT', `/devices/${ofB.devices}/event`, event, 404],
      ['POST', `/devices/${ofB.devices}/bulkData/photo`, event, 403, ofA.token],
      ['POST', `/devices/${ofB.devices}/bulkData/photo`, event, 404],
      ['POST', '/messages/reading', event, 401],
      ['PUT', `/homes/${ofB.groups}/${module}`, command, 404],
      ['PUT', `/homes/${ofA.groups}/${module}`, command, 404],
      ['POST', thing, [own], 403],
      ['GET', thing, undefined, 403],
      ['GET', group, undefined, 403],
      ['GET', webhook, undefined, 404],
      ['PUT', webhook, own, 404],
      ['DELETE', '/webhooks', removal, 404],
      ['PATCH', '/webhooks', { webhook_ids: [ofA.webhooks, ofB.webhooks] }, 404],
    ];
    for (const [method, path, body, status, key = a.key] of calls) {
      const answer = sound(await request(server().url + path, { method, key, body }));
      assert.equal(answer.status, status, `${method} ${path} ${JSON.stringify(answer.body)}`);
      assert.ok(!JSON.stringify(answer.body).includes(marker));
    }
    assert.deepEqual(await everythingOfB(), earlier);
    bodyOf(await a.api(`/webhooks/${ofA.webhooks}`), 200);
  });

  test('a wrong method is 405 and says which are right', async () => {
    for (const [path, known] of Map.groupBy(routes, (route) => route.path)) {
      const right = known.map((route) => route.method);
      for (const method of ['get', 'post', 'put', 'patch', 'delete'] as const) {
        if (right.includes(method as Route['method'])) continue;
        const answer = await ask({ ...(known[0] as Route), path, method: method as 'get' }, ofB, {});
        assert.deepEqual(codeOf(answer), [405, 'method_not_allowed'], `${method} ${path}`);
        const allow = answer.headers.get('allow')?.toLowerCase().split(', ') ?? [];
        assert.deepEqual(allow.filter((each) => each !== 'head').sort(), right.toSorted());
      }
    }
  });

  test('a path that is none is 404', async () => {
    const paths = ['/api/v1/nothing', '/api/v1', '/api/v2/keys', '/nothing', '/api/v1/keys/a/b/c'];
    for (const path of paths) {
      for (const call of [{}, { body: {} }, { key: a.key }]) {
        const answer = sound(await asGuest(server(), path, call));
        assert.deepEqual(codeOf(answer), [404, 'not_found'], path);
      }
    }
  });

  test('ids that cannot be are 404 or 400, never worse', async () => {
    const ids = [
      ...['0', '-1', '1.5', '1e3', '0x1', '9'.repeat(16), '9'.repeat(40), '%00', '%2e%2e%2F', 'a%2Fb', '%ff'],
      ...['constructor', '__proto__', '%F0%9F%98%80', "1'--", '%25', 'x'.repeat(2_000)],
    ];
    for (const route of routes.filter(({ path, method }) => /:/.test(path) && method === 'get')) {
      for (const id of ids) {
        const answer = sound(await request(server().url + route.path.replace(/:\w+/, id), {}));
        assert.ok([400, 404].includes(answer.status), `${route.path} ${id} ${answer.status}`);
      }
    }
  });
});
