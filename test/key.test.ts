import assert from 'node:assert/strict';
import { before, test } from 'node:test';
import type { Route } from '../src/http/route.ts';
import { routes } from '../src/http/routes.ts';
import {
  bodyOf,
  codeOf,
  listAll,
  makeKey,
  makeTenant,
  oneServer,
  type Tenant,
} from './support/management.ts';
import { type Answer, adminKey, onEveryDatabase, request, type TestServer } from './support/server.ts';
import { waitFor } from './support/wait.ts';

const refused = [401, 'bad_key'];
const notAllowed = [403, 'not_allowed'];

/** What each scope may call, besides whoami. `manage` may all that is not for `admin` or `trigger` alone. */
const looks = [
  'get /groups',
  'get /groups/:id',
  'get /device-types',
  'get /device-types/:id',
  'get /devices',
  'get /devices/:id',
  'get /devices/:id/state',
  'get /actions',
  'get /actions/:event_id',
  'get /triggers',
  'get /triggers/:id',
  'get /commands',
  'get /commands/:id',
  'get /commands/:id/receipts',
  'get /webhooks/:id/deliveries',
  'get /webhooks/:id/logs',
  'get /deliveries',
  'get /deliveries/:id',
  'get /events',
  'get /events/:id',
  'get /events/:id/body',
  'get /alarm-rules',
  'get /alarm-rules/:id',
  'get /alarms',
  'get /alarms/:id',
];
const commands = [
  'post /commands',
  'post /commands/:id/cancel',
  'post /alarms/:id/note',
  'post /alarms/:id/clear',
];
const nameOf = (route: Route) => `${route.method} ${route.path.replace('/api/v1', '')}`;
const names = routes.map(nameOf);
const may: Record<string, string[]> = {
  trigger: ['get /triggers', 'get /triggers/:id', 'post /actions/:event_id/test'],
  read: looks,
  publish: [],
  command: commands,
  manage: names.filter((name) => !/^\w+ \/projects/.test(name)),
  admin: names,
};

async function fire(server: TestServer, key: string, event_id = 'evac'): Promise<Answer> {
  return server.trigger({ event_id }, { key });
}

async function makeEvac(tenant: Pick<Tenant, 'api'>, event_id = 'evac'): Promise<void> {
  const steps = [{ function: 'enable_emergency', params: {}, target: { all: true } }];
  bodyOf(await tenant.api('/actions', { body: { event_id, steps } }), 201);
}

onEveryDatabase('keys', (start) => {
  const server = oneServer(start, { env: { TRUST_PROXY: 'loopback' } });
  before(async () => {
    await makeEvac(server());
    await makeEvac(server(), 'other');
  });
  const whoami = (key: string | null, headers = {}) => server().api('/whoami', { key, headers });
  const change = async (id: string, body: unknown) =>
    bodyOf(await server().api(`/keys/${id}`, { method: 'PATCH', body }), 200);

  test('a key is shown when it is made, and only then', async () => {
    const body = { name: 'Fire panel', scopes: ['trigger', 'trigger'], event_ids: ['evac'] };
    const made = bodyOf(await server().api('/keys', { body }), 201);
    assert.match(made.key, /^fhk_[0-9A-Za-z]{38}$/);
    assert.ok(made.key.startsWith(made.prefix) && made.prefix.length < 20);
    const { key, ...shown } = made;
    assert.deepEqual(shown.scopes, ['trigger']);
    assert.deepEqual(bodyOf(await server().api(`/keys/${made.id}`), 200), shown);
    assert.ok(!JSON.stringify(await listAll(server().api, '/keys')).includes(key));
    assert.deepEqual(bodyOf(await server().api(`/keys/${made.id}/reveal`), 200), { id: made.id, key });
    const taken = await server().api('/keys', { body });
    assert.deepEqual(codeOf(taken), [409, 'name_taken']);
  });

  const wrong: [string, unknown][] = [
    ['no name', { scopes: ['read'] }],
    ['an empty name', { name: ' ', scopes: ['read'] }],
    ['a name with a control character', { name: 'a\u0007b', scopes: ['read'] }],
    ['a name that is too long', { name: 'x'.repeat(201), scopes: ['read'] }],
    ['no scope', { name: 'x', scopes: [] }],
    ['an unknown scope', { name: 'x', scopes: ['root'] }],
    ['a bad address', { name: 'x', scopes: ['read'], allowed_ips: ['10.0.0.256'] }],
    ['a bad network', { name: 'x', scopes: ['read'], allowed_ips: ['10.0.0.0/33'] }],
    ['an empty list of addresses', { name: 'x', scopes: ['read'], allowed_ips: [] }],
    ['a bad end', { name: 'x', scopes: ['read'], expires_at: 'tomorrow' }],
    ['a secret of its own', { name: 'x', scopes: ['read'], key: 'fhk_mine' }],
  ];
  for (const [title, body] of wrong) {
    test(`a key with ${title} is refused`, async () => {
      assert.deepEqual(codeOf(await server().api('/keys', { body })), [400, 'bad_request']);
    });
  }

  for (const [scope, allowed] of Object.entries(may)) {
    test(`the scope ${scope} may what it may, and nothing else`, async () => {
      const { key } = await makeKey(server(), { scopes: [scope] });
      for (const route of routes.filter((each) => nameOf(each) !== 'get /whoami')) {
        const url = server().url + route.path.replace(/:\w+/, '4096');
        // No call here is complete, so none changes anything.
        const answer = await request(url, { key, method: route.method.toUpperCase() });
        const isRefused = answer.status === 403;
        assert.equal(isRefused, !allowed.includes(nameOf(route)), `${nameOf(route)} ${answer.status}`);
      }
      const fired = await fire(server(), key);
      assert.equal(fired.status, ['trigger', 'admin'].includes(scope) ? 200 : 403);
    });
  }

  test('a key that may only fire sees what it fired itself', async () => {
    const [one, other] = [
      await makeKey(server(), { scopes: ['trigger'] }),
      await makeKey(server(), { scopes: ['trigger'] }),
    ];
    const fired = bodyOf(await fire(server(), one.key), 200);
    assert.equal((await server().api(`/triggers/${fired.trigger_id}`, { key: one.key })).status, 200);
    assert.deepEqual(codeOf(await server().api(`/triggers/${fired.trigger_id}`, { key: other.key })), [
      404,
      'not_found',
    ]);
    assert.equal(bodyOf(await server().api('/triggers', { key: other.key }), 200).items.length, 0);
  });

  test('a key for some event_ids fires no other, by no way', async () => {
    const { key } = await makeKey(server(), { scopes: ['trigger'], event_ids: ['evac'] });
    const first = bodyOf(await server().api('/commands?limit=1'), 200).items[0]?.id;
    assert.equal((await fire(server(), key)).status, 200);
    const base = `${server().url}/public-api/integration/webhooks`;
    const ways: [string, Answer][] = [
      ['POST', await fire(server(), key, 'other')],
      ['POST of an event_id that is not there', await fire(server(), key, 'none')],
      ['POST to the path', await request(`${base}/other`, { key, body: {} })],
      ['GET', await request(`${base}?event_id=other`, { key })],
      ['dry run', await server().trigger({ event_id: 'other', dry_run: true }, { key })],
      ['test', await server().api('/actions/other/test', { key, body: {} })],
    ];
    const fired = bodyOf(await server().api('/commands'), 200).items.map(({ id }: { id: string }) => id);
    assert.equal(fired.indexOf(first ?? fired[1]), 1, 'one command and no more');
    for (const [way, answer] of ways) assert.deepEqual(codeOf(answer), notAllowed, way);
  });

  test('one answer for a key that is unknown, switched off, over, deleted', async () => {
    const made = await makeKey(server(), { scopes: ['trigger', 'read'] });
    const [off, over, gone] = [
      await makeKey(server(), { scopes: ['trigger', 'read'], enabled: false }),
      await makeKey(server(), { scopes: ['trigger', 'read'], expires_at: '2020-01-01T00:00:00Z' }),
      await makeKey(server(), { scopes: ['trigger', 'read'] }),
    ];
    await server().api(`/keys/${gone.id}`, { method: 'DELETE' });
    await server().api(`/keys/${made.id}/rotate`, { method: 'POST' });
    const keys = [made.key, off.key, over.key, gone.key, 'anything-else-at-all'];
    for (const ask of [whoami, (key: string) => fire(server(), key)]) {
      const answers = await Promise.all(keys.map(ask));
      for (const answer of answers) {
        assert.deepEqual(codeOf(answer), refused);
        assert.deepEqual(answer.body, answers[0]?.body);
      }
    }
    assert.equal((await whoami(null)).headers.get('www-authenticate'), 'Bearer');
  });

  test('a mistyped key is told so', async () => {
    const { key } = await makeKey(server(), { scopes: ['trigger', 'read'] });
    const mistyped = [
      key.slice(0, -1),
      `${key}x`,
      key.replace(/.$/, (last: string) => (last === 'a' ? 'b' : 'a')),
    ];
    const unknown = await whoami('anything-else-at-all');
    for (const each of mistyped) {
      for (const answer of [await whoami(each), await fire(server(), each)]) {
        assert.deepEqual(codeOf(answer), refused);
        assert.match(answer.body.detail ?? answer.body.error.detail, /mistyped/);
      }
    }
    assert.doesNotMatch(unknown.body.detail, /mistyped/);
  });

  test('a change counts at once, also for triggers', async () => {
    const made = await makeKey(server(), { scopes: ['trigger', 'read'] });
    const works = async (key: string) => [(await whoami(key)).status, (await fire(server(), key)).status];
    assert.deepEqual(await works(made.key), [200, 200]);
    await change(made.id, { enabled: false });
    assert.deepEqual(await works(made.key), [401, 401]);
    await change(made.id, { enabled: true, scopes: ['read'] });
    assert.deepEqual(await works(made.key), [200, 403]);
    await change(made.id, { scopes: ['trigger'], expires_at: '2020-01-01T00:00:00Z' });
    assert.deepEqual(await works(made.key), [401, 401]);
    await change(made.id, { expires_at: null, event_ids: ['other'] });
    assert.deepEqual(await works(made.key), [200, 403]);
    await change(made.id, { event_ids: null });
    assert.deepEqual(await works(made.key), [200, 200]);
    const rotated = bodyOf(await server().api(`/keys/${made.id}/rotate`, { method: 'POST' }), 200);
    assert.equal(rotated.id, made.id);
    assert.deepEqual(
      [await works(made.key), await works(rotated.key)],
      [
        [401, 401],
        [200, 200],
      ],
    );
    bodyOf(await server().api(`/keys/${made.id}`, { method: 'DELETE' }), 204);
    assert.deepEqual(await works(rotated.key), [401, 401]);
    assert.equal((await server().api(`/keys/${made.id}`)).status, 404);
  });

  const addresses: [string[], string, boolean][] = [
    [['10.1.2.3'], '10.1.2.3', true],
    [['10.1.2.3'], '10.1.2.4', false],
    [['10.1.2.3'], '::ffff:10.1.2.3', true],
    [['10.0.0.0/8'], '10.255.0.1', true],
    [['10.9.9.9/8'], '10.255.0.1', true],
    [['10.0.0.0/8'], '11.0.0.1', false],
    [['0.0.0.0/0'], '203.0.113.9', true],
    [['0.0.0.0/0'], '2001:db8::1', false],
    [['2001:db8::/32'], '2001:db8:1::5', true],
    [['2001:db8::/32'], '2001:db9::5', false],
    [['2001:db8::1'], '2001:0db8:0:0:0:0:0:1', true],
    [['192.0.2.1', '2001:db8::/32', '10.0.0.0/8'], '10.0.0.1', true],
    [['10.0.0.0/8'], 'garbage', false],
    [['10.0.0.0/8'], 'x'.repeat(300), false],
  ];
  for (const [allowed_ips, address, good] of addresses) {
    test(`a key for ${allowed_ips} used from ${address.slice(0, 30)}`, async () => {
      const { key } = await makeKey(server(), { scopes: ['trigger', 'read'], allowed_ips });
      const headers = { 'x-forwarded-for': address };
      const answers = [
        await whoami(key, headers),
        await server().trigger({ event_id: 'evac' }, { key, headers }),
      ];
      for (const answer of answers) {
        assert.deepEqual(codeOf(answer), good ? [200, undefined] : notAllowed);
      }
      // From here, without a proxy.
      const isOpen = allowed_ips.includes('0.0.0.0/0');
      assert.deepEqual(codeOf(await whoami(key)), isOpen ? [200, undefined] : notAllowed);
    });
  }

  test('an address that is none does no harm', async () => {
    const headers = { 'x-forwarded-for': 'x'.repeat(300) };
    assert.equal((await server().trigger({ event_id: 'evac' }, { headers })).status, 200);
    const body = { name: 'from nowhere', scopes: ['read'] };
    assert.equal((await server().api('/keys', { body, headers })).status, 201);
  });

  test('when it was last used is told soon', async () => {
    const made = await makeKey(server(), { scopes: ['trigger'] });
    assert.equal(made.last_used_at, null);
    const earlier = Date.now();
    await fire(server(), made.key);
    const used = await waitFor(async () => (await server().api(`/keys/${made.id}`)).body.last_used_at, {
      what: 'last_used_at',
    });
    assert.ok(Date.parse(used) >= earlier && Date.parse(used) <= Date.now());
  });

  test('a manage key deals with no admin key and makes itself none', async () => {
    const manager = await makeKey(server(), { scopes: ['manage'] });
    const admin = await makeKey(server(), { scopes: ['admin'] });
    const tries: [string, string, unknown?][] = [
      ['POST', '/keys', { name: 'mine', scopes: ['read', 'admin'] }],
      ['PATCH', `/keys/${manager.id}`, { scopes: ['admin'] }],
      ['PATCH', `/keys/${admin.id}`, { enabled: false }],
      ['PATCH', `/keys/${admin.id}`, { scopes: ['read'] }],
      ['GET', `/keys/${admin.id}/reveal`],
      ['POST', `/keys/${admin.id}/rotate`],
      ['DELETE', `/keys/${admin.id}`],
    ];
    for (const [method, path, body] of tries) {
      const answer = await server().api(path, { key: manager.key, method, body });
      assert.deepEqual(codeOf(answer), notAllowed, `${method} ${path}`);
      assert.ok(!JSON.stringify(answer.body).includes(admin.key));
    }
    assert.deepEqual((await whoami(manager.key)).body.scopes.includes('admin'), false);
    assert.equal((await whoami(admin.key)).status, 200);
    assert.ok(!(await listAll(server().api, '/keys')).some(({ name }) => name === 'mine'));
  });

  test('whoami tells the key and what it may', async () => {
    const tenant = await makeTenant(server(), 'Whoami', ['manage']);
    assert.deepEqual(bodyOf(await tenant.api('/whoami'), 200), {
      type: 'key',
      id: tenant.keyId,
      name: 'Whoami key',
      scopes: ['manage', 'read', 'command', 'publish'],
      project_id: tenant.projectId,
    });
  });

  for (const [title, secret] of [
    ['FLEETHOOK_ADMIN_KEY', async () => adminKey],
    ['an admin key', async () => (await makeKey(server(), { scopes: ['admin'] })).key],
  ] as const) {
    test(`${title} acts on project 1 or on the one it names`, async () => {
      const key = await secret();
      const tenant = await makeTenant(server(), `By ${title}`, ['read']);
      const of = (project: string) => whoami(key, { 'x-project-id': project });
      assert.equal((await whoami(key)).body.project_id, 1);
      assert.equal((await of('1')).body.project_id, 1);
      assert.equal((await of(String(tenant.projectId))).body.project_id, tenant.projectId);
      assert.deepEqual(codeOf(await of('999999')), [404, 'not_found']);
      for (const bad of ['0', '-1', 'one', '1.5', '1,2']) {
        assert.deepEqual(codeOf(await of(bad)), [400, 'bad_request'], bad);
      }
      assert.equal((await fire(server(), key)).status, 200);
    });
  }
});

onEveryDatabase('limits of keys', (start) => {
  const env = { RATE_LIMIT_FAILED_KEYS: '3', RATE_LIMIT_API: '8', RATE_LIMIT_TRIGGERS: '4' };
  const server = oneServer(start, { env: { ...env, TRUST_PROXY: 'loopback' } });
  const tooMany = (answer: Answer) => {
    assert.deepEqual(codeOf(answer), [429, 'too_many']);
    const seconds = Number(answer.headers.get('retry-after'));
    assert.ok(seconds > 0 && seconds <= 60, `retry-after ${seconds}`);
  };
  const from = (address: string) => ({ 'x-forwarded-for': address });
  let one: { key: string };
  let other: { key: string };
  before(async () => {
    await makeEvac(server());
    one = await makeKey(server(), { scopes: ['trigger', 'read'] });
    other = await makeKey(server(), { scopes: ['trigger', 'read'] });
  });

  test('an address with bad keys is held up, a good key never', async () => {
    const headers = from('192.0.2.1');
    const api = (key: string) => server().api('/whoami', { key, headers });
    const trigger = (key: string) => server().trigger({ event_id: 'evac' }, { key, headers });
    for (const call of [api, trigger, api]) assert.equal((await call('wrong')).status, 401);
    for (const call of [api, trigger]) tooMany(await call('wrong'));
    assert.equal((await api(one.key)).status, 200);
    assert.equal((await trigger(one.key)).status, 200);
    tooMany(await api('fhk_wrong'));
    assert.equal((await server().api('/whoami', { key: 'wrong', headers: from('192.0.2.2') })).status, 401);
  });

  test('a project that is not there makes a good key no bad one', async () => {
    const headers = { ...from('192.0.2.4'), 'x-project-id': '999999' };
    const { key } = await makeKey(server(), { scopes: ['admin'] });
    for (let time = 0; time < 5; time += 1) {
      assert.deepEqual(codeOf(await server().api('/whoami', { key, headers })), [404, 'not_found']);
    }
  });

  test('links that are none count as bad keys', async () => {
    const call = { key: null, headers: from('192.0.2.3') };
    for (let time = 0; time < 3; time += 1) {
      assert.equal((await request(`${server().url}/l/fhl_nothing`, call)).status, 404);
    }
    tooMany(await request(`${server().url}/l/fhl_nothing`, call));
  });

  test('each key has its own share of triggers', async () => {
    const { key } = await makeKey(server(), { scopes: ['trigger', 'read'] });
    for (let time = 0; time < 4; time += 1) assert.equal((await fire(server(), key)).status, 200);
    const before = bodyOf(await server().api('/triggers', { key }), 200).items.length;
    tooMany(await fire(server(), key));
    tooMany(await fire(server(), key));
    assert.equal((await fire(server(), other.key)).status, 200);
    assert.equal((await server().api('/whoami', { key })).status, 200);
    assert.equal(bodyOf(await server().api('/triggers', { key }), 200).items.length, before + 1);
  });

  test('each key has its own share of management calls', async () => {
    const call = (key: string) => server().api('/whoami', { key });
    let answer = await call(other.key);
    for (let time = 0; time < 8 && answer.status === 200; time += 1) answer = await call(other.key);
    tooMany(answer);
    assert.equal((await call(one.key)).status, 200);
  });
});
