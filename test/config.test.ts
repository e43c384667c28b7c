import assert from 'node:assert/strict';
import { existsSync, mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs';
import { Agent, get } from 'node:http';
import { type AddressInfo, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { suite, test } from 'node:test';
import { openContext } from '../src/app.ts';
import { readConfig } from '../src/config.ts';
import { systemCaller } from '../src/domain/access/caller.ts';
import { createFirstKey } from '../src/domain/access/key.ts';
import { createLog } from '../src/log.ts';
import { createDatabase, startMariaDb } from './support/mariadb.ts';
import { runFleethook, spawnFleethook, spawnServer } from './support/process.ts';
import { connectTestDevice, request } from './support/server.ts';
import { waitFor } from './support/wait.ts';

const mysqlUrl = process.env.FLEETHOOK_TEST_MYSQL_URL;

function configOf(env: Record<string, string>) {
  const read = readConfig(env);
  if ('problems' in read) throw new Error(read.problems.join('\n'));
  return read.config;
}

suite('settings', () => {
  const defaults = {
    port: 8080,
    host: '0.0.0.0',
    publicUrl: null,
    databaseUrl: 'sqlite:data/fleethook.db',
    dataDir: './data',
    adminKey: null,
    secret: null,
    trustProxy: false,
    corsOrigins: [],
    keepAliveSeconds: 75,
    logLevel: 'info',
    retainDays: 30,
    limits: { triggers: 600, failedKeys: 30, api: 1_200 },
  };
  const bad: Record<string, string> = {
    PORT: '80a',
    DATABASE_URL: 'postgres://localhost/x',
    PUBLIC_URL: 'example.com',
    FLEETHOOK_ADMIN_KEY: 'short-and-secret',
    FLEETHOOK_SECRET: 'tiny-secret',
    LOG_LEVEL: 'loud',
    TRUST_PROXY: 'everyone',
    CORS_ORIGINS: 'https://a.example/path',
    KEEP_ALIVE_SECONDS: '0',
    RETAIN_DAYS: '-1',
    RATE_LIMIT_TRIGGERS: '1.5',
    RATE_LIMIT_FAILED_KEYS: 'x',
    RATE_LIMIT_API: '1e3',
  };

  test('have defaults, and what is empty counts as not set', () => {
    assert.partialDeepStrictEqual(configOf({}), defaults);
    const empty = Object.fromEntries(Object.keys(bad).map((name) => [name, ' ']));
    assert.deepEqual(configOf({ ...empty, DATA_DIR: '', HOST: '' }), configOf({}));
  });

  test('are frozen, and read from nowhere but what is handed in', () => {
    process.env.RETAIN_DAYS = '7';
    assert.equal(configOf({}).retainDays, 30);
    delete process.env.RETAIN_DAYS;
    assert.ok(Object.isFrozen(configOf({})));
  });

  test('that are wrong are told all at once, without their secrets', () => {
    const read = readConfig(bad);
    assert.ok('problems' in read);
    assert.equal(read.problems.length, Object.keys(bad).length);
    for (const name of Object.keys(bad)) {
      assert.ok(
        read.problems.some((problem) => problem.startsWith(`${name} `)),
        name,
      );
    }
    assert.doesNotMatch(read.problems.join(), /short-and-secret|tiny-secret/);
  });

  const values: [string, string, unknown][] = [
    ['PORT', '0', { port: 0 }],
    ['PORT', '65535', { port: 65_535 }],
    ['PORT', '65536', null],
    ['PUBLIC_URL', 'https://hooks.example.com/', { publicUrl: 'https://hooks.example.com' }],
    ['PUBLIC_URL', 'ftp://example.com', null],
    ['DATA_DIR', '/srv/fleet', { databaseUrl: 'sqlite:/srv/fleet/fleethook.db' }],
    ['DATABASE_URL', 'mysql://u:p@db/fleet', { databaseUrl: 'mysql://u:p@db/fleet' }],
    ['DATABASE_URL', 'sqlite:', null],
    ['DATABASE_URL', 'mysql://u:p@db', null],
    ['DATABASE_URL', 'mysql://', null],
    ['FLEETHOOK_ADMIN_KEY', 'x'.repeat(24), { adminKey: 'x'.repeat(24) }],
    ['FLEETHOOK_ADMIN_KEY', 'x'.repeat(23), null],
    ['TRUST_PROXY', 'true', { trustProxy: true }],
    ['TRUST_PROXY', 'false', { trustProxy: false }],
    ['TRUST_PROXY', '2', { trustProxy: 2 }],
    [
      'TRUST_PROXY',
      'loopback, 10.0.0.0/8, 2001:db8::/32',
      { trustProxy: ['loopback', '10.0.0.0/8', '2001:db8::/32'] },
    ],
    ['TRUST_PROXY', '10.0.0.0/99', null],
    ['CORS_ORIGINS', '*', { corsOrigins: ['*'] }],
    [
      'CORS_ORIGINS',
      'https://Intranet.example:443/, http://kiosk.example:8080',
      { corsOrigins: ['https://intranet.example', 'http://kiosk.example:8080'] },
    ],
    ['CORS_ORIGINS', 'intranet.example', null],
    ['CORS_ORIGINS', 'https://*.example', null],
    ['CORS_ORIGINS', 'https://user@intranet.example', null],
    ['CORS_ORIGINS', 'https://intranet.example?', null],
    ['KEEP_ALIVE_SECONDS', '3600', { keepAliveSeconds: 3_600 }],
    ['KEEP_ALIVE_SECONDS', '3601', null],
    ['RETAIN_DAYS', '0', { retainDays: 0 }],
    ['RATE_LIMIT_API', '0', { limits: { ...defaults.limits, api: 0 } }],
    ['LOG_LEVEL', 'silent', { logLevel: 'silent' }],
  ];
  for (const [name, value, expected] of values) {
    test(`${name}=${value}`, () => {
      const read = readConfig({ [name]: value });
      if (expected === null) assert.ok('problems' in read && read.problems[0]?.startsWith(name));
      else assert.partialDeepStrictEqual('config' in read && read.config, expected);
    });
  }
});

suite('the command line', () => {
  test('says what there is, and 2 for what is not understood', async () => {
    const lines: [string[], number, RegExp][] = [
      [['--help'], 0, /serve[\s\S]*keys[\s\S]*migrate/],
      [['keys', '--help'], 0, /create/],
      [['serve', '--help'], 0, /settings/],
      [['dance'], 2, /dance/],
      [['serve', '--loud'], 2, /--loud/],
      [['keys', 'create', '--name', 'x'], 2, /--scopes/],
      [['keys', 'create', '--name', 'x', '--scopes', 'read', '--project', 'x'], 2, /whole number/],
    ];
    const runs = await Promise.all(lines.map(([args]) => runFleethook(args, {})));
    for (const [place, [args, code, said]] of lines.entries()) {
      assert.equal(runs[place]?.code, code, args.join(' '));
      assert.match(runs[place]?.said ?? '', said);
    }
  });

  test('lists every bad setting and ends with 1', async () => {
    const env = { PORT: 'x', LOG_LEVEL: 'loud', FLEETHOOK_ADMIN_KEY: 'short-and-secret', PATH: '' };
    for (const args of [['serve'], ['migrate'], ['keys', 'create', '--name', 'x', '--scopes', 'read']]) {
      const { code, said } = await runFleethook(args, env);
      assert.equal(code, 1);
      for (const name of ['PORT', 'LOG_LEVEL', 'FLEETHOOK_ADMIN_KEY']) assert.match(said, new RegExp(name));
      assert.doesNotMatch(said, /short-and-secret|\bat .*\.ts:\d/);
    }
  });

  test('makes keys that are good, and says why not', async () => {
    await using home = makeHome();
    const create = (...args: string[]) => runFleethook(['keys', 'create', ...args], home.env);
    const made = await create('--name', 'cli', '--scopes', 'read, trigger', '--event-ids', 'evac');
    assert.equal(made.code, 0, made.said);
    assert.match(made.said, /^fhk_[0-9A-Za-z]{38}\n$/);
    const wrong: [string[], RegExp][] = [
      [['--name', 'cli', '--scopes', 'read'], /taken/],
      [['--name', 'x', '--scopes', 'root'], /scopes/],
      [['--name', 'x', '--scopes', 'read', '--allowed-ips', '10.0.0.0/99'], /allowed_ips/],
      [['--name', 'x', '--scopes', 'read', '--expires-at', 'soon'], /expires_at/],
      [['--name', 'x', '--scopes', 'read', '--project', '99'], /project 99/],
    ];
    for (const [args, said] of wrong) {
      const refused = await create(...args);
      assert.equal(refused.code, 1, args.join(' '));
      assert.match(refused.said, said);
      assert.doesNotMatch(refused.said, /fhk_|\bat .*\.ts:\d/);
    }
    await using server = await spawnServer(home.env);
    const { body } = await request(`${server.url}/api/v1/whoami`, { key: made.said.trim() });
    assert.deepEqual([body.name, body.scopes, body.project_id], ['cli', ['read', 'trigger'], 1]);
  });

  test('a port that is taken ends the start with 1 and names PORT', async () => {
    await using home = makeHome();
    await using other = createServer();
    await new Promise<void>((resolve) => other.listen(0, '127.0.0.1', resolve));
    const { port } = other.address() as AddressInfo;
    const env = { ...home.env, PORT: String(port), HOST: '127.0.0.1' };
    const { code, said } = await runFleethook(['serve'], env);
    assert.equal(code, 1);
    assert.match(said, new RegExp(`${port} is taken: set PORT`));
    assert.doesNotMatch(said, /\bat .*\.ts:\d|Fleethook is up/);
  });

  test('SIGTERM ends with 0, whoever is connected', async (t) => {
    await using home = makeHome();
    await using server = await spawnServer(home.env);
    const agent = new Agent({ keepAlive: true });
    t.after(() => agent.destroy());
    await new Promise<void>((resolve, reject) => {
      const idle = get(`${server.url}/healthz`, { agent }, (answer) => answer.resume().on('end', resolve));
      idle.on('error', reject);
    });
    const { body } = await request(`${server.url}/api/v1/devices`, { body: { name: 'screen' } });
    const device = await connectTestDevice(server.url, body.token);
    assert.equal(await server.terminate(), 0);
    await waitFor(() => !device.socket.connected, { what: 'the device to be let go' });
    assert.match(server.output(), /Fleethook is down/);
  });
});

suite('a first start', () => {
  test('makes a secret and an admin key that only the owner can read, and logs neither', async () => {
    await using home = makeHome();
    const env = { ...home.env, FLEETHOOK_ADMIN_KEY: '', FLEETHOOK_SECRET: '' };
    await using server = await spawnServer(env);
    const [secret = '', key = ''] = ['secret', 'admin-key'].map((name) => {
      const path = join(home.env.DATA_DIR, name);
      assert.equal(statSync(path).mode & 0o777, 0o600, name);
      return readFileSync(path, 'utf8').trim();
    });
    assert.equal((await request(`${server.url}/api/v1/projects`, { key })).status, 200);
    assert.ok(!server.output().includes(secret) && !server.output().includes(key));
    assert.equal(await server.terminate(), 0);
    await using again = await spawnServer(env);
    assert.equal((await request(`${again.url}/api/v1/projects`, { key })).status, 200);
    assert.equal(readFileSync(join(home.env.DATA_DIR, 'admin-key'), 'utf8').trim(), key);
  });

  test('with FLEETHOOK_ADMIN_KEY makes no other', async () => {
    await using home = makeHome();
    await using server = await spawnServer(home.env);
    assert.equal((await request(`${server.url}/api/v1/keys`)).body.items.length, 0);
    assert.ok(!existsSync(join(home.env.DATA_DIR, 'admin-key')));
  });

  for (const name of ['SQLite', 'MariaDB']) {
    const skip = name === 'MariaDB' && !mysqlUrl ? 'there is no MariaDB' : false;

    test(`of two servers at the same time makes one key, on ${name}`, { skip }, async () => {
      await using home = makeHome();
      const more = name === 'MariaDB' ? { DATABASE_URL: await createDatabase(mysqlUrl ?? '') } : {};
      const config = configOf({ ...home.env, ...more });
      await using opened = await openContext({ config, log: createLog('silent') });
      const start = () => createFirstKey(opened.ctx, systemCaller(1, 'first start'));
      const made = await Promise.all([start(), start(), start()]);
      assert.equal(made.filter((key) => key !== null).length, 1);
    });

    test(`with another FLEETHOOK_SECRET is refused, and says why, on ${name}`, { skip }, async () => {
      await using home = makeHome();
      const more = name === 'MariaDB' ? { DATABASE_URL: await createDatabase(mysqlUrl ?? '') } : {};
      const env = { ...home.env, ...more, PORT: '0', HOST: '127.0.0.1' };
      assert.equal((await runFleethook(['migrate'], env)).code, 0);
      const wrong = { ...env, FLEETHOOK_SECRET: 'not what it was made with' };
      const { code, said } = await runFleethook(['serve'], wrong);
      assert.equal(code, 1);
      assert.match(said, /FLEETHOOK_SECRET .*is not the one/);
      assert.doesNotMatch(said, /not what it was made with|Fleethook is up|\bat .*\.ts:\d/);
    });
  }
});

suite('a database that is not there yet', { skip: mysqlUrl ? false : 'there is no MariaDB' }, () => {
  async function startWithout(run: (start: Started, back: () => Promise<void>) => Promise<void>) {
    await using mariaDb = await startMariaDb();
    await using home = makeHome();
    const DATABASE_URL = await createDatabase(mariaDb.url);
    await mariaDb.stop();
    const env = { ...home.env, DATABASE_URL, PORT: '0', HOST: '127.0.0.1' };
    const started = spawnFleethook(['serve'], env);
    try {
      await run(started, () => mariaDb.start());
      assert.equal(await started.exited, 0);
      assert.ok(!started.output().includes(new URL(mariaDb.url).password), 'no password in the log');
    } finally {
      started.child.kill('SIGKILL');
    }
  }

  test('is waited for, and the log says so', async () => {
    await startWithout(async ({ child, output }, back) => {
      const tries = () => output().match(/not there yet/g)?.length ?? 0;
      await waitFor(() => tries() >= 2, { what: () => `two tries: ${output()}` });
      assert.equal(child.exitCode, null);
      await back();
      await waitFor(() => output().includes('Fleethook is up'), { what: () => `the server: ${output()}` });
      child.kill('SIGTERM');
    });
  });

  test('is not waited for by a server that is told to stop', async () => {
    await startWithout(async ({ child, output }) => {
      await waitFor(() => output().includes('not there yet'), { what: () => `a try: ${output()}` });
      child.kill('SIGTERM');
      await waitFor(() => child.exitCode !== null, { what: 'the end', deadlineMs: 5_000 });
    });
  });
});

type Started = ReturnType<typeof spawnFleethook>;

function makeHome(): { env: Record<'DATA_DIR' | 'FLEETHOOK_SECRET', string> } & AsyncDisposable {
  const folder = mkdtempSync(join(tmpdir(), 'fleethook-config-'));
  return {
    env: { DATA_DIR: folder, FLEETHOOK_SECRET: 'the same for every process' },
    [Symbol.asyncDispose]: async () => rmSync(folder, { recursive: true, force: true }),
  };
}
