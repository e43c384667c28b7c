/** What is known of a receiver: when it is given up, and when it starts afresh. */
import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { afterFailures, type Health, healthy, isGivenUp } from '../src/domain/webhook/health.ts';
import {
  becomes,
  changeWebhook,
  hourMs,
  makeWebhook,
  onlyDelivery,
  say,
  settled,
  setUpDeliveries,
  webhookOf,
} from './support/delivery.ts';
import { bodyOf } from './support/management.ts';
import { onEveryDatabase, type TestServer } from './support/server.ts';
import { waitFor } from './support/wait.ts';
import { startReceiver } from './support/webhook-receiver.ts';

const dayMs = 24 * hourMs;

onEveryDatabase('a receiver', (start) => {
  const setUp = () => setUpDeliveries(start);
  const isFailing = async (server: TestServer, id: string) =>
    (await webhookOf(server, id)).failing_since !== null;

  test('O3: that failed on five days, ten times or more, is given up, and whoever asks is told', async () => {
    const { time, server, device } = await setUp();
    await using _server = server;
    await using receiver = await startReceiver(500);
    await using watcher = await startReceiver();
    const webhook = await makeWebhook(server, { url: receiver.url, filter: { kinds: ['event'] } });
    await makeWebhook(server, { url: watcher.url, filter: { event_types: ['webhook.disabled'] } });
    for (let half = 0; half < 10; half += 1) {
      const before = receiver.received.length;
      await say(device, `half day ${half}`);
      await settled(server, webhook.id, receiver, before + 1);
      assert.equal((await webhookOf(server, webhook.id)).enabled, true, `after ${half / 2} days`);
      time.forward(12 * hourMs);
    }
    await say(device, 'the last');
    await watcher.got(1);
    assert.equal(watcher.received.length, 1);
    assert.equal(watcher.received[0]?.json.eventType, 'webhook.disabled');
    assert.equal(watcher.received[0]?.json.eventData.webhook_id, webhook.id);
    const view = await webhookOf(server, webhook.id);
    assert.equal(view.enabled, false);
    assert.match(view.disabled_reason, /five days/);

    // What waits goes out when it is switched on again.
    receiver.behave(204);
    await changeWebhook(server, webhook.id, { enabled: true });
    await waitFor(async () => (await webhookOf(server, webhook.id)).deliveries.pending === 0, {
      what: 'all to be delivered',
    });
    assert.equal((await webhookOf(server, webhook.id)).failing_since, null);
  });

  for (const failures of [1, 12])
    test(`O3: that failed ${failures} times, was quiet for six days, and fails once more goes on`, async () => {
      const { time, server, device } = await setUp();
      await using _server = server;
      await using receiver = await startReceiver(500);
      const webhook = await makeWebhook(server, { url: receiver.url });
      const path = `/webhooks/${webhook.id}`;
      for (let place = 0; place < failures; place += 1) {
        await say(device, `event ${place}`);
        await settled(server, webhook.id, receiver, place + 1);
        time.forward(3 * 60_000);
      }
      for (const { id } of bodyOf(await server.api(`${path}/deliveries?status=pending`), 200).items)
        await server.api(`/deliveries/${id}/cancel`, { method: 'POST' });
      const { length } = receiver.received;
      time.forward(6 * dayMs);
      receiver.behave(503);
      await say(device, 'after six days');
      await settled(server, webhook.id, receiver, length + 1);
      const view = await webhookOf(server, webhook.id);
      assert.deepEqual([view.enabled, view.disabled_reason], [true, null]);
      assert.notEqual(view.failing_since, null);
    });

  test('O3: a good test is a success', async () => {
    const { time, server, device } = await setUp();
    await using _server = server;
    await using receiver = await startReceiver(500);
    const webhook = await makeWebhook(server, { url: receiver.url });
    await say(device, 'motion');
    await waitFor(() => isFailing(server, webhook.id), { what: 'it is known to fail' });
    receiver.behave(204);
    time.forward(1_000);
    const tested = bodyOf(await server.api(`/webhooks/${webhook.id}/test`, { method: 'POST' }), 200);
    assert.equal(tested.delivered, true);
    const view = await webhookOf(server, webhook.id);
    assert.equal(view.failing_since, null);
    assert.ok(Date.parse(view.last_success_at) > time.now() - 60_000);
    await becomes(server, webhook.id, 'delivered');
  });

  test('O3: is not blamed for a template that can not be filled', async () => {
    const { server, device } = await setUp();
    await using _server = server;
    await using receiver = await startReceiver();
    const webhook = await makeWebhook(server, { url: receiver.url, body: '{"n": -{{eventData.n}}}' });
    await say(device, 'motion', {});
    const failed = await becomes(server, webhook.id, 'failed');
    assert.match(failed.last_error, /^nothing was sent: the body is not JSON/);
    assert.equal((await webhookOf(server, webhook.id)).failing_since, null);
    assert.equal(receiver.received.length, 0);
  });

  /** A webhook whose receiver has asked for an hour, and one delivery that waits for that. */
  async function held() {
    const { time, server, device, made } = await setUp();
    const receiver = await startReceiver((_request, response) =>
      response.writeHead(429, { 'retry-after': '3600' }).end(),
    );
    const webhook = await makeWebhook(server, { url: receiver.url });
    await say(device, 'first');
    const first = await waitFor(
      async () => {
        const delivery = await onlyDelivery(server, webhook.id);
        return delivery.attempts === 1 && delivery;
      },
      { what: 'the first attempt' },
    );
    assert.ok(Date.parse(first.next_attempt_at) - time.now() > 50 * 60_000, first.next_attempt_at);
    const view = await webhookOf(server, webhook.id);
    assert.match(view.held_reason, /asked for a pause: the receiver answered 429/);
    const heldMs = Date.parse(view.held_until) - time.now();
    assert.ok(heldMs > 5 * 60_000 && heldMs <= 10 * 60_000, `${heldMs} ms`);
    await say(device, 'second');
    return {
      time,
      server,
      device,
      made,
      receiver,
      webhook,
      first,
      delivered: () =>
        waitFor(async () => (await webhookOf(server, webhook.id)).deliveries.delivered === 2, {
          what: 'both to be delivered',
        }),
      isFree: async () => {
        const now = await webhookOf(server, webhook.id);
        assert.deepEqual([now.held_until, now.held_reason], [null, null]);
      },
      [Symbol.asyncDispose]: async () => {
        await receiver[Symbol.asyncDispose]();
        await server[Symbol.asyncDispose]();
      },
    };
  }

  test('O12: that is another by its URL starts afresh, whatever the one before asked for', async () => {
    await using those = await held();
    await using other = await startReceiver();
    await changeWebhook(those.server, those.webhook.id, { url: other.url });
    await those.delivered();
    await those.isFree();
    assert.deepEqual(other.received.map(({ json }) => json.eventType).sort(), ['first', 'second']);
    assert.equal(those.receiver.received.length, 1);
  });

  const mendings: [string, (those: Awaited<ReturnType<typeof held>>) => Promise<unknown>][] = [
    [
      'that is switched off and on',
      async ({ server, webhook }) => {
        await changeWebhook(server, webhook.id, { enabled: false });
        await changeWebhook(server, webhook.id, { enabled: true });
      },
    ],
    [
      'with a good test',
      async ({ server, webhook }) =>
        bodyOf(await server.api(`/webhooks/${webhook.id}/test`, { method: 'POST' }), 200),
    ],
    [
      'with another header',
      ({ server, webhook }) => changeWebhook(server, webhook.id, { headers: { 'X-Key': '1' } }),
    ],
  ];
  for (const [what, mend] of mendings)
    test(`O12: ${what} starts afresh`, async () => {
      await using those = await held();
      those.receiver.behave(204);
      await mend(those);
      await those.delivered();
      await those.isFree();
    });

  test('O12: gets what a person replays at once, and what waits behind the pause with it', async () => {
    await using those = await held();
    const { server, receiver, first } = those;
    receiver.behave(204);
    bodyOf(await server.api(`/deliveries/${first.id}/replay`, { method: 'POST' }), 200);
    await those.delivered();
    await those.isFree();
  });

  test('O12: another name or filter is no other receiver, and a failed test ends no pause', async () => {
    await using those = await held();
    const { server, webhook, receiver } = those;
    const renamed = await changeWebhook(server, webhook.id, { name: crypto.randomUUID(), description: 'x' });
    assert.notEqual(renamed.held_until, null);
    bodyOf(await server.api(`/webhooks/${webhook.id}/test`, { method: 'POST' }), 200);
    assert.notEqual((await webhookOf(server, webhook.id)).held_until, null);
    assert.equal(receiver.received.length, 2);
  });

  test('O12: that fails again and again is held, and the API says why', async () => {
    const { time, server, device } = await setUp();
    await using _server = server;
    await using receiver = await startReceiver(500);
    const webhook = await makeWebhook(server, { url: receiver.url });
    for (let place = 0; place < 12; place += 1) await say(device, `event ${place}`);
    const view = await waitFor(
      async () => {
        const now = await webhookOf(server, webhook.id);
        return now.held_until !== null && now;
      },
      { what: 'the pause' },
    );
    assert.match(
      view.held_reason,
      /^1\d attempts in a row have failed, the last: the receiver answered 500$/,
    );
    assert.ok(Date.parse(view.held_until) - time.now() <= 2 * 60_000);
  });

  test('O12: an answer of the receiver before it switches nothing off', async () => {
    const { server, device } = await setUp();
    await using _server = server;
    let answerLate: (() => void) | undefined;
    await using former = await startReceiver((_request, response) => {
      answerLate = () => response.writeHead(410).end();
    });
    await using other = await startReceiver();
    const webhook = await makeWebhook(server, { url: former.url });
    await say(device, 'motion');
    await former.got(1);
    await changeWebhook(server, webhook.id, { url: other.url });
    answerLate?.();
    await waitFor(async () => (await onlyDelivery(server, webhook.id)).attempts === 1, { what: 'the 410' });
    const view = await webhookOf(server, webhook.id);
    assert.deepEqual([view.enabled, view.failing_since], [true, null]);
    assert.equal((await onlyDelivery(server, webhook.id)).status, 'pending');
  });

  test('O13: gets what waits for its next attempt, too, when a range is replayed', async () => {
    const { time, server, device } = await setUp();
    await using _server = server;
    await using receiver = await startReceiver(503);
    const from = new Date(time.now() - 1_000).toISOString();
    // The second webhook was not there yet when the events of the first were said.
    for (const [ordered, expected] of [
      [false, 3],
      [true, 4],
    ] as const) {
      receiver.behave(503);
      const webhook = await makeWebhook(server, { url: receiver.url, ordered });
      for (let place = 0; place < 3; place += 1) await say(device, `event ${place}`);
      const failed = ordered ? 1 : 3;
      await waitFor(
        async () => {
          const { items } = bodyOf(await server.api(`/webhooks/${webhook.id}/deliveries`), 200);
          return items.filter((item: { attempts: number }) => item.attempts > 0).length === failed;
        },
        { what: 'the attempts to be written down' },
      );
      receiver.behave(204);
      const path = `/webhooks/${webhook.id}`;
      const range = { method: 'POST', body: { from, delivered: false } };
      const { replayed } = bodyOf(await server.api(`${path}/replay`, range), 200);
      assert.equal(replayed, expected);
      await waitFor(async () => (await webhookOf(server, webhook.id)).deliveries.pending === 0, {
        what: 'all to be delivered',
      });
      await server.api(path, { method: 'DELETE' });
    }
  });
});

suite('O3: the health of a receiver', () => {
  const failAt = (hours: readonly number[]) =>
    hours.reduce<{ health: Health; offAt: number | null }>(
      ({ health, offAt }, hour) => {
        const next = afterFailures(health, 1, hour * hourMs);
        return { health: next, offAt: offAt ?? (isGivenUp(next, hour * hourMs) ? hour : null) };
      },
      { health: healthy, offAt: null },
    ).offAt;
  const every = (hours: number, days: number) =>
    Array.from({ length: (days * 24) / hours + 1 }, (_, place) => place * hours);

  const cases: [string, number[], number | null][] = [
    ['twice a day', every(12, 7), 120],
    ['every hour', every(1, 7), 120],
    ['once a day: ten attempts take nine days', every(24, 14), 9 * 24],
    ['ten at once, and one after six days', [...Array<number>(10).fill(0), 144], null],
    ['hourly on three days, and once after a month', [...every(1, 2.9), 30 * 24], null],
    ['once a week', every(168, 56), null],
  ];
  for (const [what, hours, expected] of cases)
    test(`${what}`, () => {
      assert.equal(failAt(hours), expected);
    });
});
