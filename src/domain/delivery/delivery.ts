/** A delivery is one event for one webhook. People look at them here, send them again, or give them up. */

import { z } from 'zod';
import {
  type DeliveryFilter,
  type DeliveryRow,
  findDeliveriesOf,
  findDelivery,
  hasUnfinished,
  insertDeliveries,
  listDeliveries as listDeliveryRows,
  passTurn,
  updateDelivery,
} from '../../store/delivery.ts';
import { listEventsBetween } from '../../store/event.ts';
import { inTransaction } from '../../store/open.ts';
import { pageQuery } from '../../store/page.ts';
import type { Db, Row } from '../../store/schema.ts';
import { holdWebhook } from '../../store/webhook.ts';
import { listDeliveryLogs, listWebhookLogs } from '../../store/webhook-log.ts';
import { makeChange } from '../access/audit.ts';
import type { Caller } from '../access/caller.ts';
import type { Context } from '../context.ts';
import { eventOf, payloadOf, type StoredEvent, wholeBodyOf } from '../event/event.ts';
import { Fault } from '../fault.ts';
import { firstIdAt, newId } from '../id.ts';
import { instant, instantSchema, parseInput, timedPageSchema } from '../input.ts';
import { wouldPass } from '../webhook/filter.ts';
import { type ReadyWebhook, readyWebhook } from '../webhook/ready-webhook.ts';
import { requireWebhook } from '../webhook/webhook.ts';
import { newDelivery, orderKeyOf } from './outbox.ts';

const statuses = ['waiting', 'pending', 'sending', 'delivered', 'exhausted', 'failed', 'canceled'] as const;
export const logLevels = ['INFO', 'WARN', 'ERROR'] as const;
const eventsPerStep = 200;
/** What one replay of a range puts out again; the answer says where to go on. */
const replayedMax = 10_000;

const filterSchema = timedPageSchema.extend({
  status: z.enum(statuses).optional(),
  event_id: z.string().max(36).optional(),
});

function viewDelivery(row: DeliveryRow) {
  return {
    id: row.id,
    webhook_id: row.webhook_id,
    event: {
      id: row.event_id,
      kind: row.event_kind,
      type: row.event_type,
      label: row.event_label,
      device_id: row.event_device_id,
    },
    status: row.status as (typeof statuses)[number],
    attempts: row.attempts,
    next_attempt_at: row.status === 'pending' ? instant(row.next_at) : null,
    last_status: row.last_status,
    last_error: row.last_error,
    created_at: instant(row.created_at),
    finished_at: instant(row.finished_at),
  };
}

function viewLog(row: Row<'webhook_logs'>) {
  return {
    id: row.id,
    delivery_id: row.delivery_id,
    level: row.level as (typeof logLevels)[number],
    message: row.message,
    attempt: row.attempt,
    status: row.status,
    duration_ms: row.duration_ms,
    answer: row.answer,
    at: instant(row.at),
  };
}

/** The deliveries of the project, or of one webhook; newest first. */
export async function listDeliveries(ctx: Context, caller: Caller, input: unknown, webhookId?: string) {
  const given = parseInput(filterSchema, input);
  if (webhookId !== undefined) await requireWebhook(ctx.db, caller, webhookId);
  const filter: DeliveryFilter = {
    status: given.status,
    event_id: given.event_id,
    ...(webhookId === undefined ? {} : { webhook_id: webhookId }),
  };
  const page = await listDeliveryRows(ctx.db, caller.projectId, filter, pageQuery(given));
  return { ...page, items: page.items.map(viewDelivery) };
}

/** One delivery with every attempt at it. */
export async function getDelivery(ctx: Context, caller: Caller, id: string) {
  const row = await requireDelivery(ctx.db, caller, id);
  const logs = await listDeliveryLogs(ctx.db, id);
  return { ...viewDelivery(row), log: logs.map(viewLog) };
}

const logFilterSchema = timedPageSchema.extend({ level: z.enum(logLevels).optional() });

/** What happened to a webhook, newest first; `level` and worse. */
export async function listLogs(ctx: Context, caller: Caller, webhookId: string, input: unknown) {
  const { level, ...paging } = parseInput(logFilterSchema, input);
  await requireWebhook(ctx.db, caller, webhookId);
  const levels = level === undefined ? undefined : logLevels.slice(logLevels.indexOf(level));
  const page = await listWebhookLogs(ctx.db, webhookId, { levels }, pageQuery(paging));
  return { ...page, items: page.items.map(viewLog) };
}

/** Sends a delivery again from the start of the schedule, under the same id. One that is being sent is left to that. */
export async function replayDelivery(ctx: Context, caller: Caller, id: string) {
  const row = await makeChange(ctx, caller, async (tx, note) => {
    const found = await requireDelivery(tx, caller, id);
    const webhook = readyWebhook(ctx, await requireWebhook(tx, caller, found.webhook_id));
    await restart(ctx, tx, webhook, found);
    await note('delivery.replay', { kind: 'delivery', id });
    return found;
  });
  ctx.live.outbound.wake([row.webhook_id]);
  return getDelivery(ctx, caller, id);
}

async function restart(
  ctx: Context,
  tx: Db,
  webhook: ReadyWebhook,
  row: Row<'deliveries'> & { event_device_id?: number | null },
) {
  if (row.status === 'sending' || row.status === 'waiting') return;
  const now = ctx.now();
  const fresh = { attempts: 0, next_at: now, finished_at: null, last_error: null, last_status: null };
  // One that is not finished has its turn already.
  const orderKey = row.finished_at === null ? null : orderKeyOf(webhook, row.event_device_id ?? null);
  const status = await statusInTurn(tx, webhook, orderKey);
  await updateDelivery(tx, row.id, {
    ...fresh,
    status,
    ...(orderKey === null ? {} : { order_key: orderKey }),
  });
}

/** Gives a delivery up; one that has ended already stays as it is. */
export async function cancelDelivery(ctx: Context, caller: Caller, id: string) {
  const webhookId = await makeChange(ctx, caller, async (tx, note) => {
    const row = await requireDelivery(tx, caller, id);
    await holdWebhook(tx, row.webhook_id);
    if (row.finished_at === null) {
      const now = ctx.now();
      await updateDelivery(tx, id, { status: 'canceled', finished_at: now, node_id: null, order_key: null });
      if (row.order_key !== null) await passTurn(tx, row.order_key, now);
      await note('delivery.cancel', { kind: 'delivery', id });
    }
    return row.webhook_id;
  });
  ctx.live.outbound.wake([webhookId]);
  return getDelivery(ctx, caller, id);
}

const rangeSchema = z
  .strictObject({
    from: instantSchema,
    to: instantSchema.optional(),
    /** Those that were delivered too, not only those that were not. */
    delivered: z.boolean().default(true),
  })
  .refine((range) => range.to === undefined || range.from < range.to, 'from must be before to');

/**
 * Sends everything of a time range (`from` to before `to`) again: what was delivered, what was not, and what happened
 * while the webhook was not there or switched off and that its filter lets pass now. Answers how many, and where to
 * go on when there were too many for one call.
 */
export async function replayRange(ctx: Context, caller: Caller, webhookId: string, input: unknown) {
  const { from, to, delivered } = parseInput(rangeSchema, input);
  const row = await requireWebhook(ctx.db, caller, webhookId);
  const webhook = readyWebhook(ctx, row);
  // Ids run ahead of a clock that was put back: without an end it is everything until this very moment.
  const below = to === undefined ? newId(ctx.now()) : firstIdAt(to);
  let after = firstIdAt(from);
  let replayed = 0;
  let next: string | null = null;
  for (;;) {
    const between = { after, below };
    const rows = await listEventsBetween(ctx.db, caller.projectId, between, eventsPerStep);
    const events = rows.map(eventOf);
    replayed += await inTransaction(ctx.db, (tx) => replayEvents(ctx, tx, webhook, events, delivered));
    const last = events.at(-1);
    if (!last || events.length < eventsPerStep) break;
    after = last.id;
    if (replayed >= replayedMax) {
      next = instant(last.at);
      break;
    }
  }
  await makeChange(ctx, caller, (_tx, note) =>
    note(
      'webhook.replay',
      { kind: 'webhook', id: webhookId },
      { from: instant(from), to: instant(to ?? ctx.now()), replayed },
    ),
  );
  ctx.live.outbound.wake([webhookId]);
  return { replayed, next_from: next };
}

async function replayEvents(
  ctx: Context,
  tx: Db,
  webhook: ReadyWebhook,
  events: readonly StoredEvent[],
  delivered: boolean,
): Promise<number> {
  const known = await findDeliveriesOf(
    tx,
    webhook.id,
    events.map((event) => event.id),
  );
  const byEvent = new Map(known.map((row) => [row.event_id, row]));
  let replayed = 0;
  for (const event of events) {
    const row = byEvent.get(event.id);
    if (row) {
      if (row.finished_at === null || (row.status === 'delivered' && !delivered)) continue;
      await restart(ctx, tx, webhook, { ...row, event_device_id: event.deviceId });
      replayed += 1;
    } else {
      const body = webhook.filter.where ? await wholeBodyOf(tx, event) : null;
      if (!wouldPass(webhook.filter, event, () => (body === null ? undefined : payloadOf(event, body))))
        continue;
      await addDelivery(ctx, tx, webhook, event);
      replayed += 1;
    }
  }
  return replayed;
}

async function addDelivery(ctx: Context, tx: Db, webhook: ReadyWebhook, event: StoredEvent): Promise<void> {
  const row = newDelivery(webhook, event, ctx.now());
  await insertDeliveries(tx, [{ ...row, status: await statusInTurn(tx, webhook, row.order_key) }]);
}

/** Whether it is the delivery's turn; the webhook is held from here on where there are turns. */
async function statusInTurn(tx: Db, webhook: ReadyWebhook, orderKey: string | null) {
  if (orderKey === null) return 'pending';
  await holdWebhook(tx, webhook.id);
  return (await hasUnfinished(tx, orderKey)) ? 'waiting' : 'pending';
}

async function requireDelivery(db: Db, caller: Caller, id: string): Promise<DeliveryRow> {
  const row = await findDelivery(db, caller.projectId, id);
  if (!row) throw new Fault('not_found', 'there is no such delivery');
  return row;
}
