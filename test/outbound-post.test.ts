/** A request on its way out, and the answer that comes back or does not. */
import assert from 'node:assert/strict';
import type { IncomingMessage } from 'node:http';
import { createServer as createTcpServer } from 'node:net';
import { suite, test } from 'node:test';
import { attemptMs, listen, poster, rawReceiver, readAll, receiver } from './support/poster.ts';
import { waitFor } from './support/wait.ts';

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
