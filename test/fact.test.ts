import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import type { Fact } from '../src/domain/feed.ts';
import { bodyOf, oneServer } from './support/management.ts';
import { request, startServer } from './support/server.ts';

suite('what becomes of a fact', () => {
  const server = oneServer(startServer, { env: { LOG_LEVEL: 'debug' } });

  const facts: [Fact, level: string | null, figure: RegExp][] = [
    [
      { kind: 'webhook-disabled', projectId: 1, webhookId: 'w', reason: 'it has failed for five days' },
      'warn',
      /^fleethook_webhooks_disabled_total 1$/m,
    ],
    [{ kind: 'firings', count: 3 }, 'debug', /^fleethook_alarm_firings_total 3$/m],
    [
      { kind: 'receipt', projectId: 1, commandId: 'c', deviceId: 1, status: 'applied', at: 0 },
      null,
      /^fleethook_receipts_total\{status="applied"\} 1$/m,
    ],
    [
      { kind: 'trigger-refused', projectId: 1, actionEventId: 'evac', code: 'not_allowed' },
      'info',
      /^fleethook_triggers_total\{source="any",outcome="not_allowed"\} 1$/m,
    ],
  ];
  for (const [fact, level, figure] of facts) {
    test(`${fact.kind} is ${level === null ? 'no line' : `a line of the level ${level}`} and a figure`, async () => {
      const before = server().logged.length;
      server().ctx.feed.publish(fact);
      const { kind, ...members } = fact;
      const lines = server()
        .logged.slice(before)
        .map((line) => JSON.parse(line));
      const told = lines.filter((line) =>
        Object.entries(members).every(([name, value]) => line[name] === value),
      );
      assert.deepEqual(
        told.map((line) => line.level),
        level === null ? [] : [level],
      );
      assert.match(bodyOf(await request(`${server().url}/metrics`, { key: null }), 200), figure);
    });
  }
});
