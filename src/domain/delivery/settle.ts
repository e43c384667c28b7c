/** Writes what came of attempts. At least once: a delivery is finished only by what was written after the answer. */

import type { Change } from '../../store/columns.ts';
import { passTurn, type Settlement, settleDeliveries } from '../../store/delivery.ts';
import { inTransaction } from '../../store/open.ts';
import type { Db } from '../../store/schema.ts';
import { holdWebhook, selectWebhooksById, updateWebhook, type Webhook } from '../../store/webhook.ts';
import { insertWebhookLogs, type WebhookLog } from '../../store/webhook-log.ts';
import { createCommits } from '../commit.ts';
import type { Context } from '../context.ts';
import { Fault } from '../fault.ts';
import { newId } from '../id.ts';
import { afterFailures, givenUpReason, type Health, healthy, isGivenUp } from '../webhook/health.ts';
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
export type Attempt = {
  delivery: ClaimedDelivery;
  outcome: Outcome | Fault;
  /** To whom it was sent, as the webhook had it then. */
  receiver: string | null;
};

export type Settlements = {
  /** Resolves once what came of the attempt is written down. */
  add(attempt: Attempt): Promise<void>;
  drain(): Promise<void>;
};

type Settled = Attempt & {
  /** As it is known at this moment; undefined when it is gone. */
  webhook: ReadyWebhook | undefined;
  /** The webhook has another receiver by now: what came of it says nothing about that one. */
  isFormer: boolean;
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
    const turns = settled.filter(
      ({ delivery, settlement }) => delivery.orderKey !== null && settlement.finishedAt !== null,
    );
    const health = await inTransaction(ctx.db, async (tx) => {
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
      return writeHealth(tx, settled, successes, now);
    });
    for (const [id, { lastSuccessAt: at }] of health) if (at != null) successes.set(id, at);
    for (const { delivery } of settled)
      if (health.has(delivery.webhookId)) forgetWebhooks(ctx, delivery.projectId);
    for (const each of settled) tell(ctx, each);
    for (const [id, { disabledReason: reason }] of health) {
      const projectId = settled.find(({ delivery }) => delivery.webhookId === id)?.delivery.projectId;
      if (reason != null && projectId !== undefined)
        ctx.feed.publish({ kind: 'webhook-disabled', projectId, webhookId: id, reason });
    }
    ctx.live.outbound.wake(new Set(turns.map(({ delivery }) => delivery.webhookId)));
    return attempts.map(() => true);
  }

  const batch = createCommits<Attempt, true>(commit, settlementsPerCommit, settleLingerMs);
  return { add: async (attempt) => void (await batch.add(attempt)), drain: batch.drain };
}

function settledBy(attempt: Attempt, webhook: ReadyWebhook | undefined, now: number): Settled {
  const { delivery, outcome, receiver } = attempt;
  const attempts = delivery.attempts + 1;
  const isFormer =
    receiver !== null &&
    webhook !== undefined &&
    ![webhook.url.text, webhook.commandUrl?.text].includes(receiver);
  const verdict = verdictOf(outcome, { attempts, isFormer, random: Math.random() });
  const message = verdict.message.slice(0, messageMax);
  const answered = outcome instanceof Fault ? null : outcome;
  return {
    ...attempt,
    webhook,
    isFormer,
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

type HealthChange = Change<Health & Pick<Webhook, 'lastSuccessAt' | 'enabled' | 'disabledReason'>>;

/**
 * Writes how the receivers do, and switches off those that are given up. Of success it is enough to write now and then;
 * failures are counted, each of them, from what the transaction sees. What could not be sent says nothing about a
 * receiver. Answers the changes that others have to know of.
 */
async function writeHealth(
  tx: Db,
  settled: readonly Settled[],
  successes: ReadonlyMap<string, number>,
  now: number,
): Promise<Map<string, HealthChange>> {
  const told = settled.filter(({ isFormer, outcome }) => !(isFormer || outcome instanceof Fault));
  const byWebhook = Map.groupBy(told, ({ delivery }) => delivery.webhookId);
  const hasFailed = (each: Settled) => each.verdict.status !== 'delivered' && !isOurFailure(each);
  const failing = [...byWebhook].filter(([, those]) => those.some(hasFailed)).map(([id]) => id);
  const known = new Map((await selectWebhooksById(tx, failing)).map((webhook) => [webhook.id, webhook]));
  const changes = new Map<string, HealthChange>();
  for (const [id, those] of [...byWebhook].sort(([one], [other]) => (one < other ? -1 : 1))) {
    const stored = known.get(id);
    const change: HealthChange = {};
    const lastSuccess = those.findLastIndex(({ verdict }) => verdict.status === 'delivered');
    const isOver = those[0]?.webhook?.failingSince != null || stored?.failingSince != null;
    if (lastSuccess >= 0 && (isOver || now - (successes.get(id) ?? 0) >= successEveryMs))
      Object.assign(change, healthy, { lastSuccessAt: now });
    const failures = those.slice(lastSuccess + 1).filter(hasFailed).length;
    if (stored && failures > 0) {
      const health = afterFailures(lastSuccess >= 0 ? healthy : stored, failures, now);
      Object.assign(change, health);
      if (stored.enabled && isGivenUp(health, now))
        Object.assign(change, { enabled: false, disabledReason: givenUpReason });
    }
    const reason = those.find(({ verdict }) => verdict.disables !== undefined)?.verdict.disables;
    if (reason !== undefined) Object.assign(change, { enabled: false, disabledReason: reason });
    await updateWebhook(tx, id, change);
    // That there is one failure more is for the database alone.
    const isNews = stored?.failingSince == null || 'enabled' in change || 'lastSuccessAt' in change;
    if (isNews && Object.keys(change).length > 0) changes.set(id, change);
  }
  return changes;
}

const isOurFailure = ({ outcome }: Settled) => !(outcome instanceof Fault) && outcome.isOurs;

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
}
