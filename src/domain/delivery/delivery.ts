/** A delivery is one event for one webhook. People look at them here, or give them up. */
import { z } from 'zod';
import { passTurn, updateDelivery } from '../../store/delivery.ts';
import { type DeliveryOfEvent, selectDeliveries, selectDelivery } from '../../store/delivery-list.ts';
import { pageQuery } from '../../store/page.ts';
import type { Db } from '../../store/schema.ts';
import { holdWebhook } from '../../store/webhook.ts';
import { selectDeliveryLogs, selectWebhookLogs, type WebhookLog } from '../../store/webhook-log.ts';
import { makeChange } from '../access/audit.ts';
import type { Caller } from '../access/caller.ts';
import type { Context } from '../context.ts';
import { Fault } from '../fault.ts';
import { instant, parseInput, timedPageSchema } from '../input.ts';
import { requireWebhook } from '../webhook/webhook.ts';
import { deliveryStatuses, logLevels } from './attempt.ts';

const filterSchema = timedPageSchema.extend({
  status: z.enum(deliveryStatuses).optional(),
  event_id: z.string().max(36).optional(),
});

function viewDelivery({ event, ...delivery }: DeliveryOfEvent) {
  return {
    id: delivery.id,
    webhook_id: delivery.webhookId,
    event: {
      id: event.id,
      kind: event.kind,
      type: event.type,
      label: event.label,
      device_id: event.deviceId,
    },
    status: delivery.status,
    attempts: delivery.attempts,
    next_attempt_at: delivery.status === 'pending' ? instant(delivery.nextAt) : null,
    last_status: delivery.lastStatus,
    last_error: delivery.lastError,
    created_at: instant(delivery.createdAt),
    finished_at: instant(delivery.finishedAt),
  };
}

function viewLog(log: WebhookLog) {
  return {
    id: log.id,
    delivery_id: log.deliveryId,
    level: log.level,
    message: log.message,
    attempt: log.attempt,
    status: log.status,
    duration_ms: log.durationMs,
    answer: log.answer,
    at: instant(log.at),
  };
}

/** The deliveries of the project, or of one webhook; newest first. */
export async function listDeliveries(ctx: Context, caller: Caller, input: unknown, webhookId?: string) {
  const { status, event_id: eventId, ...paging } = parseInput(filterSchema, input);
  if (webhookId !== undefined) await requireWebhook(ctx.db, caller, webhookId);
  const filter = { status, eventId, webhookId };
  const page = await selectDeliveries(ctx.db, caller.projectId, filter, pageQuery(paging));
  return { ...page, items: page.items.map(viewDelivery) };
}

/** One delivery with every attempt at it. */
export async function getDelivery(ctx: Context, caller: Caller, id: string) {
  const delivery = await requireDelivery(ctx.db, caller, id);
  const logs = await selectDeliveryLogs(ctx.db, id);
  return { ...viewDelivery(delivery), log: logs.map(viewLog) };
}

const logFilterSchema = timedPageSchema.extend({ level: z.enum(logLevels).optional() });

/** What happened to a webhook, newest first; `level` and worse. */
export async function listWebhookLogs(ctx: Context, caller: Caller, webhookId: string, input: unknown) {
  const { level, ...paging } = parseInput(logFilterSchema, input);
  await requireWebhook(ctx.db, caller, webhookId);
  const levels = level === undefined ? undefined : logLevels.slice(logLevels.indexOf(level));
  const page = await selectWebhookLogs(ctx.db, webhookId, { levels }, pageQuery(paging));
  return { ...page, items: page.items.map(viewLog) };
}

/** Gives a delivery up; one that has ended already stays as it is. */
export async function cancelDelivery(ctx: Context, caller: Caller, id: string) {
  const webhookId = await makeChange(ctx, caller, async (tx, note) => {
    const { webhookId, finishedAt, orderKey } = await requireDelivery(tx, caller, id);
    await holdWebhook(tx, webhookId);
    if (finishedAt === null) {
      const now = ctx.now();
      await updateDelivery(tx, id, { status: 'canceled', finishedAt: now, nodeId: null, orderKey: null });
      if (orderKey !== null) await passTurn(tx, orderKey, now);
      await note('delivery.cancel', { kind: 'delivery', id });
    }
    return webhookId;
  });
  ctx.live.outbound.wake([webhookId]);
  return getDelivery(ctx, caller, id);
}

export async function requireDelivery(db: Db, caller: Caller, id: string): Promise<DeliveryOfEvent> {
  const delivery = await selectDelivery(db, caller.projectId, id);
  if (!delivery) throw new Fault('not_found', 'there is no such delivery');
  return delivery;
}
