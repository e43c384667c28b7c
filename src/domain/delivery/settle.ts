/** Writes what came of attempts. At least once: a delivery is finished only by what was written after the answer. */

import type { Change } from '../../store/columns.ts';
import { passTurn, type Settlement, settleDeliveries } from '../../store/delivery.ts';
import { inTransaction } from '../../store/open.ts';
import { holdWebhook, updateWebhook, type Webhook } from '../../store/webhook.ts';
import { insertWebhookLogs, type WebhookLog } from '../../store/webhook-log.ts';
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
  log: WebhookLog;
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
      ({ delivery, settlement }) => delivery.orderKey !== null && settlement.finishedAt !== null,
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
    for (const [id, { lastSuccessAt: at }] of health) if (at != null) successes.set(id, at);
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
      nextAt: now + (verdict.retryInMs ?? 0),
      lastStatus: answered?.status ?? null,
      lastError: verdict.status === 'delivered' ? null : message,
      finishedAt: verdict.retryInMs === undefined ? now : null,
    },
    log: {
      id: newId(now),
      projectId: delivery.projectId,
      webhookId: delivery.webhookId,
      deliveryId: delivery.id,
      level: verdict.level,
      message,
      attempt: attempts,
      status: answered?.status ?? null,
      durationMs: answered === null ? null : Math.round(answered.durationMs),
      answer: answered?.answer ?? null,
      at: now,
    },
  };
}

type Health = Change<Pick<Webhook, 'failingSince' | 'lastSuccessAt' | 'enabled' | 'disabledReason'>>;

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
      const isOver = webhook?.failingSince != null || before?.failingSince != null;
      if (isOver || now - (successes.get(id) ?? 0) >= successEveryMs)
        Object.assign(change, { failingSince: null, lastSuccessAt: now });
    } else if (
      !(outcome instanceof Fault) &&
      webhook?.failingSince === null &&
      before?.failingSince === undefined
    )
      change.failingSince = now;
    if (verdict.disables !== undefined)
      Object.assign(change, { enabled: false, disabledReason: verdict.disables });
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
    status: settlement.lastStatus,
    milliseconds: log.durationMs ?? 0,
  });
  if (verdict.disables === undefined) return;
  ctx.feed.publish({ kind: 'webhook-disabled', projectId, webhookId, reason: verdict.disables });
}
