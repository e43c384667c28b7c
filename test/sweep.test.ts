import assert from 'node:assert/strict';
import { test } from 'node:test';
import { sql } from 'kysely';
import { sweep } from '../src/domain/sweep.ts';
import type { Tables } from '../src/store/schema.ts';
import { makeDevice, makeStep } from './support/fleet.ts';
import { bodyOf, listAll } from './support/management.ts';
import { onEveryDatabase, request, type TestDevice } from './support/server.ts';
import { waitFor } from './support/wait.ts';
import { reachReceivers, startReceiver } from './support/webhook-receiver.ts';

const dayMs = 24 * 60 * 60 * 1_000;
/** Ids never go back within a process: each run begins after the one before it. */
let firstDay = 0;

const emit = (device: TestDevice, ...said: ['event', object] | ['bulk', string, Uint8Array]) =>
  device.socket.timeout(10_000).emitWithAck(...(said as ['event', object]));

onEveryDatabase('what has grown old', (start) => {
  test('events, deliveries, logs and alarms are swept; what is not finished stays', async () => {
    firstDay += 100;
    let ahead = firstDay * dayMs;
    await using server = await start({
      env: { ...reachReceivers, RETAIN_DAYS: '0' },
      now: () => Date.now() + ahead,
    });
    await using receiver = await startReceiver();
    await using failing = await startReceiver(500);
    const post = async (url: string) =>
      bodyOf(await server.api('/webhooks', { body: { name: url, url } }), 201).id as string;
    const delivered = await post(receiver.url);
    const pending = await post(failing.url);
    const device = await server.device((await makeDevice(server, { name: 'old' })).token);
    const large = Buffer.alloc(200_000);
    assert.equal((await emit(device, 'bulk', 'old', large)).ok, true);
    const isSettled = async () =>
      bodyOf(await server.api(`/webhooks/${delivered}`), 200).deliveries.delivered === 1 &&
      bodyOf(await server.api(`/webhooks/${pending}/logs`), 200).items.length === 1;
    await waitFor(isSettled, { what: 'both attempts' });
    await server.api(`/webhooks/${pending}`, { method: 'PATCH', body: { enabled: false } });

    ahead = (firstDay + 35) * dayMs;
    assert.equal((await emit(device, 'event', { eventType: 'new' })).ok, true);
    await sweep(server.ctx, { retainDays: 30, retainLogDays: 7 });
    const events = await listAll(server.api, '/events');
    assert.deepEqual(
      events.map((event: { type: string | null; label: string | null }) => event.type ?? event.label),
      ['new', 'old'],
      'the old one still has to be delivered',
    );
    assert.equal(bodyOf(await server.api(`/webhooks/${delivered}`), 200).deliveries.delivered <= 1, true);
    assert.deepEqual(
      (await listAll(server.api, '/deliveries')).map(
        (item: { webhook_id: string; event: { kind: string } }) => [item.webhook_id, item.event.kind],
      ),
      [
        [delivered, 'event'],
        [pending, 'bulk'],
      ],
    );
    assert.deepEqual(bodyOf(await server.api(`/webhooks/${pending}/logs`), 200).items, []);

    ahead = (firstDay + 40) * dayMs;
    await sweep(server.ctx, { retainDays: 30, retainLogDays: 7 });
    const left = await listAll(server.api, '/events');
    assert.deepEqual(
      left.map((event: { type: string | null }) => event.type),
      ['new'],
      'nobody waits for it for ever',
    );
    const parts = await server.ctx.db.selectFrom('event_parts').select('event_id').execute();
    assert.deepEqual(parts, []);
  });

  test('O16: RETAIN_DAYS=0 keeps history for ever, and everything else is swept all the same', async () => {
    firstDay += 500;
    let ahead = firstDay * dayMs;
    const options = { now: () => Date.now() + ahead };
    await using server = await start({ ...options, env: { ...reachReceivers, RETAIN_DAYS: '0' } });
    await using receiver = await startReceiver();
    const { db } = server.ctx;
    const webhook = bodyOf(await server.api('/webhooks', { body: { name: 'hook', url: receiver.url } }), 201);
    await makeStep(server, 'restart', 'restart_device', {});
    const made = await makeDevice(server, { name: 'old' });
    const device = await server.device(made.token);
    const user = { email: 'a@example.com', name: 'a', role: 'owner', password: 'a long enough password' };
    bodyOf(await server.api('/users', { body: user }), 201);
    const signedIn = await request(`${server.url}/api/v1/session`, {
      key: null,
      body: { email: user.email, password: user.password },
    });
    assert.equal(signedIn.status < 300, true, JSON.stringify(signedIn.body));
    assert.equal((await emit(device, 'event', { eventType: 'old' })).ok, true);
    const headers = { 'idempotency-key': 'once' };
    assert.equal((await server.trigger({ event_id: 'restart' }, { headers })).status, 200);
    await waitFor(
      async () => bodyOf(await server.api(`/webhooks/${webhook.id}/logs`), 200).items.length > 0,
      {
        what: 'the log of the webhook',
      },
    );
    const count = async (table: keyof Tables) =>
      (await db.selectFrom(table).select(sql<number>`1`.as('one')).execute()).length;
    const counts = async (...tables: (keyof Tables)[]) =>
      Object.fromEntries(
        await Promise.all(tables.map(async (table) => [table, await count(table)] as const)),
      );
    const history = () => counts('events', 'deliveries', 'triggers', 'commands');
    const others = () => counts('sessions', 'idempotency', 'pulses', 'webhook_logs');
    const before = await history();
    assert.deepEqual(await others(), { sessions: 1, idempotency: 1, pulses: 1, webhook_logs: 1 });
    assert.ok((await count('audit')) > 0);

    const sweepNow = (retainLogDays: number) => sweep(server.ctx, { retainDays: 0, retainLogDays });
    ahead += 400 * dayMs;
    await sweepNow(0);
    assert.deepEqual(await others(), { sessions: 0, idempotency: 0, pulses: 0, webhook_logs: 1 });
    assert.equal(await count('audit'), 0);
    await sweepNow(401);
    assert.equal(await count('webhook_logs'), 1);
    await sweepNow(7);
    assert.equal(await count('webhook_logs'), 0);
    assert.deepEqual(await history(), before);
    await sweep(server.ctx, { retainDays: 30, retainLogDays: 0 });
    assert.deepEqual(await history(), { events: 0, deliveries: 0, triggers: 0, commands: 0 });
  });

  test('O16: a server that keeps history for ever sweeps at its start, as any other', async () => {
    firstDay += 500;
    let ahead = firstDay * dayMs;
    const options = { now: () => Date.now() + ahead };
    const server = await start({ ...options, env: { RETAIN_DAYS: '0' } });
    await server.ctx.db
      .insertInto('sessions')
      .values({ hash: 'x', user_id: 'x', expires_at: server.ctx.now() + dayMs, created_at: server.ctx.now() })
      .execute();
    await server.close();
    ahead += 2 * dayMs;
    await using next = await start({ ...options, env: server.env, dataDir: server.dataDir });
    await waitFor(
      async () => (await next.ctx.db.selectFrom('sessions').select('hash').execute()).length === 0,
      { what: 'the session to be swept' },
    );
  });
});
