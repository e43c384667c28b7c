import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import fc from 'fast-check';
import { systemCaller } from '../src/domain/access/caller.ts';
import type { Outcome } from '../src/domain/delivery/attempt.ts';
import { replayRange } from '../src/domain/delivery/replay.ts';
import { retryDelayMs } from '../src/domain/delivery/retry.ts';
import { verdictOf } from '../src/domain/delivery/verdict.ts';
import { Fault } from '../src/domain/fault.ts';
import { firstIdAt } from '../src/domain/id.ts';
import { createBreaker } from '../src/outbound/breaker.ts';
import { becomes, hourMs, makeWebhook, onlyDelivery, say, setUpDeliveries } from './support/delivery.ts';
import { makeDevice } from './support/fleet.ts';
import { bodyOf } from './support/management.ts';
import { onEveryDatabase } from './support/server.ts';
import { waitFor } from './support/wait.ts';
import { startReceiver } from './support/webhook-receiver.ts';

onEveryDatabase('deliveries', (start) => {
  const setUp = (env?: Record<string, string>) => setUpDeliveries(start, env);

  test('a delivery that fails is tried again under the same id until it succeeds', async () => {
    const { time, server, device } = await setUp();
    await using _server = server;
    await using receiver = await startReceiver(500);
    const webhook = await makeWebhook(server, { url: receiver.url });
    await say(device, 'motion');
    await receiver.got(1);
    const failed = await becomes(server, webhook.id, 'pending');
    assert.equal(failed.attempts, 1);
    assert.equal(failed.last_status, 500);
    assert.match(failed.last_error, /500/);
    const waits = Date.parse(failed.next_attempt_at) - time.now();
    assert.ok(waits > 2_000 && waits <= 6_000, `${waits} ms`);

    receiver.behave((_request, response) => response.writeHead(200).end('at last'));
    time.forward(6_000);
    await becomes(server, webhook.id, 'delivered');
    const [first, second, ...others] = receiver.received;
    assert.equal(others.length, 0);
    assert.equal(first?.headers['webhook-id'], second?.headers['webhook-id']);
    assert.equal(first?.text, second?.text);

    const delivery = bodyOf(await server.api(`/deliveries/${failed.id}`), 200);
    assert.deepEqual(
      delivery.log.map((entry: { level: string; status: number; attempt: number; answer: string }) => [
        entry.level,
        entry.attempt,
        entry.status,
        entry.answer,
      ]),
      [
        ['WARN', 1, 500, ''],
        ['INFO', 2, 200, 'at last'],
      ],
    );
  });

  test('when the schedule is used up it waits, visible, for a replay', async () => {
    const { time, server, device } = await setUp();
    await using _server = server;
    await using receiver = await startReceiver(500);
    const webhook = await makeWebhook(server, { url: receiver.url });
    await say(device, 'motion');
    for (let attempt = 1; attempt <= 9; attempt += 1) {
      await receiver.got(attempt);
      await waitFor(async () => (await onlyDelivery(server, webhook.id)).attempts === attempt, {
        what: `attempt ${attempt} to be settled`,
      });
      time.forward((retryDelayMs(attempt, null, 0.999) ?? 0) + 1_000);
    }
    const exhausted = await becomes(server, webhook.id, 'exhausted');
    assert.equal(exhausted.attempts, 9);
    const logs = bodyOf(await server.api(`/webhooks/${webhook.id}/logs?level=ERROR`), 200);
    assert.match(logs.items[0].message, /given up after 9 attempts/);

    receiver.behave(204);
    bodyOf(await server.api(`/deliveries/${exhausted.id}/replay`, { method: 'POST' }), 200);
    const delivered = await becomes(server, webhook.id, 'delivered');
    assert.equal(delivered.id, exhausted.id);
    assert.equal(receiver.received.at(-1)?.headers['webhook-id'], exhausted.id);
  });

  test('Retry-After is obeyed, and 410 switches the webhook off', async () => {
    const { time, server, device } = await setUp();
    await using _server = server;
    await using receiver = await startReceiver((_request, response) =>
      response.writeHead(429, { 'retry-after': '120' }).end(),
    );
    const webhook = await makeWebhook(server, { url: receiver.url });
    await say(device, 'motion');
    const told = await becomes(server, webhook.id, 'pending');
    await waitFor(async () => (await onlyDelivery(server, webhook.id)).attempts === 1, {
      what: 'it is settled',
    });
    const { next_attempt_at } = await onlyDelivery(server, webhook.id);
    const waits = Date.parse(next_attempt_at) - time.now();
    assert.ok(waits > 100_000 && waits <= 121_000, `${waits} ms`);

    receiver.behave(410);
    time.forward(121_000);
    const gone = await becomes(server, webhook.id, 'exhausted');
    assert.equal(gone.id, told.id);
    const view = bodyOf(await server.api(`/webhooks/${webhook.id}`), 200);
    assert.equal(view.enabled, false);
    assert.match(view.disabled_reason, /410/);
    await say(device, 'motion');
    assert.equal((await onlyDelivery(server, webhook.id)).id, told.id);
  });

  test('one hanging receiver does not hold up another', async () => {
    const { server, device } = await setUp();
    await using _server = server;
    await using hanging = await startReceiver(() => undefined);
    await using quick = await startReceiver();
    await makeWebhook(server, { url: hanging.url });
    await makeWebhook(server, { url: quick.url });
    const count = 60;
    for (let place = 0; place < count; place += 1) await say(device, `e${place}`);
    await quick.got(count);
    // As many as one webhook may have in flight hang, and no more were tried.
    await waitFor(() => hanging.received.length === 16, { what: '16 requests that hang' });
    assert.equal(hanging.received.length, 16);
  });

  test('a receiver that fails again and again is left alone for a while, and then probed', async () => {
    const { time, server, device } = await setUp();
    await using _server = server;
    await using receiver = await startReceiver(500);
    const webhook = await makeWebhook(server, { url: receiver.url });
    const count = 100;
    for (let place = 0; place < count; place += 1) await say(device, `e${place}`);
    await receiver.got(10);
    const settled = async () => {
      const { items } = bodyOf(await server.api(`/webhooks/${webhook.id}/logs?limit=200`), 200);
      return items.length === receiver.received.length && items.length;
    };
    const tried = await waitFor(settled, { what: 'the attempts to be settled' });
    assert.ok(tried <= 10 + 16, `${tried} requests before it was left alone`);
    receiver.behave(200);
    time.forward(60_000);
    await waitFor(
      async () => bodyOf(await server.api(`/webhooks/${webhook.id}`), 200).deliveries.delivered === count,
      { what: 'all to be delivered' },
    );
  });

  test('an ordered webhook keeps the order of each device, also around a failure', async () => {
    const { time, server, device } = await setUp();
    await using _server = server;
    const other = await server.device((await makeDevice(server, { name: 'other' })).token);
    const fails = new Set(['a1']);
    await using receiver = await startReceiver((request, response) => {
      const { eventType } = request.json;
      response.writeHead(fails.delete(eventType) ? 503 : 200).end();
    });
    const webhook = await makeWebhook(server, { url: receiver.url, ordered: true });
    for (const name of ['a0', 'a1', 'a2', 'a3']) await say(device, name);
    for (const name of ['b0', 'b1', 'b2']) await say(other, name);
    await receiver.got(5);
    const typesOf = (letter: string) =>
      receiver.received
        .map((request) => request.json.eventType as string)
        .filter((type) => type.startsWith(letter));
    await waitFor(() => typesOf('b').length === 3, { what: 'the other device' });
    assert.deepEqual(typesOf('a'), ['a0', 'a1']);
    assert.deepEqual(typesOf('b'), ['b0', 'b1', 'b2']);
    time.forward(7_000);
    await waitFor(() => typesOf('a').length === 5, { what: 'the first device to go on' });
    assert.deepEqual(typesOf('a'), ['a0', 'a1', 'a1', 'a2', 'a3']);
    await waitFor(
      async () => bodyOf(await server.api(`/webhooks/${webhook.id}`), 200).deliveries.delivered === 7,
      { what: 'all to be settled' },
    );
  });

  test('a person cancels what waits, and the next of its order goes on', async () => {
    const { server, device } = await setUp();
    await using _server = server;
    await using receiver = await startReceiver((request, response) =>
      response.writeHead(request.json.eventType === 'stuck' ? 500 : 200).end(),
    );
    const webhook = await makeWebhook(server, { url: receiver.url, ordered: true });
    await say(device, 'stuck');
    await say(device, 'next');
    const stuck = await waitFor(
      async () => {
        const { items } = bodyOf(await server.api(`/webhooks/${webhook.id}/deliveries?status=pending`), 200);
        return items.find((item: { attempts: number }) => item.attempts === 1);
      },
      { what: 'the first to have failed' },
    );
    const canceled = bodyOf(await server.api(`/deliveries/${stuck.id}/cancel`, { method: 'POST' }), 200);
    assert.equal(canceled.status, 'canceled');
    await receiver.got(2);
    assert.equal(receiver.received[1]?.json.eventType, 'next');
  });

  test('a time range is replayed: what was delivered, and what happened while the webhook was not there', async () => {
    const { server, device, time } = await setUp();
    await using _server = server;
    await using receiver = await startReceiver();
    const from = new Date(time.now() - 1_000).toISOString();
    await say(device, 'before');
    const webhook = await makeWebhook(server, {
      url: receiver.url,
      filter: { event_types: ['before', 'after'] },
    });
    await say(device, 'after');
    await say(device, 'other');
    await becomes(server, webhook.id, 'delivered');
    const range = { method: 'POST', body: { from } };
    const replay = bodyOf(await server.api(`/webhooks/${webhook.id}/replay`, range), 200);
    assert.deepEqual(replay, { replayed: 2, next_from: null });
    await receiver.got(3);
    const ids = receiver.received.map((request) => [request.json.eventType, request.headers['webhook-id']]);
    assert.deepEqual(ids.map(([type]) => type).sort(), ['after', 'after', 'before']);
    assert.equal(new Set(ids.filter(([type]) => type === 'after').map(([, id]) => id)).size, 1);

    await waitFor(
      async () => bodyOf(await server.api(`/webhooks/${webhook.id}`), 200).deliveries.delivered === 2,
      { what: 'both to be delivered' },
    );
    const rest = { method: 'POST', body: { from, delivered: false } };
    assert.equal(bodyOf(await server.api(`/webhooks/${webhook.id}/replay`, rest), 200).replayed, 0);
  });

  test('a replay lets others have their turn, and looks at so much in one call', async () => {
    const { server, time } = await setUp();
    await using _server = server;
    const events = 12_000;
    const from = time.now() - 60_000;
    const rows = Array.from({ length: events }, (_, place) => ({
      id: firstIdAt(from + place),
      project_id: 1,
      kind: 'event',
      type: place === 500 || place === events - 1 ? 'rare' : 'common',
      label: null,
      device_id: null,
      origin_json: '{}',
      media_type: 'application/json',
      body: Buffer.from('{}'),
      body_bytes: 2,
      problem: null,
      at: from + place,
    }));
    for (let place = 0; place < events; place += 1_000)
      await server.ctx.db
        .insertInto('events')
        .values(rows.slice(place, place + 1_000))
        .execute();
    const made = { url: 'https://example.com', enabled: false, filter: { event_types: ['rare'] } };
    const webhook = await makeWebhook(server, made);
    const replay = (start: string) =>
      replayRange(server.ctx, systemCaller(1, 'test'), webhook.id, { from: start });

    let turns = 0;
    using _timer = setInterval(() => {
      turns += 1;
    }, 1);
    const first = await replay(new Date(from).toISOString());
    assert.ok(turns >= 3, `${turns} turns for others`);
    assert.equal(first.replayed, 1);
    assert.ok(first.next_from, 'it did not read everything in one call');
    const rest = await replay(first.next_from);
    assert.deepEqual(rest, { replayed: 1, next_from: null });
  });

  test('a test-send answers at once what came of it', async () => {
    const { server, made } = await setUp();
    await using _server = server;
    await using receiver = await startReceiver((_request, response) =>
      response.writeHead(418).end('short and stout'),
    );
    const webhook = await makeWebhook(server, { url: receiver.url, enabled: false });
    const path = `/webhooks/${webhook.id}/test`;
    const refused = bodyOf(
      await server.api(path, { body: { type: 'door-open', data: { n: 1 }, device_id: made.id } }),
      200,
    );
    assert.equal(refused.delivered, false);
    assert.equal(refused.status, 418);
    assert.equal(refused.answer, 'short and stout');
    assert.equal(receiver.received[0]?.json.eventType, 'door-open');
    assert.equal(receiver.received[0]?.json.originDeviceId, made.id);
    receiver.behave(200);
    const accepted = bodyOf(await server.api(path, { method: 'POST' }), 200);
    assert.equal(accepted.delivered, true);
    assert.equal(bodyOf(await server.api('/deliveries'), 200).items.length, 0);
    const { items } = bodyOf(await server.api(`/webhooks/${webhook.id}/logs`), 200);
    assert.deepEqual(
      items.map((entry: { level: string }) => entry.level),
      ['INFO', 'ERROR'],
    );
  });

  test('an address that is not public is refused with a reason, and nothing is sent', async () => {
    const { server, device } = await setUp({ WEBHOOK_ALLOW_NETWORKS: '10.1.1.1' });
    await using _server = server;
    await using receiver = await startReceiver();
    const webhook = await makeWebhook(server, { url: receiver.url });
    await say(device, 'motion');
    const refused = await waitFor(
      async () => {
        const delivery = await onlyDelivery(server, webhook.id);
        return delivery.attempts === 1 && delivery;
      },
      { what: 'the attempt' },
    );
    assert.match(refused.last_error, /127\.0\.0\.1 is a loopback address/);
    assert.equal(receiver.received.length, 0);
  });

  test('the server ends with deliveries in flight, and the next one takes them up', async () => {
    const { server, device } = await setUp();
    await using hanging = await startReceiver(() => undefined);
    const webhook = await makeWebhook(server, { url: hanging.url });
    const eventId = await say(device, 'motion');
    await hanging.got(1);
    await server.close();
    hanging.behave(204);
    const env = { ...server.env };
    await using next = await start({ env, dataDir: server.dataDir });
    await hanging.got(2);
    const delivered = await becomes(next, webhook.id, 'delivered');
    assert.equal(delivered.event.id, eventId);
    assert.equal(hanging.received[0]?.headers['webhook-id'], hanging.received[1]?.headers['webhook-id']);
  });

  test('what a node that nobody knows has claimed is taken up at the start', async () => {
    const { server, device } = await setUp();
    await using receiver = await startReceiver();
    const webhook = await makeWebhook(server, { url: receiver.url });
    await say(device, 'motion');
    await becomes(server, webhook.id, 'delivered');
    await server.ctx.db
      .updateTable('deliveries')
      .set({ status: 'sending', node_id: 'a ghost', finished_at: null })
      .execute();
    await server.close();
    await using next = await start({ env: server.env, dataDir: server.dataDir });
    await receiver.got(2);
    await becomes(next, webhook.id, 'delivered');
  });
});

suite('the schedule of attempts', () => {
  test('grows to half a day and ends', () => {
    const waits = Array.from({ length: 9 }, (_, place) => retryDelayMs(place + 1, null, 0.5));
    assert.deepEqual(
      waits.map((wait) => (wait === null ? null : wait / 1_000)),
      [5, 30, 120, 600, 3_600, 10_800, 28_800, 43_200, null],
    );
  });

  test('is spread by a fifth, and longer when the receiver asks', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 8 }),
        fc.double({ min: 0, max: 0.999, noNaN: true }),
        (attempts, random) => {
          const middle = retryDelayMs(attempts, null, 0.5) ?? 0;
          const wait = retryDelayMs(attempts, null, random) ?? 0;
          assert.ok(wait >= middle * 0.8 - 1 && wait <= middle * 1.2 + 1);
          assert.ok((retryDelayMs(attempts, 20 * hourMs, random) ?? 0) <= 14.4 * hourMs);
          assert.ok((retryDelayMs(attempts, 60_000, random) ?? 0) >= 60_000);
        },
      ),
    );
  });
});

suite('what follows from an attempt', () => {
  const answered = (status: number | null, error: string | null = null): Outcome => ({
    status,
    retryAfterMs: null,
    error,
    isOurs: false,
    remark: null,
    answer: '',
    durationMs: 1,
  });
  const first = { attempts: 1, isFormer: false, random: 0.5 };

  test('a 2xx is delivered, a 410 ends the webhook, anything else is tried again', () => {
    assert.equal(verdictOf(answered(204), first).status, 'delivered');
    const gone = verdictOf(answered(410), first);
    assert.equal(gone.status, 'exhausted');
    assert.match(gone.disables ?? '', /410/);
    for (const outcome of [
      answered(500),
      answered(302),
      answered(200, 'the body could not be read'),
      answered(null, 'x'),
    ])
      assert.deepEqual(
        [verdictOf(outcome, first).status, verdictOf(outcome, first).retryInMs],
        ['pending', 5_000],
      );
  });

  test('the ninth in vain is the last', () => {
    const last = verdictOf(answered(500), { ...first, attempts: 9 });
    assert.deepEqual([last.status, last.retryInMs, last.disables], ['exhausted', undefined, undefined]);
  });

  test('what could not be sent is not tried again', () => {
    const verdict = verdictOf(new Fault('bad_request', 'x'), first);
    assert.deepEqual(verdict, { status: 'failed', level: 'ERROR', message: 'nothing was sent: x' });
  });

  test('O12: a 410 of a receiver that is another by now ends nothing', () => {
    const verdict = verdictOf(answered(410), { ...first, isFormer: true });
    assert.deepEqual([verdict.status, verdict.disables], ['pending', undefined]);
  });
});

suite('the breaker', () => {
  test('pauses after ten failures in a row, then probes one at a time', () => {
    const breaker = createBreaker();
    for (let place = 0; place < 9; place += 1) breaker.failed(0, null, 'the receiver answered 500');
    assert.equal(breaker.limit(0), Number.POSITIVE_INFINITY);
    breaker.failed(0, null, 'the receiver answered 500');
    assert.equal(breaker.limit(4_999), 0);
    assert.equal(breaker.limit(5_000), 1);
    breaker.failed(5_000, null, 'the receiver answered 500');
    assert.equal(breaker.limit(14_999), 0);
    assert.equal(breaker.limit(15_000), 1);
    breaker.succeeded();
    assert.equal(breaker.limit(15_000), Number.POSITIVE_INFINITY);
    assert.equal(breaker.isCalm(), true);
  });

  test('failures that were in flight together count as one reason to pause', () => {
    const breaker = createBreaker();
    for (let place = 0; place < 16; place += 1) breaker.failed(0, null, 'the receiver answered 500');
    assert.equal(breaker.limit(5_000), 1);
  });

  test('gives a receiver the pause it asks for', () => {
    const breaker = createBreaker();
    breaker.failed(0, 30_000, 'the receiver answered 500');
    assert.equal(breaker.limit(29_999), 0);
    assert.equal(breaker.limit(30_000), Number.POSITIVE_INFINITY);
  });
});
