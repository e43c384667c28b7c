/** A delivery is one event for one webhook. People look at them here, or give them up. */

import { z } from 'zod';
import {
  type DeliveryFilter,
  type DeliveryRow,
  findDelivery,
  listDeliveries as listDeliveryRows,
  passTurn,
  updateDelivery,
} from '../../store/delivery.ts';
import { pageQuery } from '../../store/page.ts';
import type { Db, Row } from '../../store/schema.ts';
import { holdWebhook } from '../../store/webhook.ts';
import { listDeliveryLogs, listWebhookLogs } from '../../store/webhook-log.ts';
import { makeChange } from '../access/audit.ts';
import type { Caller } from '../access/caller.ts';
import type { Context } from '../context.ts';
import { Fault } from '../fault.ts';
import { instant, parseInput, timedPageSchema } from '../input.ts';
import { requireWebhook } from '../webhook/webhook.ts';
import { type DeliveryStatus, deliveryStatuses, type LogLevel, logLevels } from './attempt.ts';

const filterSchema = timedPageSchema.extend({
  status: z.enum(deliveryStatuses).optional(),
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
    status: row.status as DeliveryStatus,
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
    level: row.level as LogLevel,
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

export async function requireDelivery(db: Db, caller: Caller, id: string): Promise<DeliveryRow> {
  const row = await findDelivery(db, caller.projectId, id);
  if (!row) throw new Fault('not_found', 'there is no such delivery');
  return row;
}
