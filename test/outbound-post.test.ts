/** A request on its way out, and the answer that comes back or does not. */
import assert from 'node:assert/strict';
import type { IncomingMessage } from 'node:http';
import { createServer as createTcpServer } from 'node:net';
import { suite, test } from 'node:test';
import { setImmediate as nextTurn } from 'node:timers/promises';
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
      assert.deepEqual(rest, {
        status: 202,
        retryAfterMs: null,
        error: null,
        isOurs: false,
        remark: null,
        answer: 'taken, grüße',
      });
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
  const cutOff: [bytes: string, remark: string | null, answer: string][] = [
    [`${head}content-length: 100\r\n\r\nabc`, 'the answer broke off', 'abc'],
    [`${head}transfer-encoding: chunked\r\n\r\n3\r\nabc\r\n`, 'the answer broke off', 'abc'],
    [`${head}transfer-encoding: chunked\r\n\r\n3\r\nabc\r\nzz\r\n`, 'the answer broke off', 'abc'],
    [`${head}transfer-encoding: chunked\r\n\r\n`, 'the answer broke off', ''],
    [`${head}content-length: 3\r\n\r\nabcHTTP/1.1 500 Oh\r\n\r\n`, null, 'abc'],
    ['HTTP/1.1 204 No Content\r\ncontent-length: 3\r\n\r\nabc', null, ''],
  ];
  for (const [bytes, expected, text] of cutOff) {
    test(`O10: whose rest is broken counts by its status: ${JSON.stringify(bytes.slice(17, 80))}`, async (t) => {
      const server = await rawReceiver(t, bytes);
      const { status, error, remark, answer } = await poster(t).send(server.url);
      assert.deepEqual([status, error, remark, answer], [Number(bytes.slice(9, 12)), null, expected, text]);
      const failing = await rawReceiver(t, bytes.replace(/ 20[04] /, ' 503 '));
      const failed = await poster(t).send(failing.url);
      assert.deepEqual([failed.status, failed.error], [503, null]);
    });
  }

  test('O10: whose rest does not come holds nobody up: the status decides after a moment', async (t) => {
    const stuck = await rawReceiver(t, `${head}content-length: 100\r\n\r\nabc`, false);
    const { status, error, remark, durationMs } = await poster(t).send(stuck.url);
    assert.deepEqual([status, error, remark], [200, null, 'the answer did not end']);
    assert.ok(durationMs < 6_000, `${durationMs} ms`);
    await waitFor(() => stuck.open() === 0, { what: 'the connection to end' });
  });

  test('O10: that came before our own body failed is no answer to the whole of it', async (t) => {
    const server = await listen(
      t,
      createTcpServer((socket) => void socket.write(`${head}content-length: 10\r\n\r\nabc`)),
    );
    async function* broken() {
      yield Buffer.from('abc');
      await waitFor(() => server.connections() === 1, { what: 'the connection' });
      throw new Error('select secret from tables');
    }
    const { error } = await poster(t, { attemptMs: 5_000 }).send(server.url, { body: broken, bodyBytes: 10 });
    assert.equal(error, 'the body could not be read');
  });

  const answerOf = (status: string) => `HTTP/1.1 ${status}\r\ncontent-length: 2\r\n\r\nok`;
  const interim: string[] = [
    'HTTP/1.1 100 Continue\r\n\r\n',
    'HTTP/1.0 100 Continue\r\n\r\n',
    'HTTP/1.1 100\r\nserver: x\r\ncontent-length: 0\r\n\r\n',
    'HTTP/1.1 103 Early Hints\r\nlink: </style.css>; rel=preload\r\nconnection: close\r\n\r\n',
    'HTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 199 Wait\r\nretry-after: 9\r\n\r\n',
    `HTTP/1.1 103 Early Hints\r\nx: ${'y'.repeat(15_000)}\r\n\r\n`.repeat(4),
    '\r\nHTTP/1.1 100 Continue\n\n',
  ];
  for (const bytes of interim) {
    test(`O11: is the last one: ${JSON.stringify(bytes.slice(0, 60))} is read over`, async (t) => {
      const { send } = poster(t);
      for (const status of ['202 Accepted', '503 Busy']) {
        const server = await rawReceiver(t, bytes + answerOf(status));
        const { durationMs: _, ...outcome } = await send(server.url);
        assert.deepEqual(outcome, {
          status: Number(status.slice(0, 3)),
          retryAfterMs: null,
          error: null,
          isOurs: false,
          remark: null,
          answer: 'ok',
        });
      }
    });
  }

  test('O11: is read over in whatever pieces it comes, and the connection is used again', async (t) => {
    const bytes = `HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nx: y\r\n\r\n${answerOf('202 Accepted')}`;
    const server = await listen(
      t,
      createTcpServer((socket) => {
        socket.setNoDelay(true).on('data', async () => {
          for (const byte of Buffer.from(bytes)) {
            socket.write(Buffer.from([byte]));
            await nextTurn();
          }
        });
      }),
    );
    const { send } = poster(t);
    for (let time = 0; time < 3; time += 1) {
      const { status, error, answer } = await send(server.url);
      assert.deepEqual([status, error, answer], [202, null, 'ok']);
    }
    assert.equal(server.connections(), 1);
  });

  const broken: [bytes: string, reason: RegExp][] = [
    [`${head}content-le`, /^the connection was closed before an answer came$/],
    ['HTTP/1.1 20', /^the connection was closed before an answer came$/],
    ['HTTP/1.1 100 Continue\r\n\r\n', /^the connection was closed before an answer came$/],
    ['', /^the connection was closed before an answer came$/],
    ['SSH-2.0-OpenSSH_9.6\r\n', /it is not HTTP\/1\.1, it begins with "SSH-2\.0-Open"$/],
    ['\u0015\u0003\u0001\u0000\u0002\u0002P', /it is TLS, which wants a URL with https$/],
    ['HTTP/1.1 099 Nothing\r\n\r\n', /it begins with "HTTP\/1\.1 099"$/],
    ['HTTP/1.1 OK\r\n\r\n', /it begins with "HTTP\/1\.1 OK/],
    ['HTTP/1.1 200 OK\ncontent-length: 2\n\nok', /it is not HTTP\/1\.1 \(Missing expected CR/],
    [`${head}no colon\r\n\r\n`, /it is not HTTP\/1\.1 \(Invalid header token\)$/],
    [`${head}content-length: two\r\n\r\nok`, /\(Invalid character in Content-Length\)$/],
    [`${head}content-length: 2\r\ncontent-length: 3\r\n\r\nok`, /contradicts itself about its length$/],
    [`${head}content-length: 2\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n`, /contradicts itself/],
    [`${head}x: ${'x'.repeat(20_000)}\r\n\r\n`, /^the headers of the answer are too long$/],
    [
      'HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n',
      /101: it wants to speak/,
    ],
    [`HTTP/1.1 101 Switching Protocols\r\n\r\n${answerOf('200 OK')}`, /101: it wants to speak/],
  ];
  for (const [bytes, reason] of broken) {
    test(`O11: that is broken is an error in words: ${JSON.stringify(bytes.slice(0, 60))}`, async (t) => {
      const server = await rawReceiver(t, bytes);
      const { status, error, answer } = await poster(t).send(server.url);
      assert.deepEqual([status, answer], [null, '']);
      assert.match(error ?? '', reason);
      assert.doesNotMatch(error ?? '', /assert|falsy|undici|Response does not/i);
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
    for (const { status, error, remark, durationMs } of outcomes) {
      assert.equal(error, status === null ? 'timed out after 0.3 s' : null);
      assert.equal(remark, status === null ? null : 'the answer did not end');
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
