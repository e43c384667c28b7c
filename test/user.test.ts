import assert from 'node:assert/strict';
import { before, test } from 'node:test';
import { bodyOf, codeOf, listAll, makeTenant, oneServer, type Tenant } from './support/management.ts';
import { type Answer, type Call, onEveryDatabase, type TestServer } from './support/server.ts';

const password = 'correct horse battery';
const badSession = [401, 'bad_session'];
const notAllowed = [403, 'not_allowed'];
const hourMs = 60 * 60 * 1_000;

function signIn(server: TestServer, email: string, given = password, headers = {}): Promise<Answer> {
  return server.api('/session', { key: null, body: { email, password: given }, headers });
}

function cookieOf(answer: Answer): string {
  assert.equal(answer.status, 201, JSON.stringify(answer.body));
  return answer.headers.get('set-cookie')?.split(';')[0] ?? '';
}

/** A request of the console: with the cookie alone. */
function withCookie(server: TestServer, cookie: string, path: string, call: Call = {}): Promise<Answer> {
  return server.api(path, { ...call, key: null, headers: { cookie, ...call.headers } });
}

onEveryDatabase('users', (start) => {
  let ahead = 0;
  const server = oneServer(start, { now: () => Date.now() + ahead });
  let of: Tenant;
  let users = 0;
  let bystander: string;
  before(async () => {
    of = await makeTenant(server(), 'Users', ['manage']);
    const steps = [{ function: 'pause_loop', target: { all: true } }];
    await of.make('/actions', { event_id: 'evac', steps });
    bystander = await signedIn('viewer');
  });
  const makeUser = async (role: string, more = {}) => {
    users += 1;
    const email = `user${users}@users.example`;
    return of.make('/users', { email, name: `User ${users}`, role, password, ...more });
  };
  const patch = async (id: string, body: unknown) =>
    bodyOf(await of.api(`/users/${id}`, { method: 'PATCH', body }), 200);
  const ask = (cookie: string, path: string, call?: Call) => withCookie(server(), cookie, path, call);
  const signedIn = async (role: string) => cookieOf(await signIn(server(), (await makeUser(role)).email));

  test('a user is made, listed, changed and deleted; the password is never told', async () => {
    const made = await makeUser('viewer', { email: ' Ann@Users.Example ', name: 'Ann' });
    const { email, name, role, enabled, last_login_at } = made;
    assert.deepEqual([email, name, role], ['ann@users.example', 'Ann', 'viewer']);
    assert.deepEqual([enabled, last_login_at], [true, null]);
    assert.deepEqual(bodyOf(await of.api(`/users/${made.id}`), 200), made);
    assert.equal((await patch(made.id, { role: 'owner', name: 'Anna' })).name, 'Anna');
    assert.doesNotMatch(JSON.stringify(await listAll(of.api, '/users')), /password|scrypt|horse/);
    bodyOf(await of.api(`/users/${made.id}`, { method: 'DELETE' }), 204);
    assert.equal((await of.api(`/users/${made.id}`)).status, 404);
    assert.deepEqual(codeOf(await signIn(server(), email)), badSession);
  });

  test('users: what cannot be', async () => {
    const { email } = await makeUser('viewer');
    const user = { email: 'new@users.example', name: 'New', role: 'viewer', password };
    const wrong: [object, unknown[]][] = [
      [{ email }, [409, 'name_taken']],
      [{ email: email.toUpperCase() }, [409, 'name_taken']],
      [{ email: 'nobody' }, [400, 'bad_request']],
      [{ email: `${'x'.repeat(200)}@users.example` }, [400, 'bad_request']],
      [{ role: 'admin' }, [400, 'bad_request']],
      [{ password: 'too short 1' }, [400, 'bad_request']],
      [{ password: 'x'.repeat(201) }, [400, 'bad_request']],
      [{ password: 123_456_789_012 }, [400, 'bad_request']],
      [{ scopes: ['admin'] }, [400, 'bad_request']],
    ];
    for (const [change, expected] of wrong) {
      const answer = await of.api('/users', { body: { ...user, ...change } });
      assert.deepEqual(codeOf(answer), expected, JSON.stringify(change));
      assert.doesNotMatch(JSON.stringify(answer.body), /too short 1|correct horse/);
    }
    assert.equal((await listAll(of.api, '/users')).filter(({ name }) => name === 'New').length, 0);
  });

  test('signing in gives a cookie for our own pages, and who one is', async () => {
    const { id, email } = await makeUser('operator');
    const answer = await signIn(server(), ` ${email.toUpperCase()} `);
    const cookie = cookieOf(answer);
    assert.match(cookie, /^fleethook_session=fhs_[0-9A-Za-z]{38}$/);
    const [, ...attributes] = answer.headers.get('set-cookie')?.split('; ') ?? [];
    for (const wanted of ['HttpOnly', 'SameSite=Strict', 'Path=/']) assert.ok(attributes.includes(wanted));
    assert.ok(!JSON.stringify(answer.body).includes('fhs_'), 'no script can read it');
    assert.equal(answer.body.user.id, id);
    assert.ok(Date.parse(answer.body.user.last_login_at) <= Date.now());
    assert.deepEqual(bodyOf(await ask(cookie, '/whoami'), 200), {
      type: 'user',
      id,
      name: email,
      scopes: ['read', 'trigger', 'command', 'publish'],
      project_id: of.projectId,
    });
    const elsewhere = await ask(cookie, '/whoami', { headers: { 'x-project-id': '1' } });
    assert.ok(elsewhere.status === 403 || elsewhere.body.project_id === of.projectId);
    const [change] = await listAll(of.api, '/audit?change=session.create');
    assert.deepEqual([change.actor.kind, change.actor.id, change.subject.id], ['user', id, id]);
  });

  const calls: [string, string, unknown, string[]][] = [
    ['GET', '/devices', undefined, ['viewer', 'operator', 'owner']],
    ['GET', '/triggers', undefined, ['viewer', 'operator', 'owner']],
    ['POST', '/actions/evac/test', { dry_run: true }, ['operator', 'owner']],
    ['POST', '/commands', { function: 'pause_loop', target: { all: true } }, ['operator', 'owner']],
    ['POST', '/groups', {}, ['owner']],
    ['PATCH', '/actions/evac', {}, ['owner']],
    ['DELETE', '/devices/4096', undefined, ['owner']],
    ['GET', '/keys', undefined, ['owner']],
    ['GET', '/audit', undefined, ['owner']],
    ['POST', '/users', {}, ['owner']],
    ['GET', '/projects', undefined, []],
    ['POST', '/keys', { name: 'x', scopes: ['admin'] }, []],
  ];
  for (const role of ['viewer', 'operator', 'owner']) {
    test(`the role ${role} may what it may, and nothing else`, async () => {
      const cookie = await signedIn(role);
      for (const [method, path, body, roles] of calls) {
        const answer = await ask(cookie, path, { method, body });
        assert.ok(answer.status < 500);
        assert.equal(answer.status !== 403, roles.includes(role), `${method} ${path} ${answer.status}`);
      }
    });
  }

  test('one answer for a wrong password, nobody, and who is switched off', async () => {
    const { email } = await makeUser('viewer');
    const off = await makeUser('viewer', { enabled: false });
    const answers = await Promise.all([
      signIn(server(), email, 'wrong horse battery'),
      signIn(server(), email, ''),
      signIn(server(), email, `${password} `),
      signIn(server(), 'nobody@users.example'),
      signIn(server(), off.email),
    ]);
    for (const answer of answers) {
      assert.deepEqual(codeOf(answer), badSession);
      assert.deepEqual(answer.body, answers[0]?.body);
      assert.equal(answer.headers.get('set-cookie'), null);
    }
  });

  test('the work of an answer does not tell who has an account', async () => {
    const { email } = await makeUser('viewer');
    const workOf = async (address: string) => {
      const begin = process.cpuUsage();
      assert.deepEqual(codeOf(await signIn(server(), address, 'wrong horse battery')), badSession);
      const { user, system } = process.cpuUsage(begin);
      return user + system;
    };
    const works: Record<string, number[]> = { [email]: [], 'nobody@users.example': [] };
    for (let time = 0; time < 3; time += 1) {
      for (const [address, spent] of Object.entries(works)) spent.push(await workOf(address));
    }
    const [known = 0, unknown = 0] = Object.values(works).map((spent) => Math.min(...spent));
    assert.ok(unknown < known * 1.5 && known < unknown * 1.5, `${known} and ${unknown} microseconds`);
  });

  test('what is no sign-in is refused', async () => {
    const { email } = await makeUser('viewer');
    const post = (call: Call) => server().api('/session', { key: null, method: 'POST', ...call });
    const json = { 'content-type': 'application/json' };
    const wrong: Call[] = [
      {},
      { body: {} },
      { body: { email } },
      { body: { email: { $ne: '' }, password } },
      { body: { email: [email], password } },
      { body: { email, password: [password] } },
      { body: { email, password, admin: true } },
      { raw: '{', headers: json },
      { raw: `{"email":"${email}","password":"${password}"}`, headers: { 'content-type': 'text/plain' } },
      { raw: `${'['.repeat(2_000)}${']'.repeat(2_000)}`, headers: json },
    ];
    for (const call of wrong) {
      const answer = await post(call);
      assert.ok([400, 415].includes(answer.status), `${JSON.stringify(call)} ${answer.status}`);
      assert.equal(answer.headers.get('set-cookie'), null);
    }
    assert.equal((await post({ raw: `"${'x'.repeat(5_000)}"`, headers: json })).status, 413);
  });

  for (const [title, end] of Object.entries({
    'signs out': async (cookie: string) => bodyOf(await ask(cookie, '/session', { method: 'DELETE' }), 204),
    'gets a new password': (_: string, id: string) => patch(id, { password: 'another long password' }),
    'gets another role': (_: string, id: string) => patch(id, { role: 'operator' }),
    'is switched off': (_: string, id: string) => patch(id, { enabled: false }),
    'is switched off and on': async (_: string, id: string) => {
      await patch(id, { enabled: false });
      await patch(id, { enabled: true });
    },
    'is deleted': async (_: string, id: string) =>
      bodyOf(await of.api(`/users/${id}`, { method: 'DELETE' }), 204),
  })) {
    test(`a session ends when the user ${title}`, async () => {
      const user = await makeUser('viewer');
      const [cookie, second] = [await signIn(server(), user.email), await signIn(server(), user.email)].map(
        cookieOf,
      );
      assert.equal((await ask(cookie ?? '', '/devices')).status, 200);
      await end(cookie ?? '', user.id);
      assert.deepEqual(codeOf(await ask(cookie ?? '', '/devices')), badSession);
      assert.equal((await ask(second ?? '', '/devices')).status, title === 'signs out' ? 200 : 401);
      assert.equal((await ask(bystander, '/devices')).status, 200);
    });
  }

  test('a new name ends no session, and a new password is the only one that is good', async () => {
    const { id, email } = await makeUser('viewer');
    const cookie = cookieOf(await signIn(server(), email));
    await patch(id, { name: 'Other', enabled: true });
    assert.equal((await ask(cookie, '/devices')).status, 200);
    await patch(id, { password: 'another long password' });
    assert.deepEqual(codeOf(await signIn(server(), email)), badSession);
    assert.equal((await signIn(server(), email, 'another long password')).status, 201);
  });

  test('signing out takes the cookie away, and does no harm without one', async () => {
    const cookie = await signedIn('viewer');
    const out = await ask(cookie, '/session', { method: 'DELETE' });
    assert.match(out.headers.get('set-cookie') ?? '', /^fleethook_session=; .*Expires=Thu, 01 Jan 1970/);
    for (const call of [{}, { headers: { cookie } }, { headers: { cookie: 'fleethook_session=x' } }]) {
      assert.equal((await server().api('/session', { key: null, method: 'DELETE', ...call })).status, 204);
    }
  });

  test('a session ends after twelve hours', async () => {
    const cookie = await signedIn('viewer');
    ahead = 11.9 * hourMs;
    assert.equal((await ask(cookie, '/devices')).status, 200);
    ahead = 12 * hourMs;
    assert.deepEqual(codeOf(await ask(cookie, '/devices')), badSession);
    ahead = 0;
  });

  for (const cookie of [
    'fleethook_session=',
    'fleethook_session=fhs_x',
    'other=1',
    'fleethook_session==;;=x',
  ]) {
    test(`the cookie "${cookie}" is nobody`, async () => {
      const answer = await ask(cookie, '/devices');
      assert.equal(answer.status, 401);
      assert.match(answer.body.code, /^bad_(key|session)$/);
    });
  }

  test('a change that another site asks for is refused', async () => {
    const cookie = await signedIn('owner');
    const { id } = await of.make('/devices', { name: 'mine' });
    const tries: [string, string, unknown?][] = [
      ['POST', '/groups', { name: 'theirs' }],
      ['PATCH', `/devices/${id}`, { name: 'theirs' }],
      ['DELETE', `/devices/${id}`],
      ['POST', `/devices/${id}/rotate-token`],
      ['POST', '/actions/evac/test', {}],
    ];
    const triggers = (await listAll(of.api, '/triggers')).length;
    for (const site of ['cross-site', 'same-site', 'nonsense']) {
      for (const [method, path, body] of tries) {
        const answer = await ask(cookie, path, { method, body, headers: { 'sec-fetch-site': site } });
        assert.deepEqual(codeOf(answer), notAllowed, `${site} ${method} ${path}`);
      }
    }
    assert.equal(bodyOf(await of.api(`/devices/${id}`), 200).name, 'mine');
    assert.equal((await listAll(of.api, '/groups')).length, 0);
    assert.equal((await listAll(of.api, '/triggers')).length, triggers);
    for (const [place, site] of ['same-origin', 'none'].entries()) {
      const call = { body: { name: `ours ${place}` }, headers: { 'sec-fetch-site': site } };
      assert.equal((await ask(cookie, '/groups', call)).status, 201);
    }
    const headers = { 'sec-fetch-site': 'cross-site', cookie };
    assert.equal((await of.api('/groups', { body: { name: 'by key' }, headers })).status, 201);
  });
});

onEveryDatabase('signing in, limited', (start) => {
  const env = { RATE_LIMIT_FAILED_KEYS: '3', TRUST_PROXY: 'loopback', PUBLIC_URL: 'https://hooks.example' };
  const server = oneServer(start, { env });
  const from = (address: string) => ({ 'x-forwarded-for': address });
  const email = 'ada@example.com';
  before(async () => {
    const body = { email, name: 'Ada', role: 'viewer', password };
    bodyOf(await server().api('/users', { body }), 201);
  });

  test('an address has a few tries a minute, for whoever it is', async () => {
    for (const who of [email, 'nobody@example.com', email]) {
      assert.equal((await signIn(server(), who, 'wrong horse battery', from('192.0.2.1'))).status, 401);
    }
    for (const given of ['wrong horse battery', password]) {
      const answer = await signIn(server(), email, given, from('192.0.2.1'));
      assert.deepEqual(codeOf(answer), [429, 'too_many']);
      assert.ok(Number(answer.headers.get('retry-after')) > 0);
    }
    assert.equal((await signIn(server(), email, password, from('192.0.2.2'))).status, 201);
  });

  test('cookies that are tried out count as bad keys', async () => {
    const guess = () =>
      withCookie(server(), 'fleethook_session=fhs_guess', '/devices', { headers: from('192.0.2.3') });
    for (let time = 0; time < 3; time += 1) assert.deepEqual(codeOf(await guess()), badSession);
    assert.deepEqual(codeOf(await guess()), [429, 'too_many']);
  });

  test('a server that is reached by https gives a cookie for https alone', async () => {
    const answer = await signIn(server(), email, password, from('192.0.2.4'));
    assert.match(answer.headers.get('set-cookie') ?? '', /; Secure/);
  });
});
