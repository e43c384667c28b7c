import assert from 'node:assert/strict';
import type { LookupAddress } from 'node:dns';
import { once } from 'node:events';
import { createServer as createHttpServer, type IncomingMessage, type RequestListener } from 'node:http';
import { createServer as createHttpsServer } from 'node:https';
import { type AddressInfo, createServer as createTcpServer, type Server, type Socket } from 'node:net';
import { suite, type TestContext, test } from 'node:test';
import { getCACertificates, setDefaultCACertificates } from 'node:tls';
import type { OutgoingRequest } from '../src/domain/delivery/attempt.ts';
import { createGuard } from '../src/outbound/address.ts';
import { createPoster, type PosterOptions } from '../src/outbound/post.ts';
import { retryAfterOf } from '../src/outbound/retry-after.ts';
import { waitFor } from './support/wait.ts';

const loopback = '127.0.0.1/32';
const attemptMs = 300;
const running = () => new AbortController().signal;

/** For receiver.test, signed by itself, good until 2120; it protects nothing. */
const certificate = {
  key: `-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgSDvA8kwdYzt8ujjG
HokvrD8ZILMHOvYhrFURytlXbrahRANCAAQ/QROawrVJ9z5ipuja6HQD3GEnRpKi
mKJW9f3MIUdhTHNv7Z1MYfr4IgqoILm34+opxJaeb60EVWCmShdFFvvn
-----END PRIVATE KEY-----`,
  cert: `-----BEGIN CERTIFICATE-----
MIIBbTCCAROgAwIBAgIBATAKBggqhkjOPQQDAjAYMRYwFAYDVQQDDA1yZWNlaXZl
ci50ZXN0MCAXDTIwMDEwMTAwMDAwMFoYDzIxMjAwMTAxMDAwMDAwWjAYMRYwFAYD
VQQDDA1yZWNlaXZlci50ZXN0MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEP0ET
msK1Sfc+Yqbo2uh0A9xhJ0aSopiiVvX9zCFHYUxzb+2dTGH6+CIKqCC5t+PqKcSW
nm+tBFVgpkoXRRb756NMMEowGAYDVR0RBBEwD4INcmVjZWl2ZXIudGVzdDAPBgNV
HRMBAf8EBTADAQH/MB0GA1UdDgQWBBRY8NZq2KCeCmsAHht0HRUKmKa/QzAKBggq
hkjOPQQDAgNIADBFAiEAvgXWkePB1tRzpUGLoDhdm0MYSPjy7Mf5OzJMvFDDy0gC
IG5UU2l5D29KY/ErcGx9ovW2/P85fiVjkW2nrBW+8QEd
-----END CERTIFICATE-----`,
};

/** Listens on a free port of 127.0.0.1 for the length of the test, and counts who comes. */
async function listen(t: TestContext, server: Server) {
  const sockets = new Set<Socket>();
  let connections = 0;
  server.on('connection', (socket: Socket) => {
    connections += 1;
    sockets.add(socket);
    socket.on('error', () => undefined).on('close', () => sockets.delete(socket));
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.after(() => {
    server.close();
    for (const socket of sockets) socket.destroy();
  });
  const { port } = server.address() as AddressInfo;
  return {
    port,
    url: `http://127.0.0.1:${port}/`,
    connections: () => connections,
    open: () => sockets.size,
  };
}

const receiver = (t: TestContext, answer: RequestListener) => listen(t, createHttpServer(answer));

/** Sends these bytes to whoever says something, and then hangs up if told to. */
const rawReceiver = (t: TestContext, bytes: string, hangsUp = true) =>
  listen(
    t,
    createTcpServer((socket) => {
      socket.once('data', () => (hangsUp ? socket.end(bytes) : socket.write(bytes)));
    }),
  );

function poster(t: TestContext, options: Partial<PosterOptions> = {}) {
  const made = createPoster({ allowNetworks: [loopback], ...options });
  t.after(() => made.close());
  return {
    ...made,
    send: (url: string, request: Partial<OutgoingRequest> = {}, signal = running()) =>
      made.post({ url, headers: {}, body: '', bodyBytes: 0, ...request }, signal),
  };
}

async function readAll(request: IncomingMessage): Promise<Buffer> {
  return Buffer.concat(await request.toArray());
}

const resolveTo =
  (...addresses: string[]) =>
  async (): Promise<LookupAddress[]> =>
    addresses.map((address) => ({ address, family: address.includes(':') ? 6 : 4 }));

suite('the address guard', () => {
  const refused: Record<string, RegExp> = {
    '0.0.0.0': /this network/,
    '0.1.2.3': /this network/,
    '10.0.0.1': /private/,
    '10.255.255.255': /private/,
    '100.64.0.1': /shared/,
    '100.127.255.255': /shared/,
    '127.0.0.1': /loopback/,
    '127.255.0.9': /loopback/,
    '168.63.129.16': /platform/,
    '169.254.169.254': /link-local \(cloud metadata\)/,
    '172.16.0.1': /private/,
    '172.31.255.255': /private/,
    '192.0.0.192': /protocol/,
    '192.0.2.1': /documentation/,
    '192.88.99.1': /6to4/,
    '192.168.1.1': /private/,
    '198.18.0.1': /benchmarking/,
    '198.19.255.255': /benchmarking/,
    '198.51.100.7': /documentation/,
    '203.0.113.7': /documentation/,
    '224.0.0.1': /multicast/,
    '239.255.255.255': /multicast/,
    '240.0.0.1': /reserved/,
    '255.255.255.255': /broadcast/,
    '::': /unspecified/,
    '::1': /loopback/,
    '::127.0.0.1': /IPv4-compatible/,
    '::ffff:127.0.0.1': /loopback/,
    '::ffff:a9fe:a9fe': /cloud metadata/,
    '::ffff:8.8.8.8': /IPv4-mapped/,
    '::ffff:0:127.0.0.1': /IPv4-translated/,
    '64:ff9b::a9fe:a9fe': /NAT64/,
    '64:ff9b:1::1': /NAT64/,
    '100::1': /discard/,
    '2001::1': /Teredo/,
    '2001:2::1': /benchmarking/,
    '2001:10::1': /ORCHID/,
    '2001:2f::1': /ORCHID/,
    '2001:1ff::1': /protocol/,
    '2001:db8::1': /documentation/,
    '2002:7f00:1::': /6to4/,
    '3fff:fff::1': /documentation/,
    '5f00::1': /reserved/,
    'fc00::1': /private/,
    'fd00:ec2::254': /private/,
    'fe80::1': /link-local/,
    'fe80::1%eth0': /link-local/,
    'febf::1': /link-local/,
    'fec0::1': /site-local/,
    'ff02::1': /multicast/,
    'no address': /no IP address/,
    '': /no IP address/,
    '127.1': /no IP address/,
  };
  const reachable = [
    '1.1.1.1',
    '9.255.255.255',
    '11.0.0.0',
    '100.63.255.255',
    '100.128.0.0',
    '126.255.255.255',
    '128.0.0.0',
    '169.253.255.255',
    '169.255.0.0',
    '172.15.255.255',
    '172.32.0.0',
    '192.167.255.255',
    '192.169.0.0',
    '198.17.255.255',
    '198.20.0.0',
    '223.255.255.255',
    '2000::1',
    '2001:200::1',
    '2001:4860:4860::8888',
    '2001:db7:ffff::1',
    '2003::1',
    '2606:4700::1111',
    '3ffe::1',
    '3fff:1000::1',
  ];
  const guard = createGuard([]);

  test('refuses what is not the public internet, and says what it is', () => {
    for (const [address, reason] of Object.entries(refused)) {
      const answer = guard.check(address) ?? 'nothing';
      assert.match(answer, reason, address);
      assert.ok(answer.startsWith(`${address} is `), answer);
    }
  });

  test('lets public addresses through, up to the borders of what is refused', () => {
    for (const address of reachable) assert.equal(guard.check(address), null);
  });

  test('exceptions are addresses and blocks of both families, and nothing beside them', () => {
    const excepting = createGuard(['127.0.0.1', '10.1.0.0/16', '::1', 'fd12::/16']);
    for (const address of ['127.0.0.1', '::ffff:127.0.0.1', '10.1.255.1', '::ffff:a01:1', '::1', 'fd12::9']) {
      assert.equal(excepting.check(address), null, address);
    }
    for (const address of ['127.0.0.2', '10.2.0.1', '::ffff:10.2.0.1', '::2', 'fd13::1', '::127.0.0.1']) {
      assert.notEqual(excepting.check(address), null, address);
    }
  });

  test('an exception of one family opens nothing in the other', () => {
    const all6 = createGuard(['::/0']);
    assert.equal(all6.check('fd00::1'), null);
    assert.match(all6.check('10.0.0.1') ?? '', /private/);
    assert.match(all6.check('::ffff:10.0.0.1') ?? '', /private/);
    const all4 = createGuard(['0.0.0.0/0']);
    assert.equal(all4.check('10.0.0.1'), null);
    assert.match(all4.check('fd00::1') ?? '', /private/);
    assert.match(all4.check('64:ff9b::a00:1') ?? '', /NAT64/);
  });
});

suite('Retry-After', () => {
  const now = Date.UTC(1994, 10, 6, 8, 49, 7);
  const yearMs = 365 * 24 * 3_600_000;
  const table: [string | undefined, number | null][] = [
    [undefined, null],
    ['', null],
    ['0', 0],
    ['120', 120_000],
    [' 7 ', 7_000],
    ['99999999999999999999', yearMs],
    ['-1', null],
    ['1.5', null],
    ['1e3', null],
    ['12 apples', null],
    ['soon', null],
    ['1994', 1_994_000],
    ['1994-11-06T08:49:37Z', null],
    ['Sun, 06 Nov 1994 08:49:37 GMT', 30_000],
    ['Sunday, 06-Nov-94 08:49:37 GMT', 30_000],
    ['Sun Nov  6 08:49:37 1994', 30_000],
    ['Sun, 06 Nov 1994 08:49:37 PST', null],
    ['Sun, 06 Bad 1994 08:49:37 GMT', null],
    ['Sun, 06 Nov 1994 08:48:00 GMT', 0],
    ['Thu, 06 Nov 2094 08:49:37 GMT', yearMs],
  ];
  for (const [header, expected] of table) {
    test(`${header}`, () => assert.equal(retryAfterOf(header, now), expected));
  }
});

suite('a post', () => {
  test('reaches the receiver with its headers and body, and connections are used again', async (t) => {
    const seen: [string | undefined, IncomingMessage['headers'], string][] = [];
    const server = await receiver(t, async (request, response) => {
      seen.push([request.method, request.headers, (await readAll(request)).toString()]);
      response.writeHead(202).end('t\u0000aken, gr\u00fc\u00dfe');
    });
    const { send } = poster(t, { userAgent: 'Fleethook/1' });
    for (const body of ['{"a":"ö"}', new TextEncoder().encode('{"a":"ö"}')]) {
      const outcome = await send(`${server.url}hook?x=1`, {
        headers: { 'x-one': '1' },
        body,
        bodyBytes: 10,
      });
      const { durationMs, ...rest } = outcome;
      assert.deepEqual(rest, { status: 202, retryAfterMs: null, error: null, answer: 'taken, grüße' });
      assert.ok(durationMs >= 0 && Number.isInteger(durationMs));
    }
    assert.equal(server.connections(), 1);
    for (const [method, headers, body] of seen) {
      assert.deepEqual([method, body], ['POST', '{"a":"ö"}']);
      const { host, connection, ...others } = headers;
      assert.deepEqual(others, { 'x-one': '1', 'user-agent': 'Fleethook/1', 'content-length': '10' });
    }
    await send(server.url, { headers: { 'User-Agent': 'mine' } });
    assert.deepEqual([seen[2]?.[1]['user-agent'], seen[2]?.[1]['content-length']], ['mine', '0']);
  });

  test('of several megabytes is streamed, byte for byte', async (t) => {
    const chunk = Buffer.from(Array.from({ length: 65_521 }, (_, index) => index % 251));
    const chunks = 100;
    let received: Buffer = Buffer.alloc(0);
    let headers: IncomingMessage['headers'] = {};
    const server = await receiver(t, async (request, response) => {
      headers = request.headers;
      received = await readAll(request);
      response.end();
    });
    async function* body() {
      for (let sent = 0; sent < chunks; sent += 1) yield chunk;
    }
    const bodyBytes = chunks * chunk.length;
    const outcome = await poster(t).send(server.url, { body, bodyBytes });
    assert.deepEqual([outcome.status, outcome.error, outcome.answer], [200, null, '']);
    assert.deepEqual(
      [headers['content-length'], headers['transfer-encoding']],
      [String(bodyBytes), undefined],
    );
    assert.ok(received.equals(Buffer.concat(Array<Buffer>(chunks).fill(chunk))));
  });

  test('whose body fails or has another length is an error, and never a whole request', async (t) => {
    let whole = 0;
    const server = await receiver(t, (request, response) => {
      request.resume().on('end', () => {
        whole += 1;
        response.end();
      });
    });
    const { send } = poster(t);
    async function* broken() {
      yield Buffer.from('abc');
      throw new Error('select secret from tables');
    }
    async function* short() {
      yield Buffer.from('abc');
    }
    const failed = await send(server.url, { body: broken, bodyBytes: 10 });
    assert.deepEqual([failed.status, failed.error], [null, 'the body could not be read']);
    for (const [body, bodyBytes] of [
      [short, 10],
      [short, 2],
      ['abc', 10],
    ] as const) {
      const { status, error } = await send(server.url, { body, bodyBytes });
      assert.deepEqual([status, error], [null, 'the body is not as long as announced']);
    }
    await waitFor(() => server.open() === 0, { what: 'the connections to end' });
    assert.equal(whole, 0);
  });

  test('that nobody reads is given up at the deadline, and so is the source of its body', async (t) => {
    const server = await listen(t, createTcpServer({ pauseOnConnect: true }));
    let ended = false;
    async function* endless() {
      try {
        for (;;) yield Buffer.alloc(64 * 1024);
      } finally {
        ended = true;
      }
    }
    const outcome = await poster(t, { attemptMs }).send(server.url, { body: endless, bodyBytes: 1e10 });
    assert.deepEqual([outcome.status, outcome.error], [null, 'timed out after 0.3 s']);
    await waitFor(() => ended, { what: 'the end of the source' });
  });

  test('answered by a redirect goes nowhere else', async (t) => {
    const paths: (string | undefined)[] = [];
    const server = await receiver(t, (request, response) => {
      paths.push(request.url);
      const location = request.url === '/' ? '/other' : 'http://169.254.169.254/latest/meta-data/';
      response.writeHead(request.url === '/' ? 302 : 307, { location }).end();
    });
    const { send } = poster(t);
    assert.deepEqual(await send(server.url).then(({ status, error }) => [status, error]), [302, null]);
    assert.deepEqual(await send(`${server.url}x`).then(({ status, error }) => [status, error]), [307, null]);
    assert.deepEqual(paths, ['/', '/x']);
  });

  test('hears when to come back', async (t) => {
    const server = await receiver(t, (_request, response) => {
      response.writeHead(503, { 'retry-after': '17' }).end('later');
    });
    const { status, retryAfterMs, error, answer } = await poster(t).send(server.url);
    assert.deepEqual([status, retryAfterMs, error, answer], [503, 17_000, null, 'later']);
  });

  test('with what cannot be a header is refused before a connection is made', async (t) => {
    const server = await receiver(t, (_request, response) => response.end());
    const { send } = poster(t);
    const bad: Record<string, string>[] = [
      { 'x-a': '1\r\nx-b: 2' },
      { 'x-a': '1\n' },
      { 'x-a\r\nx-b': '1' },
      { 'x-a': 'snow \u2603' },
      { 'transfer-encoding': 'chunked' },
      { 'Content-Length': '5' },
      { expect: '100-continue' },
      { upgrade: 'h2c' },
    ];
    for (const headers of bad) {
      const { status, error } = await send(server.url, { headers });
      assert.equal(status, null, JSON.stringify(headers));
      assert.match(error ?? '', /^the request cannot be sent: .*header/, JSON.stringify(headers));
      assert.doesNotMatch(error ?? '', /[\r\n]/);
    }
    assert.equal((await send('nonsense')).error, 'the URL is not valid');
    assert.match((await send('ftp://127.0.0.1/')).error ?? '', /not http or https/);
    assert.equal(server.connections(), 0);
  });
});

suite('an answer', () => {
  test('is kept to 16 KiB, whatever its length, and is broken off there', async (t) => {
    let offered = 0;
    const piece = Buffer.alloc(64 * 1024, 'ä');
    const server = await receiver(t, (_request, response) => {
      response.writeHead(200, { 'content-length': String(10 * 1024 ** 3) });
      const write = () => {
        while (!response.destroyed && response.write(piece)) offered += piece.length;
        offered += piece.length;
      };
      response.on('drain', write);
      write();
    });
    const { status, error, answer } = await poster(t).send(server.url);
    assert.deepEqual([status, error], [200, null]);
    assert.equal(answer, 'ä'.repeat(8 * 1024));
    await waitFor(() => server.open() === 0, { what: 'the connection to end' });
    assert.ok(offered < 32 * 1024 ** 2, `${offered} bytes were written`);
  });

  test('whose last character is cut in two loses that character alone', async (t) => {
    const server = await receiver(t, (_request, response) => response.end(`a${'ä'.repeat(20_000)}`));
    assert.equal((await poster(t).send(server.url)).answer, `a${'ä'.repeat((16 * 1024 - 2) / 2)}`);
  });

  test('that is no UTF-8, or compressed, is shown as far as it goes', async (t) => {
    let acceptEncoding: string | string[] | undefined;
    const server = await receiver(t, (request, response) => {
      acceptEncoding = request.headers['accept-encoding'];
      response.writeHead(200, { 'content-encoding': 'gzip' }).end(Buffer.from([0x61, 0xff, 0x62]));
    });
    const { answer, error } = await poster(t).send(server.url);
    assert.deepEqual([answer, error, acceptEncoding], ['a\ufffdb', null, undefined]);
  });

  const head = 'HTTP/1.1 200 OK\r\n';
  const broken: [string, number | null, RegExp, string?][] = [
    [`${head}content-length: 100\r\n\r\nabc`, 200, /^the answer broke off$/, 'abc'],
    [`${head}transfer-encoding: chunked\r\n\r\n3\r\nabc\r\n`, 200, /^the answer broke off$/, 'abc'],
    [`${head}transfer-encoding: chunked\r\n\r\n3\r\nabc\r\nzz\r\n`, 200, /^the answer broke off$/, 'abc'],
    [`${head}content-le`, null, /^the connection was closed before an answer came$/],
    ['', null, /^the connection was closed before an answer came$/],
    ['SSH-2.0-OpenSSH_9.6\r\n', null, /^the answer cannot be read: .*HTTP/],
    [`${head}x: ${'x'.repeat(20_000)}\r\n\r\n`, null, /^the headers of the answer are too long$/],
    [`HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n`, null, /upgrade|closed/],
  ];
  for (const [bytes, expected, reason, text = ''] of broken) {
    test(`that is broken is an error: ${JSON.stringify(bytes.slice(0, 60))}`, async (t) => {
      const server = await rawReceiver(t, bytes);
      const { status, error, answer } = await poster(t).send(server.url);
      assert.deepEqual([status, answer], [expected, text]);
      assert.match(error ?? '', reason);
    });
  }

  test('that only a closed connection ends is whole', async (t) => {
    const server = await rawReceiver(t, `${head}\r\nabc`);
    const { status, error, answer } = await poster(t).send(server.url);
    assert.deepEqual([status, error, answer], [200, null, 'abc']);
  });

  test('that does not come, or does not end, is waited for until the deadline', async (t) => {
    const silent = await rawReceiver(t, '', false);
    const stuck = await rawReceiver(t, `${head}content-length: 100\r\n\r\nabc`, false);
    const chatty = await receiver(t, (_request, response) => {
      const timer = setInterval(() => response.write('.'), 10);
      response.on('close', () => clearInterval(timer));
    });
    const informing = await receiver(t, (_request, response) => {
      const timer = setInterval(() => response.writeProcessing(), 10);
      response.on('close', () => clearInterval(timer));
    });
    const { send } = poster(t, { attemptMs });
    const outcomes = await Promise.all([silent, stuck, chatty, informing].map(({ url }) => send(url)));
    for (const { error, durationMs } of outcomes) {
      assert.equal(error, 'timed out after 0.3 s');
      assert.ok(durationMs >= attemptMs - 5 && durationMs < 10 * attemptMs, `${durationMs} ms`);
    }
    assert.deepEqual(
      outcomes.map(({ status }) => status),
      [null, 200, 200, null],
    );
    assert.equal(outcomes[1]?.answer, 'abc');
    assert.match(outcomes[2]?.answer ?? '', /^\.+$/);
    for (const server of [silent, stuck, chatty, informing]) {
      await waitFor(() => server.open() === 0, { what: 'the connection to end' });
    }
  });

  test('that hangs holds up nobody else at the same origin', async (t) => {
    const server = await receiver(t, (request, response) => {
      if (request.url === '/quick') response.end('here');
    });
    const { send } = poster(t);
    const called = new AbortController();
    const hanging = Array.from({ length: 50 }, () => send(`${server.url}slow`, {}, called.signal));
    await waitFor(() => server.connections() === hanging.length, { what: 'fifty requests that hang' });
    assert.equal((await send(`${server.url}quick`)).answer, 'here');
    called.abort();
    for (const { status, error } of await Promise.all(hanging)) {
      assert.deepEqual([status, error], [null, 'called off before it was answered']);
    }
  });

  test('is not waited for when the signal has come already, or the poster closes', async (t) => {
    const server = await rawReceiver(t, '', false);
    const { send, close } = poster(t);
    assert.equal(
      (await send(server.url, {}, AbortSignal.abort())).error,
      'called off before it was answered',
    );
    const sending = send(server.url);
    await waitFor(() => server.open() === 1, { what: 'the request' });
    await close();
    assert.deepEqual(await sending.then(({ status, error }) => [status, error]), [
      null,
      'called off before it was answered',
    ]);
    assert.equal((await send(server.url)).error, 'called off before it was answered');
    assert.equal(server.connections(), 1);
  });
});

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
      createHttpsServer(certificate, (_request, response) => response.end('secure')),
    );
  const resolve = resolveTo('127.0.0.1');

  test('refuses a certificate that nobody vouches for, and says so', async (t) => {
    const { port } = await secure(t);
    const { status, error } = await poster(t, { resolve }).send(`https://receiver.test:${port}/`);
    assert.equal(status, null);
    assert.match(error ?? '', /^TLS failed: self-signed certificate/);
  });

  test('refuses a receiver that does not speak it', async (t) => {
    const { port } = await receiver(t, (_request, response) => response.end());
    const { error } = await poster(t, { resolve }).send(`https://receiver.test:${port}/`);
    assert.match(error ?? '', /^TLS failed: .*(wrong version number|packet length)/);
  });

  test('reaches a receiver whose certificate is good for its name, and for no other', async (t) => {
    const before = getCACertificates('default');
    setDefaultCACertificates([...before, certificate.cert]);
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
});
