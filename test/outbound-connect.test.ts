/** Whom a connection on the way out is made to, and when it is not made. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer as createHttpsServer } from 'node:https';
import { createServer as createTcpServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { suite, type TestContext, test } from 'node:test';
import { getCACertificates, setDefaultCACertificates } from 'node:tls';
import { ownCa, receiverCertificate } from './support/certificate.ts';
import { bodyOf } from './support/management.ts';
import { attemptMs, listen, poster, rawReceiver, receiver, resolveTo } from './support/poster.ts';
import { spawnServer } from './support/process.ts';
import { request } from './support/server.ts';
import { waitFor } from './support/wait.ts';
import { reachReceivers, startReceiver } from './support/webhook-receiver.ts';

suite('a connection', () => {
  test('to an address that is refused is not made, however it is written', async (t) => {
    const server = await receiver(t, (_request, response) => response.end());
    const { send } = poster(t, { allowNetworks: [] });
    const hosts: [string, RegExp][] = [
      ['127.0.0.1', /^127\.0\.0\.1 is a loopback address$/],
      ['2130706433', /^127\.0\.0\.1 is a loopback address$/],
      ['0x7f.1', /^127\.0\.0\.1 is a loopback address$/],
      ['0177.0.0.1', /^127\.0\.0\.1 is a loopback address$/],
      ['127.1', /^127\.0\.0\.1 is a loopback address$/],
      ['①②⑦.0.0.1', /^127\.0\.0\.1 is a loopback address$/],
      ['[::ffff:127.0.0.1]', /^::ffff:7f00:1 is a loopback address$/],
      ['[::127.0.0.1]', /^::7f00:1 is an IPv4-compatible address$/],
      ['[::1]', /^::1 is the loopback address$/],
      ['[::]', /^:: is the unspecified address$/],
      ['0', /^0\.0\.0\.0 is an address of "this network"$/],
      ['localhost', /^localhost leads to a refused address: (127\.0\.0\.1|::1) is /],
      ['169.254.169.254', /^169\.254\.169\.254 is a link-local \(cloud metadata\) address$/],
    ];
    for (const [host, reason] of hosts) {
      for (const scheme of ['http', 'https']) {
        const { status, error } = await send(`${scheme}://${host}:${server.port}/`);
        assert.equal(status, null, host);
        assert.match(error ?? '', reason, `${scheme}://${host}`);
      }
    }
    // A Host header of the caller's changes what undici dials by name, not what is checked.
    assert.match((await send(server.url, { headers: { host: 'example.com' } })).error ?? '', /loopback/);
    assert.equal(server.connections(), 0);
  });

  test('to an exception is made, also when it is written as a mapped address', async (t) => {
    const server = await receiver(t, (_request, response) => response.end());
    const { send } = poster(t);
    for (const host of ['127.0.0.1', '2130706433', '[::ffff:127.0.0.1]']) {
      assert.deepEqual(
        await send(`http://${host}:${server.port}/`).then(({ status, error }) => [status, error]),
        [200, null],
        host,
      );
    }
  });

  test('is not made when one of the addresses is refused', async (t) => {
    const server = await receiver(t, (_request, response) => response.end());
    for (const addresses of [
      ['93.184.216.34', '127.0.0.1'],
      ['127.0.0.1', '93.184.216.34'],
      ['2606:4700::1111', '::ffff:127.0.0.1'],
    ]) {
      const { send } = poster(t, { allowNetworks: [], resolve: resolveTo(...addresses) });
      const { status, error } = await send(`http://hook.test:${server.port}/`);
      assert.equal(status, null);
      assert.match(error ?? '', /^hook\.test leads to a refused address: \S+ is a loopback address$/);
    }
    assert.equal(server.connections(), 0);
  });

  test('of a name that leads to an exception goes there, and nowhere else', async (t) => {
    const server = await receiver(t, (_request, response) => response.end('here'));
    const { send } = poster(t, { resolve: resolveTo('::1', '10.0.0.1', '127.0.0.1') });
    const { status, error } = await send(`http://hook.test:${server.port}/`);
    assert.deepEqual([status, error], [200, null]);
  });

  test('is checked by itself: a name that answers otherwise later gains nothing', async (t) => {
    const server = await receiver(t, (_request, response) => {
      response.writeHead(200, { connection: 'close' }).end();
    });
    const answers = ['127.0.0.1', '127.0.0.2', '169.254.169.254'];
    let lookups = 0;
    const { send } = poster(t, {
      resolve: async () => [{ address: answers[lookups++] ?? '', family: 4 }],
    });
    const url = `http://hook.test:${server.port}/`;
    assert.equal((await send(url)).status, 200);
    assert.match((await send(url)).error ?? '', /127\.0\.0\.2 is a loopback address$/);
    assert.match((await send(url)).error ?? '', /169\.254\.169\.254 is a link-local/);
    assert.deepEqual([lookups, server.connections()], [3, 1]);
  });

  test('is checked again by what it has ended up with', async (t) => {
    let requests = 0;
    const server = await receiver(t, (_request, response) => {
      requests += 1;
      response.end();
    });
    let reads = 0;
    const turncoat = {
      family: 4,
      get address() {
        return reads++ < 2 ? '93.184.216.34' : '127.0.0.1';
      },
    };
    const { send } = poster(t, { allowNetworks: [], resolve: async () => [turncoat] });
    const { status, error } = await send(`http://hook.test:${server.port}/`);
    assert.deepEqual([status, error], [null, '127.0.0.1 is a loopback address']);
    await waitFor(() => server.connections() === 1 && server.open() === 0, { what: 'the connection to end' });
    assert.equal(requests, 0);
  });

  test('that cannot be made says why', async (t) => {
    const closed = createTcpServer();
    const { port } = await listen(t, closed);
    closed.close();
    assert.equal((await poster(t).send(`http://127.0.0.1:${port}/`)).error, 'the connection was refused');
    const missing = Object.assign(new Error('getaddrinfo'), { code: 'ENOTFOUND' });
    const unknown = poster(t, { resolve: () => Promise.reject(missing) });
    assert.equal(
      (await unknown.send('http://hook.test/')).error,
      'the name hook.test could not be resolved (ENOTFOUND)',
    );
    const empty = poster(t, { resolve: resolveTo() });
    assert.equal((await empty.send('http://hook.test/')).error, 'the name hook.test has no address');
  });

  test('that is not made in time, by name, or by TLS, ends at the deadline and with the signal', async (t) => {
    const silent = await rawReceiver(t, '', false);
    const unresolved = poster(t, { attemptMs, resolve: () => new Promise(() => undefined) });
    assert.equal((await unresolved.send('http://hook.test/')).error, 'timed out after 0.3 s');
    const url = `https://127.0.0.1:${silent.port}/`;
    assert.equal((await poster(t, { attemptMs }).send(url)).error, 'timed out after 0.3 s');
    await waitFor(() => silent.open() === 0, { what: 'the first connection to end' });
    const { send, close } = poster(t);
    const called = new AbortController();
    const sending = send(url, {}, called.signal);
    await waitFor(() => silent.open() === 1, { what: 'the connection' });
    called.abort();
    const { error, durationMs } = await sending;
    assert.equal(error, 'called off before it was answered');
    await close();
    await waitFor(() => silent.open() === 0, { deadlineMs: 3_000, what: 'the connection to end' });
    assert.ok(durationMs < 5_000, `${durationMs} ms`);
  });
});

suite('TLS', () => {
  const secure = (t: TestContext) =>
    listen(
      t,
      createHttpsServer(receiverCertificate, (_request, response) => response.end('secure')),
    );
  const resolve = resolveTo('127.0.0.1');

  test('refuses a certificate that nobody vouches for, and says so', async (t) => {
    const { port } = await secure(t);
    const { status, error } = await poster(t, { resolve }).send(`https://receiver.test:${port}/`);
    assert.equal(status, null);
    assert.match(error ?? '', /^TLS failed: self-signed certificate: set NODE_EXTRA_CA_CERTS to /);
  });

  test('refuses a receiver that does not speak it', async (t) => {
    const { port } = await receiver(t, (_request, response) => response.end());
    const { error } = await poster(t, { resolve }).send(`https://receiver.test:${port}/`);
    assert.match(error ?? '', /^TLS failed: .*(wrong version number|packet length)/);
  });

  test('reaches a receiver whose certificate is good for its name, and for no other', async (t) => {
    const before = getCACertificates('default');
    setDefaultCACertificates([...before, receiverCertificate.cert]);
    t.after(() => setDefaultCACertificates(before));
    const { port, connections } = await secure(t);
    const { send } = poster(t, { resolve });
    const sent = [1, 2].map(() => send(`https://receiver.test:${port}/`));
    for (const { status, error, answer } of await Promise.all(sent)) {
      assert.deepEqual([status, error, answer], [200, null, 'secure']);
    }
    assert.equal((await send(`https://receiver.test:${port}/`)).status, 200);
    assert.equal(connections(), 2);
    assert.match((await send(`https://other.test:${port}/`)).error ?? '', /^TLS failed: .*altnames/);
  });

  test('O24: an own CA is trusted by NODE_EXTRA_CA_CERTS, and without it the error names that', async (t) => {
    const folder = mkdtempSync(join(tmpdir(), 'fleethook-ca-'));
    t.after(() => rmSync(folder, { recursive: true }));
    const file = join(folder, 'ca.pem');
    writeFileSync(file, ownCa.ca);
    await using receiver = await startReceiver(204, {
      https: true,
      pair: { key: ownCa.key, cert: ownCa.cert },
    });
    const tryIt = async (env: Record<string, string>) => {
      await using server = await spawnServer({ DATA_DIR: join(folder, 'data'), ...reachReceivers, ...env });
      const api = (path: string, body: object) => request(`${server.url}/api/v1${path}`, { body });
      const name = crypto.randomUUID();
      const { id } = bodyOf(await api('/webhooks', { name, url: receiver.url }), 201);
      return bodyOf(await api(`/webhooks/${id}/test`, {}), 200);
    };
    const refused = await tryIt({});
    assert.equal(refused.delivered, false);
    assert.equal(
      refused.error,
      'TLS failed: unable to verify the first certificate: set NODE_EXTRA_CA_CERTS to a PEM file with the ' +
        'certificate of its CA and start Fleethook again',
    );
    assert.equal((await tryIt({ NODE_EXTRA_CA_CERTS: file })).delivered, true);
  });
});
