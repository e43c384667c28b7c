import assert from 'node:assert/strict';
import { test } from 'node:test';
import { alarmSetUp, cold } from './support/alarm.ts';
import { bodyOf, oneServer } from './support/management.ts';
import { onEveryDatabase, type TestServer } from './support/server.ts';
import { reachReceivers, startReceiver, type WebhookReceiver } from './support/webhook-receiver.ts';

const t = (temperature: number) => ({ temperature });

onEveryDatabase('alarms of lists', (start) => {
  const server = oneServer(start, { env: { ...reachReceivers } });
  const api = (path: string, call?: Parameters<TestServer['api']>[1]) => server().api(path, call);
  const setUp = alarmSetUp(server);

  /** What the webhooks of a rule were told: which turn, whether it was active then, and by which element. */
  async function told(
    rule: { id: string },
    receiver: WebhookReceiver,
    work: () => Promise<unknown>,
    count: number,
  ) {
    const body = {
      name: crypto.randomUUID(),
      url: receiver.url,
      filter: { alarm_rules: [rule.id] },
      ordered: true,
    };
    const webhook = bodyOf(await api('/webhooks', { body }), 201);
    await work();
    await receiver.got(count);
    await api(`/webhooks/${webhook.id}`, { method: 'DELETE' });
    return receiver.received.map(({ json }) => [json.type, json.active, json.element]);
  }

  const lists: [string, object, unknown, unknown[][], boolean[]][] = [
    [
      'hot, then cold: raised, then cleared',
      { clear_when: cold },
      [t(95), t(15)],
      [
        ['alarm.raised', true, 0],
        ['alarm.cleared', false, 0],
      ],
      [false],
    ],
    [
      'cold, then hot: raised',
      { clear_when: cold },
      [t(15), t(95), t(96)],
      [['alarm.raised', true, 1]],
      [true],
    ],
    [
      'hot, cold and hot again: two alarms',
      { clear_when: cold },
      [t(31), t(32), 'nonsense', t(10), null, t(50)],
      [
        ['alarm.raised', true, 0],
        ['alarm.cleared', false, 0],
        ['alarm.raised', true, 5],
      ],
      [false, true],
    ],
    [
      'an element that meets both: over as it begins, and told as two turns',
      { clear_when: { path: 'ok', op: 'exists' } },
      [{ temperature: 40, ok: true }],
      [
        ['alarm.raised', true, 0],
        ['alarm.cleared', false, 0],
      ],
      [false],
    ],
    [
      'no list, and it meets both',
      { clear_when: { path: 'ok', op: 'exists' } },
      { temperature: 40, ok: true },
      [
        ['alarm.raised', true, null],
        ['alarm.cleared', false, null],
      ],
      [false],
    ],
    [
      'without a rule to clear: one for each that is hot',
      {},
      [t(40), t(15), t(41)],
      [
        ['alarm.raised', true, 0],
        ['alarm.raised', true, 2],
      ],
      [false, false],
    ],
  ];
  for (const [what, rule, payload, turns, active] of lists) {
    test(`O15: ${what}`, async () => {
      await using receiver = await startReceiver();
      const { rule: made, say, activity, alarms } = await setUp(rule, null);
      assert.deepEqual(await told(made, receiver, () => say(payload), turns.length), turns);
      assert.deepEqual(await activity(), active);
      for (const { json } of receiver.received) {
        assert.deepEqual(json.observation, payload, 'the message as it came');
        const isOver = json.type === 'alarm.cleared';
        assert.equal(json.cleared_at, isOver ? json.last_seen : null);
        assert.equal(json.cleared_reason, isOver ? 'condition' : null);
      }
      for (const alarm of await alarms()) assert.equal(alarm.cleared_at === null, alarm.active);
    });
  }

  test('O15: an active alarm is cleared by a list and raised by it again', async () => {
    await using receiver = await startReceiver();
    const { rule, say, activity } = await setUp({ clear_when: cold }, null);
    await say(t(40));
    const turns = await told(rule, receiver, () => say([t(41), t(10), t(99)]), 2);
    assert.deepEqual(turns, [
      ['alarm.cleared', false, null],
      ['alarm.raised', true, 2],
    ]);
    assert.deepEqual(receiver.received[0]?.json.observation, t(40));
    assert.deepEqual(await activity(), [false, true]);
  });

  test('O15: of a list that turns without end, the turns in the middle are left out', async () => {
    const { say, activity, alarms } = await setUp({ clear_when: cold }, null);
    await say(Array.from({ length: 2_001 }, (_, place) => t(place % 2 === 0 ? 99 : 1)));
    const active = await activity();
    assert.deepEqual(active, [...Array.from({ length: 19 }, () => false), true]);
    assert.equal((await alarms()).at(-1)?.element, 2_000, 'what is so at the end is so');
  });
});
