import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { suite, test } from 'node:test';
import { io, type Socket } from 'socket.io-client';
import { bodyOf } from './support/management.ts';
import { createDatabase } from './support/mariadb.ts';
import { type ServerProcess, spawnServer } from './support/process.ts';
import { request } from './support/server.ts';
import { waitFor } from './support/wait.ts';
import { reachReceivers, startReceiver } from './support/webhook-receiver.ts';

const mysqlUrl = process.env.FLEETHOOK_TEST_MYSQL_URL;
const eventsInAll = 20_000;
/** Each stays within the burst that a device has. */
const devicesInAll = 50;

/** Says `count` things as fast as they are acknowledged; answers the numbers of those that were. */
function speak(socket: Socket, first: number, count: number, acknowledged: Set<number>): void {
  for (let place = 0; place < count; place += 1) {
    const number = first + place;
    socket.emit('event', { eventType: 'counted', eventData: { number } }, (answer: { ok: boolean }) => {
      if (answer.ok) acknowledged.add(number);
    });
  }
}

/** They end with the server, and do not come back. */
async function connect(server: ServerProcess, tokens: readonly string[]): Promise<Socket[]> {
  const sockets = tokens.map((token) =>
    io(`${server.url}/devices`, {
      auth: { token },
      transports: ['websocket'],
      reconnection: false,
      forceNew: true,
    }),
  );
  await waitFor(() => sockets.every((socket) => socket.connected), { what: 'the devices' });
  return sockets;
}

for (const database of ['sqlite', 'mysql'] as const) {
  const skip = database === 'mysql' && !mysqlUrl ? 'there is no MariaDB' : false;
  suite(`deliveries and SIGKILL on ${database === 'sqlite' ? 'SQLite' : 'MariaDB'}`, { skip }, () => {
    test('what was acknowledged arrives at least once, and twice under one id alone', async (t) => {
      const dir = mkdtempSync(join(tmpdir(), 'fleethook-delivery-crash-'));
      const env: Record<string, string> = { DATA_DIR: dir, ...reachReceivers };
      if (database === 'mysql') env.DATABASE_URL = await createDatabase(mysqlUrl ?? '');
      const idsOf = new Map<number, Set<string>>();
      await using receiver = await startReceiver((got, response) => {
        const { number } = got.json.eventData;
        const ids = idsOf.get(number) ?? new Set();
        idsOf.set(number, ids.add(String(got.headers['webhook-id'])));
        response.writeHead(204).end();
        receiver.received.length = 0;
      });
      t.after(() => rmSync(dir, { recursive: true, force: true }));
      await using ends = new AsyncDisposableStack();
      let server = ends.use(await spawnServer(env));
      const names = Array.from({ length: devicesInAll }, (_, place) => ({ name: `d${place}` }));
      const made = bodyOf(await request(`${server.url}/api/v1/devices`, { body: names }), 201);
      const tokens = made.items.map((device: { token: string }) => device.token);
      const webhook = { name: 'all', url: receiver.url };
      bodyOf(await request(`${server.url}/api/v1/webhooks`, { body: webhook }), 201);

      const acknowledged = new Set<number>();
      const each = eventsInAll / devicesInAll;
      let sockets = await connect(server, tokens);
      for (const [place, socket] of sockets.entries()) speak(socket, place * each, each, acknowledged);
      await waitFor(() => acknowledged.size > eventsInAll / 4 && idsOf.size > 500, {
        what: () => `the middle: ${acknowledged.size} acknowledged, ${idsOf.size} delivered`,
        deadlineMs: 60_000,
      });
      await server.kill();
      const before = { acknowledged: new Set(acknowledged), delivered: idsOf.size };
      assert.ok(before.delivered < before.acknowledged.size, 'it was killed in the middle of deliveries');
      for (const socket of sockets) socket.disconnect();

      // Its deliveries are taken up when it has been silent for a while.
      server = ends.use(await spawnServer(env));
      sockets = await connect(server, tokens);
      for (const [place, socket] of sockets.entries())
        for (let number = place * each; number < (place + 1) * each; number += 1)
          if (!acknowledged.has(number)) speak(socket, number, 1, acknowledged);
      await waitFor(() => acknowledged.size === eventsInAll, {
        what: () => `all to be acknowledged: ${acknowledged.size}`,
        deadlineMs: 60_000,
      });
      await waitFor(() => [...acknowledged].every((number) => idsOf.has(number)), {
        what: () => `all to be delivered: ${idsOf.size}`,
        deadlineMs: 90_000,
      });
      // One that was stored and whose acknowledgement was lost was said again: another event, with an id of its own.
      const twice = [...before.acknowledged].filter((number) => idsOf.get(number)?.size !== 1);
      assert.deepEqual(twice, []);
      await server.terminate();
    });
  });
}
