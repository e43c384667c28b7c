/**
 * The work of the delivery engine, without its network: claim what is due, make the request, write down what came of
 * it. At least once: a delivery is finished only by what was written after the answer.
 */
import {
  claimDeliveries,
  listClaimed,
  listDueWebhooks,
  passTurn,
  releaseDeliveries,
  releaseOrphans,
  type Settlement,
  settleDeliveries,
} from '../../store/delivery.ts';
import { isAway } from '../../store/dialect.ts';
import { selectEventsById } from '../../store/event.ts';
import { beatNode, deleteNode, listDeadNodes } from '../../store/node.ts';
import { inTransaction } from '../../store/open.ts';
import type { NewRow } from '../../store/schema.ts';
import { holdWebhook, updateWebhook } from '../../store/webhook.ts';
import { insertWebhookLogs } from '../../store/webhook-log.ts';
import { createCommits } from '../commit.ts';
import type { Context } from '../context.ts';
import { Fault } from '../fault.ts';
import { newId } from '../id.ts';
import { forgetWebhooks, readyWebhooks } from '../webhook/ready-webhook.ts';
import { isDelivered, type Outcome, type OutgoingRequest } from './attempt.ts';
import type { ClaimedDelivery } from './outbound.ts';
import { requestOf } from './request.ts';
import { retryDelayMs } from './retry.ts';

const settlementsPerCommit = 500;
/** Nobody waits for what is written here, and a commit of a hundred costs little more than one of ten. */
const settleLingerMs = 5;
/** A receiver that has failed all this time is given up. */
const failingMsMax = 5 * 24 * 60 * 60 * 1_000;
/** A node beats every two seconds; when it has not for this long, others take up what it claimed. */
const deadAfterMs = 10_000;
/** How often it is written down that a webhook still works. */
const successEveryMs = 60_000;
const gone = 410;
const errorMax = 500;

/** The first that a node does: it is known from now on, and what unknown ones have claimed is free. */
export async function arrive(ctx: Context): Promise<void> {
  await beatNode(ctx.db, ctx.process.nodeId, ctx.now());
  await releaseOrphans(ctx.db, ctx.now());
}

/** Says that this node is alive, and takes up what dead ones have left. */
export async function keepAlive(ctx: Context): Promise<void> {
  const now = ctx.now();
  await beatNode(ctx.db, ctx.process.nodeId, now);
  for (const dead of await listDeadNodes(ctx.db, now - deadAfterMs)) {
    if (dead === ctx.process.nodeId) continue;
    await releaseDeliveries(ctx.db, dead, now);
    await deleteNode(ctx.db, dead);
    ctx.log.info({ node: dead }, 'deliveries of a node that is gone were taken up');
  }
}

/** At the end of the process: what it has claimed and not sent is free for others. */
export async function leave(ctx: Context): Promise<void> {
  await releaseDeliveries(ctx.db, ctx.process.nodeId, ctx.now());
  await deleteNode(ctx.db, ctx.process.nodeId);
}

/** The webhooks that have work due. */
export async function findDueWebhooks(ctx: Context): Promise<string[]> {
  return listDueWebhooks(ctx.db, ctx.now());
}

/** Claims up to `limit` due deliveries of a webhook, with their events. */
export async function claimDue(ctx: Context, webhookId: string, limit: number): Promise<ClaimedDelivery[]> {
  const claim = { webhookId, nodeId: ctx.process.nodeId, now: ctx.now(), limit };
  const rows = await claimDeliveries(ctx.db, claim);
  const found = await selectEventsById(
    ctx.db,
    rows.map((row) => row.event_id),
  );
  const events = new Map(found.map((event) => [event.id, event]));
  return rows.map((row) => ({
    id: row.id,
    projectId: row.project_id,
    webhookId: row.webhook_id,
    eventId: row.event_id,
    attempts: row.attempts,
    orderKey: row.order_key,
    event: events.get(row.event_id) ?? null,
  }));
}

/** Gives claimed deliveries back unsent. */
export async function giveBack(ctx: Context, deliveries: readonly ClaimedDelivery[]): Promise<void> {
  await releaseDeliveries(
    ctx.db,
    ctx.process.nodeId,
    ctx.now(),
    deliveries.map((delivery) => delivery.id),
  );
}

/** Gives back what this node has claimed and does not hold: claimed while something went wrong. */
export async function giveBackStrays(ctx: Context, held: ReadonlySet<string>): Promise<void> {
  const claimed = await listClaimed(ctx.db, ctx.process.nodeId);
  const strays = claimed.filter((id) => !held.has(id));
  await releaseDeliveries(ctx.db, ctx.process.nodeId, ctx.now(), strays);
}

/** The request of an attempt; a `Fault` says why there can be none; null when the webhook is gone or switched off. */
export async function prepareRequest(
  ctx: Context,
  delivery: ClaimedDelivery,
): Promise<OutgoingRequest | Fault | null> {
  const webhook = (await readyWebhooks(ctx, delivery.projectId)).get(delivery.webhookId);
  if (!webhook?.enabled) return null;
  const event = delivery.event;
  if (event === null) return new Fault('not_found', 'the event is gone');
  try {
    return await requestOf(ctx, webhook, event, delivery.id);
  } catch (error) {
    if (error instanceof Fault) return error;
    if (isAway(error)) throw error;
    // Whatever it is, it would be the same at every attempt.
    ctx.log.error({ err: error, delivery: delivery.id }, 'a request could not be made');
    return new Fault('bad_request', 'the request could not be made; the log of the server says why');
  }
}

export type Attempt = { delivery: ClaimedDelivery; outcome: Outcome | Fault };

export type Settlements = {
  /** Resolves once what came of the attempt is written down. */
  add(attempt: Attempt): Promise<void>;
  drain(): Promise<void>;
};

/** What is written about an attempt. */
type Settled = Attempt & {
  settlement: Settlement;
  log: NewRow<'webhook_logs'>;
  /** Why the webhook is switched off by it. */
  disables: string | null;
};

/** Writes what came of attempts, those that end in the same turn in one commit. */
export function createSettlements(ctx: Context): Settlements {
  const successes = new Map<string, number>();

  /** What has to be known of the webhooks for the next attempt: whether they fail, and since when. */
  async function healthOf(settled: readonly Settled[]): Promise<Map<string, HealthChange>> {
    const changes = new Map<string, HealthChange>();
    for (const { delivery, settlement, disables } of settled) {
      const known = (await readyWebhooks(ctx, delivery.projectId)).get(delivery.webhookId);
      const now = ctx.now();
      const change = changes.get(delivery.webhookId) ?? {};
      if (settlement.status === 'delivered') {
        const last = successes.get(delivery.webhookId) ?? 0;
        if (known?.failingSince != null || change.failing_since != null || now - last >= successEveryMs) {
          change.failing_since = null;
          change.last_success_at = now;
        }
      } else if (known && known.failingSince === null && change.failing_since === undefined)
        change.failing_since = now;
      if (disables !== null) Object.assign(change, { enabled: 0, disabled_reason: disables });
      changes.set(delivery.webhookId, change);
    }
    return changes;
  }

  async function commit(attempts: readonly Attempt[]): Promise<true[]> {
    const settled: Settled[] = [];
    for (const attempt of attempts) settled.push(await settle(ctx, attempt));
    const health = await healthOf(settled);
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
      for (const { delivery } of turns) await passTurn(tx, delivery.orderKey ?? '', ctx.now());
      for (const [id, change] of [...health].sort(([one], [other]) => (one < other ? -1 : 1)))
        if (Object.keys(change).length > 0) await updateWebhook(tx, id, change);
    });
    for (const [id, { last_success_at: at }] of health) if (at !== undefined) successes.set(id, at);
    for (const { delivery } of settled)
      if (Object.keys(health.get(delivery.webhookId) ?? {}).length > 0)
        forgetWebhooks(ctx, delivery.projectId);
    for (const each of settled) tell(ctx, each);
    ctx.live.outbound.wake(new Set(turns.map(({ delivery }) => delivery.webhookId)));
    return attempts.map(() => true);
  }

  const batch = createCommits<Attempt, true>(commit, settlementsPerCommit, settleLingerMs);
  return { add: async (attempt) => void (await batch.add(attempt)), drain: batch.drain };
}

type HealthChange = {
  failing_since?: number | null;
  last_success_at?: number;
  enabled?: number;
  disabled_reason?: string;
};

/** Decides what follows from an outcome. */
async function settle(ctx: Context, attempt: Attempt): Promise<Settled> {
  const { delivery, outcome } = attempt;
  const now = ctx.now();
  const attempts = delivery.attempts + 1;
  const end = (
    status: string,
    level: string,
    message: string,
    nextAt: number | null = null,
    disables: string | null = null,
  ): Settled => ({
    ...attempt,
    disables,
    settlement: {
      id: delivery.id,
      status,
      attempts,
      next_at: nextAt ?? now,
      last_status: outcome instanceof Fault ? null : outcome.status,
      last_error: status === 'delivered' ? null : message.slice(0, errorMax),
      finished_at: nextAt === null ? now : null,
    },
    log: logOf(delivery, outcome, attempts, level, message, now),
  });
  if (outcome instanceof Fault) return end('failed', 'ERROR', `nothing was sent: ${outcome.message}`);
  if (isDelivered(outcome)) return end('delivered', 'INFO', `delivered: ${outcome.status}`);
  const problem = outcome.error ?? `the receiver answered ${outcome.status}`;
  if (outcome.status === gone) {
    return end(
      'exhausted',
      'ERROR',
      `${problem}: the webhook is switched off`,
      null,
      'the receiver answered 410: it is gone for good',
    );
  }
  const known = (await readyWebhooks(ctx, delivery.projectId)).get(delivery.webhookId);
  const failingSince = known?.failingSince ?? now;
  const disables =
    known?.enabled && now - failingSince >= failingMsMax ? 'it has failed for five days' : null;
  const delay = retryDelayMs(attempts, outcome.retryAfterMs, Math.random());
  if (delay === null)
    return end('exhausted', 'ERROR', `${problem}: given up after ${attempts} attempts`, null, disables);
  const seconds = Math.round(delay / 1_000);
  return end('pending', 'WARN', `${problem}: next attempt in ${seconds} s`, now + delay, disables);
}

function logOf(
  delivery: ClaimedDelivery,
  outcome: Outcome | Fault,
  attempt: number,
  level: string,
  message: string,
  now: number,
): NewRow<'webhook_logs'> {
  const answered = outcome instanceof Fault ? null : outcome;
  return {
    id: newId(now),
    project_id: delivery.projectId,
    webhook_id: delivery.webhookId,
    delivery_id: delivery.id,
    level,
    message: message.slice(0, errorMax),
    attempt,
    status: answered?.status ?? null,
    duration_ms: answered === null ? null : Math.round(answered.durationMs),
    answer: answered?.answer ?? null,
    at: now,
  };
}

function tell(ctx: Context, { delivery, settlement, log, disables }: Settled): void {
  const { projectId, webhookId, id: deliveryId } = delivery;
  ctx.feed.publish({
    kind: 'attempt',
    projectId,
    webhookId,
    deliveryId,
    outcome: settlement.status,
    status: settlement.last_status,
    milliseconds: log.duration_ms ?? 0,
  });
  if (disables === null) return;
  ctx.feed.publish({ kind: 'webhook-disabled', projectId, webhookId, reason: disables });
}
