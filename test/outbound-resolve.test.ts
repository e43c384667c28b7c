/** From names to addresses: nobody's look-up holds up another's. */
import assert from 'node:assert/strict';
import { scrypt } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { suite, type TestContext, test } from 'node:test';
import { createResolver } from '../src/outbound/resolve.ts';
import { completionsOf, readHosts, readSearch } from '../src/outbound/system-names.ts';
import { makeDevice } from './support/fleet.ts';
import { bodyOf } from './support/management.ts';
import { nameServer } from './support/name-server.ts';
import { poster, receiver } from './support/poster.ts';
import { startServer } from './support/server.ts';
import { waitFor } from './support/wait.ts';
import { reachReceivers, startReceiver } from './support/webhook-receiver.ts';

const addressesOf = (found: { address: string }[]) => found.map(({ address }) => address);

function files(t: TestContext, texts: { hosts?: string; settings?: string }) {
  const folder = mkdtempSync(join(tmpdir(), 'fleethook-names-'));
  t.after(() => rmSync(folder, { recursive: true }));
  const [hostsFile, settingsFile] = [join(folder, 'hosts'), join(folder, 'resolv.conf')];
  writeFileSync(hostsFile, texts.hosts ?? '');
  writeFileSync(settingsFile, texts.settings ?? '');
  return { hostsFile, settingsFile };
}

suite('O2: a look-up', () => {
  test('of a name that nobody answers for holds up no other name', async (t) => {
    const server = await receiver(t, (_request, response) => response.end());
    const known = await nameServer(t, { 'dead.test': 'silent', 'good.test': ['127.0.0.1'] });
    const { send } = poster(t, { attemptMs: 3_000, names: known });
    const dead = Array.from({ length: 40 }, () => send(`http://dead.test:${server.port}/`));
    const good = await Promise.all(
      Array.from({ length: 20 }, () => send(`http://good.test:${server.port}/`)),
    );
    for (const { status, durationMs } of good) {
      assert.equal(status, 200);
      assert.ok(durationMs < 1_000, `${durationMs} ms`);
    }
    for (const { error, durationMs } of await Promise.all(dead)) {
      assert.equal(error, 'the name dead.test could not be resolved (ETIMEOUT)');
      assert.ok(durationMs < 3_000, `${durationMs} ms: it ends with its attempt`);
    }
    assert.ok(known.asked('dead.test') <= 8, `${known.asked('dead.test')} questions for one look-up`);
    assert.equal(known.asked('good.test'), 2, 'twenty share one look-up');
  });

  test('needs none of the threads that passwords and files share', async (t) => {
    const server = await receiver(t, (_request, response) => response.end());
    const known = await nameServer(t, { 'good.test': ['127.0.0.1'] });
    const { send } = poster(t, { names: known });
    let busy = 0;
    for (let place = 0; place < 16; place += 1) {
      busy += 1;
      scrypt('password', 'salt', 64, { N: 2 ** 15, maxmem: 2 ** 26 }, () => {
        busy -= 1;
      });
    }
    assert.equal((await send(`http://good.test:${server.port}/`)).status, 200);
    assert.ok(busy > 4, 'it was answered while all threads were busy and others waited for them');
    await waitFor(() => busy === 0, { deadlineMs: 60_000, what: 'the passwords' });
  });

  test('of a name that failed is not asked again for a moment, and then it is', async (t) => {
    const server = await receiver(t, (_request, response) => response.end());
    const known = await nameServer(t, {});
    const { send } = poster(t, { names: known });
    const url = `http://new.test:${server.port}/`;
    assert.equal((await send(url)).error, 'the name new.test could not be resolved (ENOTFOUND)');
    const asked = known.asked('new.test');
    known.names['new.test'] = ['127.0.0.1'];
    assert.equal((await send(url)).error, 'the name new.test could not be resolved (ENOTFOUND)');
    assert.equal(known.asked('new.test'), asked);
    await waitFor(async () => (await send(url)).status === 200, { what: 'the name to be asked for again' });
  });

  test('that fails, or finds nothing, says so', async (t) => {
    const known = await nameServer(t, { 'failing.test': 'failing', 'empty.test': [] });
    const { send } = poster(t, { names: known });
    assert.match((await send('http://failing.test/')).error ?? '', /could not be resolved \(ESERVFAIL\)$/);
    assert.equal((await send('http://empty.test/')).error, 'the name empty.test has no address');
  });

  test('does not wait for the addresses of a family that nobody answers for', async (t) => {
    const server = await receiver(t, (_request, response) => response.end());
    const known = await nameServer(t, { 'half.test': { ipv4: ['127.0.0.1'], ipv6: 'silent' } });
    const { status, durationMs } = await poster(t, { names: known }).send(`http://half.test:${server.port}/`);
    assert.equal(status, 200);
    assert.ok(durationMs < 5_000, `${durationMs} ms`);
  });

  test('is checked by the guard at every connection, each address of it', async (t) => {
    const server = await receiver(t, (_request, response) => {
      response.writeHead(200, { connection: 'close' }).end();
    });
    const known = await nameServer(t, { 'turns.test': ['127.0.0.1'], 'both.test': ['93.184.216.34', '::1'] });
    const { send } = poster(t, { names: known });
    const url = `http://turns.test:${server.port}/`;
    assert.equal((await send(url)).status, 200);
    known.names['turns.test'] = ['127.0.0.2'];
    assert.match(
      (await send(url)).error ?? '',
      /^turns\.test leads to a refused address: 127\.0\.0\.2 is a loop/,
    );
    const both = await send(`http://both.test:${server.port}/`);
    assert.match(both.error ?? '', /^both\.test leads to a refused address: ::1 is the loopback/);
    assert.equal(server.connections(), 1);
  });

  test('finds names of the hosts file, as it is now, and this machine itself', async (t) => {
    const known = await nameServer(t, { 'other.test': ['127.0.0.9'] });
    const written = files(t, { hosts: '127.0.0.5 Own.test alias.test # a comment\n' });
    const { resolve } = createResolver({ lookupMs: 5_000, ...known, ...written });
    assert.deepEqual(addressesOf(await resolve('own.test')), ['127.0.0.5']);
    assert.deepEqual(addressesOf(await resolve('ALIAS.test.')), ['127.0.0.5']);
    assert.deepEqual(addressesOf(await resolve('localhost')), ['127.0.0.1', '::1']);
    assert.deepEqual(addressesOf(await resolve('a.localhost')), ['127.0.0.1', '::1']);
    assert.deepEqual(addressesOf(await resolve('other.test')), ['127.0.0.9']);
    writeFileSync(written.hostsFile, '127.0.0.6 own.test\n127.0.0.8 other.test\n');
    await waitFor(async () => (await resolve('own.test'))[0]?.address === '127.0.0.6', {
      what: 'the change',
    });
    assert.deepEqual(addressesOf(await resolve('other.test')), ['127.0.0.8']);
    assert.deepEqual(known.questions.toSorted(), ['other.test A', 'other.test AAAA']);
  });

  test('completes short names as the system does', async (t) => {
    const known = await nameServer(t, { 'hook.svc.test': ['127.0.0.7'], 'a.test': ['127.0.0.8'] });
    const settings = 'search one.test svc.test.\noptions timeout:1 ndots:2\n';
    const { resolve } = createResolver({ lookupMs: 5_000, ...known, ...files(t, { settings }) });
    assert.deepEqual(addressesOf(await resolve('hook')), ['127.0.0.7']);
    assert.deepEqual(addressesOf(await resolve('a.test')), ['127.0.0.8']);
    await assert.rejects(resolve('hook.'), { code: 'ENOTFOUND' });
  });

  test('ends when the poster closes', async (t) => {
    const known = await nameServer(t, { 'dead.test': 'silent' });
    const { resolve, close } = createResolver({ lookupMs: 60_000, ...known });
    const looking = assert.rejects(resolve('dead.test'), { code: 'ETIMEOUT' });
    await waitFor(() => known.asked('dead.test') > 0, { what: 'the question' });
    close();
    await looking;
  });

  test('of one webhook holds up no other webhook of the server', async (t) => {
    const known = await nameServer(t, { 'dead.test': 'silent', 'good.test': ['127.0.0.1'] });
    await using receiver = await startReceiver();
    await using server = await startServer({ env: reachReceivers, names: known });
    const { port } = new URL(receiver.url);
    for (const host of ['dead.test', 'dead.test', 'good.test'])
      bodyOf(
        await server.api('/webhooks', { body: { name: crypto.randomUUID(), url: `http://${host}:${port}` } }),
        201,
      );
    const device = await server.device((await makeDevice(server, { name: 'sensor' })).token);
    for (let place = 0; place < 40; place += 1) {
      const began = performance.now();
      await device.socket.timeout(5_000).emitWithAck('event', { eventType: `e${place}` });
      await receiver.got(place + 1);
      const took = performance.now() - began;
      assert.ok(took < 2_000, `event ${place} took ${took} ms`);
    }
  });
});

suite('what a machine says about names', () => {
  test('the hosts file: addresses in its order, names in any letters', () => {
    const hosts = readHosts(
      '# comment\n127.0.0.1\tlocalhost  vm\n::1 localhost # six\nnonsense x\n\nfe80::1%lo0 localhost\n10.0.0.1 A.Example\r\n',
    );
    assert.deepEqual(hosts.get('localhost'), ['127.0.0.1', '::1', 'fe80::1%lo0']);
    assert.deepEqual(hosts.get('a.example'), ['10.0.0.1']);
    assert.equal(hosts.has('x'), false);
  });

  test('which names are asked for, and in which order', () => {
    const search = readSearch('nameserver 10.0.0.2\nsearch a.test b.test\noptions ndots:5 edns0\n');
    assert.deepEqual(search, { domains: ['a.test', 'b.test'], ndots: 5 });
    assert.deepEqual(completionsOf('x.y', search), ['x.y.a.test', 'x.y.b.test', 'x.y']);
    assert.deepEqual(completionsOf('x.y', { ...search, ndots: 1 }), ['x.y', 'x.y.a.test', 'x.y.b.test']);
    assert.deepEqual(completionsOf('x.y.', search), ['x.y']);
    assert.deepEqual(readSearch(''), { domains: [], ndots: 1 });
  });
});
