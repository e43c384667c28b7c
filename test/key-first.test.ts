import assert from 'node:assert/strict';
import { once } from 'node:events';
import { type IncomingMessage, request } from 'node:http';
import { suite, test } from 'node:test';
import { oneServer } from './support/management.ts';
import { startServer } from './support/server.ts';

suite('who calls is settled before a body is read', () => {
  const server = oneServer(startServer);

  /** The status of the answer to a request whose body never comes; that there is one says that nobody waited for it. */
  async function statusBeforeBody(method: string, path: string): Promise<number | undefined> {
    const call = request(server().url + path, {
      method,
      headers: {
        'content-type': 'application/json',
        'content-length': '200000',
        authorization: 'Bearer nobody',
      },
    });
    call.flushHeaders();
    try {
      const [answer] = (await once(call, 'response', { signal: AbortSignal.timeout(5_000) })) as [
        IncomingMessage,
      ];
      return answer.statusCode;
    } finally {
      call.on('error', () => undefined).destroy();
    }
  }

  const routes: [method: string, path: string, status: number][] = [
    ['POST', '/public-api/integration/webhooks', 401],
    ['POST', '/public-api/integration/webhooks/evac', 401],
    ['POST', '/l/nothing', 404],
    ['PUT', '/homes/1/smartModules/abc/command', 401],
    ['POST', '/things/1/webhooks', 401],
    ['POST', '/svcwebhooks/things/1/webhooks', 401],
    ['PUT', '/webhooks/x', 401],
    ['DELETE', '/webhooks', 401],
    ['PATCH', '/webhooks', 401],
    ['PUT', '/devices/1/event', 401],
    ['POST', '/devices/1/bulkData/label', 401],
    ['POST', '/messages', 401],
    ['POST', '/api/v1/devices', 401],
    ['PATCH', '/api/v1/devices/1', 401],
  ];
  for (const [method, path, status] of routes) {
    test(`${method} ${path}`, async () => assert.equal(await statusBeforeBody(method, path), status));
  }
});
