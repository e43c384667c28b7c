import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { suite, test } from 'node:test';
import { cutConnection } from '../src/client/connection.ts';
import { connectDevice, memoryStorage } from '../src/client/device.ts';
import { simulateFleet } from '../src/fleet/simulated-fleet.ts';
import { createDatabase, startMariaDb } from './support/mariadb.ts';
import { type ServerProcess, spawnServer } from './support/process.ts';
import { type Call, request } from './support/server.ts';
import { waitFor } from './support/wait.ts';

const mysqlUrl = process.env.FLEETHOOK_TEST_MYSQL_URL;
const quick = { reconnectFirstMs: 20, reconnectMostMs: 100 };

type Home = { env: Record<string, string> } & Disposable;

async function makeHome(database: 'sqlite' | 'mysql', baseUrl = mysqlUrl): Promise<Home> {
  const dir = mkdtempSync(join(tmpdir(), 'fleethook-crash-'));
  const env: Record<string, string> = { DATA_DIR: dir };
  if (database === 'mysql') env.DATABASE_URL = await createDatabase(baseUrl ?? '');
  return { env, [Symbol.dispose]: () => rmSync(dir, { recursive: true, force: true }) };
}

const api = (server: ServerProcess, path: string, call?: Call) =>
  request(`${server.url}/api/v1${path}`, call);
const portOf = (server: ServerProcess) => new URL(server.url).port;

async function fire(server: ServerProcess, event_id: string, query = '') {
  return request(`${server.url}/public-api/integration/webhooks${query}`, { body: { event_id } });
}

async function makeFleet(server: ServerProcess, count: number): Promise<string[]> {
  const names = Array.from({ length: count }, (_, place) => ({
    name: `d${place}`,
    tags: place < 10 ? ['ten'] : [],
  }));
  const { status, body } = await api(server, '/devices', { body: names });
  assert.equal(status, 201);
  return body.items.map((device: { token: string }) => device.token);
}

async function makeAction(
  server: ServerProcess,
  event_id: string,
  fn: string,
  params: object,
  target: object = { all: true },
) {
  const { status } = await api(server, '/actions', {
    body: { event_id, steps: [{ function: fn, params, target }] },
  });
  assert.equal(status, 201);
}

for (const database of ['sqlite', 'mysql'] as const) {
  const skip = database === 'mysql' && !mysqlUrl ? 'there is no MariaDB' : false;
  suite(`crashes on ${database === 'sqlite' ? 'SQLite' : 'MariaDB'}`, { skip }, () => {
    test('SIGKILL right after the answer: nothing is lost, everything is applied once', async () => {
      using home = await makeHome(database);
      await using ends = new AsyncDisposableStack();
      let server = ends.use(await spawnServer(home.env));
      const env = { ...home.env, PORT: portOf(server) };
      const tokens = await makeFleet(server, 5);
      await makeAction(server, 'toast', 'show_toast', { message: 'x' });
      await makeAction(server, 'fire', 'enable_emergency', { message: 'fire' });
      const applied = new Map<string, number>();
      const devices = tokens.slice(0, 4).map((token) =>
        connectDevice({
          url: server.url,
          token,
          storage: memoryStorage(),
          timing: quick,
          onCommand: ({ id }) => void applied.set(`${token} ${id}`, (applied.get(`${token} ${id}`) ?? 0) + 1),
        }),
      );
      ends.defer(async () => void (await Promise.all(devices.map((device) => device.close()))));
      const triggerIds: string[] = [];
      for (let round = 0; round < 4; round += 1) {
        await waitFor(() => devices.every((device) => device.online), { what: 'the devices' });
        for (const event of ['toast', 'fire']) {
          const answer = await fire(server, event);
          assert.equal(answer.status, 200);
          triggerIds.push(answer.body.trigger_id);
        }
        await server.kill();
        server = ends.use(await spawnServer(env));
      }
      // The fifth was off all the time.
      devices.push(
        connectDevice({
          url: server.url,
          token: tokens[4] ?? '',
          timing: quick,
          onCommand: ({ id }) => void applied.set(`${tokens[4]} ${id}`, 1),
        }),
      );
      for (const id of triggerIds) {
        const expected = triggerIds.indexOf(id) % 2 === 0 || id === triggerIds.at(-1);
        if (!expected) continue;
        let seen = '';
        await waitFor(
          async () => {
            const { body } = await api(server, `/triggers/${id}`);
            seen = JSON.stringify(body.commands[0].coverage);
            return body.commands[0].coverage.applied === 5;
          },
          { what: () => `trigger ${id}: ${seen}` },
        );
      }
      assert.equal(applied.size, 4 * 5);
      assert.deepEqual(new Set(applied.values()), new Set([1]));
      assert.ok(devices.every((device) => device.state.emergency?.message === 'fire'));
    });

    test('a device that reconnects ten times in the middle applies once', async (t) => {
      using home = await makeHome(database);
      await using server = await spawnServer(home.env);
      const [token = ''] = await makeFleet(server, 1);
      await makeAction(server, 'toast', 'show_toast', { message: 'x' });
      let begun = 0;
      let connects = 0;
      const finish = Promise.withResolvers<void>();
      const device = connectDevice({
        url: server.url,
        token,
        storage: memoryStorage(),
        timing: quick,
        onConnection: ({ online }) => {
          if (online) connects += 1;
        },
        onCommand: async () => {
          begun += 1;
          await finish.promise;
        },
      });
      t.after(() => device.close());
      await waitFor(() => device.online, { what: 'the device' });
      const { body } = await fire(server, 'toast');
      await waitFor(() => begun === 1, { what: 'the command' });
      for (let time = 1; time <= 10; time += 1) {
        cutConnection(device.socket);
        await waitFor(() => connects > time, { what: `reconnect ${time}` });
      }
      finish.resolve();
      const coverage = async () =>
        (await api(server, `/triggers/${body.trigger_id}`)).body.commands[0].coverage;
      await waitFor(async () => (await coverage()).applied === 1, { what: 'the receipt' });
      assert.equal(begun, 1);
    });

    test('two thousand devices and one trigger: coverage is exact', async (t) => {
      using home = await makeHome(database);
      await using server = await spawnServer(home.env);
      const tokens = await makeFleet(server, 2_000);
      await makeAction(server, 'fire', 'enable_emergency', { message: 'fire' });
      const off = 7;
      const stop = new AbortController();
      const fleet = simulateFleet({
        url: server.url,
        tokens: tokens.slice(off),
        signal: stop.signal,
        connectPerSecond: 2_000,
      });
      t.after(async () => {
        stop.abort();
        await fleet.ended;
      });
      await waitFor(() => fleet.stats.connected === 2_000 - off, {
        what: () => `the fleet: ${JSON.stringify(fleet.stats)}`,
        deadlineMs: 60_000,
      });
      const { body } = await fire(server, 'fire', `?wait=10s&quorum=${((2_000 - off) / 2_000) * 100}%25`);
      assert.deepEqual([body.commands[0].targeted, body.commands[0].online], [2_000, 2_000 - off]);
      assert.partialDeepStrictEqual(body.coverage, {
        targeted: 2_000,
        applied: 2_000 - off,
        failed: 0,
        reached: true,
      });
      assert.deepEqual(
        body.coverage.missing.map((device: { name: string }) => device.name),
        Array.from({ length: off }, (_, place) => `d${place}`),
      );
      const trace = await api(server, `/triggers/${body.trigger_id}`);
      assert.equal(trace.body.commands[0].devices.length, 2_000);
    });
  });
}

suite('a database that is away', () => {
  test('SQLite held by another process: 503, nothing is sent, and then it goes on', async () => {
    using home = await makeHome('sqlite');
    await using server = await spawnServer(home.env);
    const [token = ''] = await makeFleet(server, 1);
    await makeAction(server, 'toast', 'show_toast', { message: 'x' });
    await using heard = await listen(server, token);
    using other = new DatabaseSync(join(home.env.DATA_DIR ?? '', 'fleethook.db'));
    other.exec('begin immediate');
    const refused = await fire(server, 'toast');
    assert.deepEqual([refused.status, refused.body.error.code], [503, 'unavailable']);
    assert.ok(refused.headers.get('retry-after'));
    other.exec('rollback');
    const { body } = await fire(server, 'toast');
    await waitFor(() => heard.ids.length > 0, { what: 'the toast' });
    assert.deepEqual(heard.ids, [body.commands[0].id]);
  });

  test('MariaDB restarts: 503 meanwhile, and what was answered is still there', {
    skip: mysqlUrl ? false : 'there is no MariaDB',
  }, async () => {
    await using mariaDb = await startMariaDb();
    using home = await makeHome('mysql', mariaDb.url);
    await using server = await spawnServer(home.env);
    const tokens = await makeFleet(server, 2);
    await makeAction(server, 'toast', 'show_toast', { message: 'x' });
    await using heard = await listen(server, tokens[0] ?? '');
    const first = await fire(server, 'toast');
    await mariaDb.kill();
    const refused = await fire(server, 'toast');
    assert.deepEqual([refused.status, refused.body.error.code], [503, 'unavailable']);
    assert.equal((await request(`${server.url}/readyz`)).status, 503);
    assert.equal((await request(`${server.url}/healthz`)).status, 200);
    await mariaDb.start();
    await waitFor(async () => (await request(`${server.url}/readyz`)).status === 200, {
      what: 'ready',
      deadlineMs: 20_000,
    });
    const second = await fire(server, 'toast');
    await using late = await listen(server, tokens[1] ?? '');
    const expected = [first, second].map((answer) => answer.body.commands[0].id);
    await waitFor(() => heard.ids.length === 2 && late.ids.length === 2, { what: 'both toasts' });
    assert.deepEqual([heard.ids, late.ids], [expected, expected]);
  });
});

/** A device that writes down the pulses it does. */
async function listen(server: ServerProcess, token: string): Promise<{ ids: string[] } & AsyncDisposable> {
  const ids: string[] = [];
  const device = connectDevice({
    url: server.url,
    token,
    timing: quick,
    onCommand: ({ id }) => void ids.push(id),
  });
  await waitFor(() => device.online, { what: 'the device' }).catch(async (error) => {
    await device.close();
    throw error;
  });
  return { ids, [Symbol.asyncDispose]: () => device.close() };
}
