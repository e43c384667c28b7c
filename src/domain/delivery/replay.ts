/** Sending again: one delivery, or everything of a time range. */
import { setImmediate as nextTurn } from 'node:timers/promises';
import { z } from 'zod';
import { type Delivery, hasUnfinished, insertDeliveries, updateDelivery } from '../../store/delivery.ts';
import { selectDeliveriesOfEvents } from '../../store/delivery-list.ts';
import { selectEventsBetween } from '../../store/event.ts';
import { inTransaction } from '../../store/open.ts';
import type { Db } from '../../store/schema.ts';
import { holdWebhook } from '../../store/webhook.ts';
import { makeChange } from '../access/audit.ts';
import type { Caller } from '../access/caller.ts';
import type { Context } from '../context.ts';
import { wholeBodyOf } from '../event/body.ts';
import { payloadOf, type StoredEvent } from '../event/event.ts';
import { firstIdAt, newId, timeOf } from '../id.ts';
import { instant, instantSchema, parseInput } from '../input.ts';
import { wouldPass } from '../webhook/filter.ts';
import { type ReadyWebhook, readyWebhook } from '../webhook/ready-webhook.ts';
import { requireWebhook } from '../webhook/webhook.ts';
import { getDelivery, requireDelivery } from './delivery.ts';
import { newDelivery, orderKeyOf } from './outbox.ts';

const eventsPerStep = 200;
/** What one call looks at; its answer says where to go on. */
const eventsMax = 10_000;

/** Sends a delivery again from the start of the schedule, under the same id. One that is being sent is left to that. */
export async function replayDelivery(ctx: Context, caller: Caller, id: string) {
  const { webhookId } = await makeChange(ctx, caller, async (tx, note) => {
    const found = await requireDelivery(tx, caller, id);
    const webhook = readyWebhook(ctx, await requireWebhook(tx, caller, found.webhookId));
    await restart(ctx, tx, webhook, found, found.event.deviceId);
    await note('delivery.replay', { kind: 'delivery', id });
    return found;
  });
  ctx.live.outbound.renew([webhookId]);
  return getDelivery(ctx, caller, id);
}

/** True when it is sent again because of this; one whose turn it is not, or that is under way, is left alone. */
async function restart(
  ctx: Context,
  tx: Db,
  webhook: ReadyWebhook,
  { id, status, finishedAt }: Delivery,
  deviceId: number | null,
): Promise<boolean> {
  if (status === 'sending' || status === 'waiting') return false;
  // One that is not finished has its turn already.
  const orderKey = finishedAt === null ? null : orderKeyOf(webhook, deviceId);
  const change = {
    attempts: 0,
    nextAt: ctx.now(),
    finishedAt: null,
    lastError: null,
    lastStatus: null,
    status: await statusInTurn(tx, webhook, orderKey),
    orderKey: orderKey ?? undefined,
  };
  return updateDelivery(tx, id, change, status);
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
 * Sends everything of a time range (`from` to before `to`) again: what was delivered, what was not, what waits for its
 * next attempt, and what happened while the webhook was not there or switched off and that its filter lets pass now. Answers how many, and where to
 * go on when there was too much for one call. Others have their turn after every step.
 */
export async function replayRange(ctx: Context, caller: Caller, webhookId: string, input: unknown) {
  const { from, to, delivered } = parseInput(rangeSchema, input);
  const webhook = readyWebhook(ctx, await requireWebhook(ctx.db, caller, webhookId));
  // Ids run ahead of a clock that was put back: without an end it is everything until this very moment.
  const below = to === undefined ? newId(ctx.now()) : firstIdAt(to);
  let after = firstIdAt(from);
  let looked = 0;
  let replayed = 0;
  let next: number | null = null;
  for (;;) {
    const events = await selectEventsBetween(ctx.db, caller.projectId, { after, below }, eventsPerStep);
    const passing = await passingOf(ctx, webhook, events);
    replayed += await inTransaction(ctx.db, (tx) =>
      replayEvents(ctx, tx, webhook, events, { passing, delivered }),
    );
    looked += events.length;
    const last = events.at(-1);
    if (!last || events.length < eventsPerStep) break;
    after = last.id;
    if (looked >= eventsMax) {
      const [following] = await selectEventsBetween(ctx.db, caller.projectId, { after, below }, 1);
      if (!following) break;
      const time = timeOf(following.id);
      // More of the first millisecond: going on from there would be this call again.
      if (time > from) {
        next = time;
        break;
      }
    }
    await nextTurn();
  }
  await makeChange(ctx, caller, (_tx, note) =>
    note(
      'webhook.replay',
      { kind: 'webhook', id: webhookId },
      { from: instant(from), to: instant(to ?? ctx.now()), replayed },
    ),
  );
  ctx.live.outbound.renew([webhookId]);
  return { replayed, next_from: instant(next) };
}

/** The ids of the events that the webhook's filter lets pass. A large body is a step of its own. */
async function passingOf(
  ctx: Pick<Context, 'db'>,
  { filter }: ReadyWebhook,
  events: readonly StoredEvent[],
): Promise<ReadonlySet<string>> {
  const { where, ...about } = filter;
  const passing = new Set<string>();
  for (const event of events) {
    // The body is read for those alone that everything else lets pass.
    if (!wouldPass(about, event, () => undefined)) continue;
    if (where === undefined) passing.add(event.id);
    else {
      const body = await wholeBodyOf(ctx.db, event);
      if (wouldPass(filter, event, () => payloadOf(event, body))) passing.add(event.id);
      if (event.body === null) await nextTurn();
    }
  }
  return passing;
}

async function replayEvents(
  ctx: Context,
  tx: Db,
  webhook: ReadyWebhook,
  events: readonly StoredEvent[],
  { passing, delivered }: { passing: ReadonlySet<string>; delivered: boolean },
): Promise<number> {
  const known = await selectDeliveriesOfEvents(
    tx,
    webhook.id,
    events.map((event) => event.id),
  );
  const byEvent = new Map(known.map((delivery) => [delivery.eventId, delivery]));
  let replayed = 0;
  for (const event of events) {
    const delivery = byEvent.get(event.id);
    if (delivery) {
      if (delivery.status === 'delivered' && !delivered) continue;
      // One that is due already is as good as under way; one that waits for its next attempt has waited long enough.
      const isDue = delivery.status === 'pending' && delivery.nextAt <= ctx.now();
      if (!isDue && (await restart(ctx, tx, webhook, delivery, event.deviceId))) replayed += 1;
    } else if (passing.has(event.id)) {
      await addDelivery(ctx, tx, webhook, event);
      replayed += 1;
    }
  }
  return replayed;
}

async function addDelivery(ctx: Context, tx: Db, webhook: ReadyWebhook, event: StoredEvent): Promise<void> {
  const delivery = newDelivery(webhook, event, ctx.now());
  const status = await statusInTurn(tx, webhook, delivery.orderKey);
  await insertDeliveries(tx, [{ ...delivery, status }]);
}

/** Whether it is the delivery's turn; the webhook is held from here on where there are turns. */
async function statusInTurn(
  tx: Db,
  webhook: ReadyWebhook,
  orderKey: string | null,
): Promise<'pending' | 'waiting'> {
  if (orderKey === null) return 'pending';
  await holdWebhook(tx, webhook.id);
  return (await hasUnfinished(tx, orderKey)) ? 'waiting' : 'pending';
}
