import assert from 'node:assert/strict';
import { test } from 'node:test';
import { sweep } from '../src/domain/sweep.ts';
import { makeDevice } from './support/fleet.ts';
import { bodyOf, listAll } from './support/management.ts';
import { onEveryDatabase, type TestDevice } from './support/server.ts';
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
});
