/** Writes what came of attempts. At least once: a delivery is finished only by what was written after the answer. */

import { passTurn, type Settlement, settleDeliveries } from '../../store/delivery.ts';
import { inTransaction } from '../../store/open.ts';
import type { NewRow } from '../../store/schema.ts';
import { holdWebhook, updateWebhook } from '../../store/webhook.ts';
import { insertWebhookLogs } from '../../store/webhook-log.ts';
import { createCommits } from '../commit.ts';
import type { Context } from '../context.ts';
import { Fault } from '../fault.ts';
import { newId } from '../id.ts';
import { forgetWebhooks, type ReadyWebhook, readyWebhooks } from '../webhook/ready-webhook.ts';
import type { Outcome } from './attempt.ts';
import type { ClaimedDelivery } from './outbound.ts';
import { type Verdict, verdictOf } from './verdict.ts';

const settlementsPerCommit = 500;
/** Nobody waits for what is written here, and a commit of a hundred costs little more than one of ten. */
const settleLingerMs = 5;
/** How often it is written down that a webhook still works. */
const successEveryMs = 60_000;
const messageMax = 500;

/** One that was made; a `Fault` says why nothing was sent. */
export type Attempt = { delivery: ClaimedDelivery; outcome: Outcome | Fault };

export type Settlements = {
  /** Resolves once what came of the attempt is written down. */
  add(attempt: Attempt): Promise<void>;
  drain(): Promise<void>;
};

type Settled = Attempt & {
  /** As it is known at this moment; undefined when it is gone. */
  webhook: ReadyWebhook | undefined;
  verdict: Verdict;
  settlement: Settlement;
  log: NewRow<'webhook_logs'>;
};

/** Writes what came of attempts, those that end in the same turn in one commit. */
export function createSettlements(ctx: Context): Settlements {
  const successes = new Map<string, number>();

  async function commit(attempts: readonly Attempt[]): Promise<true[]> {
    const now = ctx.now();
    const settled: Settled[] = [];
    for (const attempt of attempts) {
      const { projectId, webhookId } = attempt.delivery;
      settled.push(settledBy(attempt, (await readyWebhooks(ctx, projectId)).get(webhookId), now));
    }
    const health = healthOf(settled, successes, now);
    const turns = settled.filter(
      ({ delivery, settlement }) => delivery.orderKey !== null && settlement.finished_at !== null,
    );
    await inTransaction(ctx.db, async (tx) => {
      for (const id of [...new Set(turns.map(({ delivery }) => delivery.webhookId))].sort())
        await holdWebhook(tx, id);
      await settleDeliveries(
        tx,
        ctx.process.nodeId,
        settled.map(({ settlement }) => settlement),
      );
      await insertWebhookLogs(
        tx,
        settled.map(({ log }) => log),
      );
      for (const { delivery } of turns) await passTurn(tx, delivery.orderKey ?? '', now);
      for (const [id, change] of [...health].sort(([one], [other]) => (one < other ? -1 : 1)))
        await updateWebhook(tx, id, change);
    });
    for (const [id, { last_success_at: at }] of health) if (at !== undefined) successes.set(id, at);
    for (const { delivery } of settled)
      if (health.has(delivery.webhookId)) forgetWebhooks(ctx, delivery.projectId);
    for (const each of settled) tell(ctx, each);
    ctx.live.outbound.wake(new Set(turns.map(({ delivery }) => delivery.webhookId)));
    return attempts.map(() => true);
  }

  const batch = createCommits<Attempt, true>(commit, settlementsPerCommit, settleLingerMs);
  return { add: async (attempt) => void (await batch.add(attempt)), drain: batch.drain };
}

function settledBy(attempt: Attempt, webhook: ReadyWebhook | undefined, now: number): Settled {
  const { delivery, outcome } = attempt;
  const attempts = delivery.attempts + 1;
  const failingMs = webhook?.enabled ? now - (webhook.failingSince ?? now) : 0;
  const verdict = verdictOf(outcome, { attempts, failingMs, random: Math.random() });
  const message = verdict.message.slice(0, messageMax);
  const answered = outcome instanceof Fault ? null : outcome;
  return {
    ...attempt,
    webhook,
    verdict,
    settlement: {
      id: delivery.id,
      status: verdict.status,
      attempts,
      next_at: now + (verdict.retryInMs ?? 0),
      last_status: answered?.status ?? null,
      last_error: verdict.status === 'delivered' ? null : message,
      finished_at: verdict.retryInMs === undefined ? now : null,
    },
    log: {
      id: newId(now),
      project_id: delivery.projectId,
      webhook_id: delivery.webhookId,
      delivery_id: delivery.id,
      level: verdict.level,
      message,
      attempt: attempts,
      status: answered?.status ?? null,
      duration_ms: answered === null ? null : Math.round(answered.durationMs),
      answer: answered?.answer ?? null,
      at: now,
    },
  };
}

type Health = {
  failing_since?: number | null;
  last_success_at?: number;
  enabled?: number;
  disabled_reason?: string;
};

/**
 * What has to be known of the webhooks for the next attempt, of those alone where it changes: whether they fail, since
 * when, and whether they are switched off. What could not be sent says nothing about the receiver.
 */
function healthOf(
  settled: readonly Settled[],
  successes: ReadonlyMap<string, number>,
  now: number,
): Map<string, Health> {
  const changes = new Map<string, Health>();
  for (const { delivery, outcome, webhook, verdict } of settled) {
    const id = delivery.webhookId;
    const before = changes.get(id);
    const change: Health = { ...before };
    if (verdict.status === 'delivered') {
      const isOver = webhook?.failingSince != null || before?.failing_since != null;
      if (isOver || now - (successes.get(id) ?? 0) >= successEveryMs)
        Object.assign(change, { failing_since: null, last_success_at: now });
    } else if (
      !(outcome instanceof Fault) &&
      webhook?.failingSince === null &&
      before?.failing_since === undefined
    )
      change.failing_since = now;
    if (verdict.disables !== undefined)
      Object.assign(change, { enabled: 0, disabled_reason: verdict.disables });
    if (Object.keys(change).length > 0) changes.set(id, change);
  }
  return changes;
}

function tell(ctx: Pick<Context, 'feed'>, { delivery, verdict, settlement, log }: Settled): void {
  const { projectId, webhookId, id: deliveryId } = delivery;
  ctx.feed.publish({
    kind: 'attempt',
    projectId,
    webhookId,
    deliveryId,
    outcome: verdict.status,
    status: settlement.last_status,
    milliseconds: log.duration_ms ?? 0,
  });
  if (verdict.disables === undefined) return;
  ctx.feed.publish({ kind: 'webhook-disabled', projectId, webhookId, reason: verdict.disables });
}
