/** What never becomes a request: its sender is told what is wrong, and the log and the figures know of it. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect } from 'node:net';
import { suite, test } from 'node:test';
import { oneServer } from './support/management.ts';
import { request, startServer } from './support/server.ts';

async function say(url: string, bytes: string | Buffer): Promise<{ head: string; body: unknown }> {
  const socket = connect(Number(new URL(url).port), '127.0.0.1');
  socket.end(bytes);
  const parts: Buffer[] = [];
  socket.on('data', (part) => parts.push(part));
  await once(socket, 'close');
  const [head = '', body = ''] = Buffer.concat(parts).toString().split('\r\n\r\n');
  assert.equal(Number(/content-length: (\d+)/.exec(head)?.[1]), Buffer.byteLength(body), head);
  return { head, body: JSON.parse(body) };
}

suite('requests that can not be read', () => {
  const server = oneServer(startServer);
  const path = '/public-api/integration/webhooks';

  test('I23: raw bytes in an address are told, logged and counted, and no key is', async () => {
    const texts = [
      `GET ${path}?message=Überschwemmung&api_key=fhk_secret HTTP/1.1\r\nHost: x\r\n\r\n`,
      `GET ${path}?message=Feuer im Haus&api_key=fhk_secret HTTP/1.1\r\nHost: x\r\n\r\n`,
      Buffer.from(`POST ${path}/evac?m=\u00dc&api_key=fhk_secret HTTP/1.1\r\nHost: x\r\n\r\n`, 'latin1'),
    ];
    for (const text of texts) {
      const { head, body } = await say(server().url, text);
      assert.match(head, /^HTTP\/1\.1 400 Bad Request\r\n/);
      assert.match(head, /connection: close/);
      const { message, error } = body as { message: string; error: { code: string; detail: string } };
      assert.deepEqual([message, error.code], ['Error', 'bad_request']);
      assert.match(error.detail, /URL-encoded/);
    }
    const problem = await say(server().url, 'GET /api/v1/devices?q=ü HTTP/1.1\r\nHost: x\r\n\r\n');
    assert.match(problem.head, /application\/problem\+json/);
    const { status, code } = problem.body as { status: number; code: string };
    assert.deepEqual([status, code], [400, 'bad_request']);

    const lines = server().logged.filter((line) => line.includes('a request could not be read'));
    assert.ok(lines.length >= 1);
    assert.match(lines[0] ?? '', /"reason":"HPE_INVALID_URL","address":"127\.0\.0\.1"/);
    assert.ok(!server().logged.join('').includes('fhk_secret'));
    const metrics = await request(`${server().url}/metrics`);
    assert.match(metrics.body, /fleethook_http_broken_requests_total\{reason="HPE_INVALID_URL"\} 3/);
  });

  test('so is everything else that is no HTTP', async () => {
    const broken: [string | Buffer, number][] = [
      ['nonsense\r\n\r\n', 400],
      [Buffer.from([0x16, 0x03, 0x01, 0x02, 0x00, 0x01]), 400],
      [`GET / HTTP/1.1\r\nHost: x\r\nX: ${'x'.repeat(40_000)}\r\n\r\n`, 431],
      ['POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n', 400],
    ];
    for (const [bytes, status] of broken) {
      const { head, body } = await say(server().url, bytes);
      assert.match(head, new RegExp(`^HTTP/1\\.1 ${status} `));
      const { detail } = body as { detail: string };
      assert.ok(detail.length > 10);
    }
    assert.equal((await request(`${server().url}/healthz`)).status, 200);
  });

  test('I1: a query that is no UTF-8 is refused, wherever it is read', async () => {
    for (const address of ['/api/v1/devices?q=%E4', `${path}?event_id=%E4`, '/webhooks/x?a=%ff']) {
      const { status, body } = await request(server().url + address);
      assert.ok(
        status === 400 || (status === 404 && address.startsWith('/webhooks')),
        `${address} ${status}`,
      );
      if (address.startsWith('/api')) assert.equal(body.code, 'bad_request');
    }
  });
});

suite('connections that are kept', () => {
  test('I7: for 75 seconds, above what load balancers do', async () => {
    await using server = await startServer();
    const { headers } = await request(`${server.url}/healthz`);
    assert.equal(headers.get('keep-alive'), 'timeout=75');
  });

  test('I7: as long as KEEP_ALIVE_SECONDS says, and used again until then', async () => {
    await using server = await startServer({ env: { KEEP_ALIVE_SECONDS: '1' } });
    const socket = connect(Number(new URL(server.url).port), '127.0.0.1');
    const call = 'GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n';
    for (const _ of [1, 2]) {
      socket.write(call);
      const [answer] = (await once(socket, 'data')) as [Buffer];
      assert.match(answer.toString(), /^HTTP\/1\.1 200 OK[\s\S]*Keep-Alive: timeout=1\r\n/);
    }
    const start = performance.now();
    await once(socket, 'close');
    assert.ok(performance.now() - start < 10_000);
  });
});
