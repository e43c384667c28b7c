/** From what is due to what is sent: claimed with its event, made into a request, or given back unsent. */

import { claimDeliveries, type Delivery, releaseDeliveries, selectClaimedIds } from '../../store/delivery.ts';
import { isAway } from '../../store/dialect.ts';
import { isLarge, selectEventsById } from '../../store/event.ts';
import { selectDueWebhookIds } from '../../store/webhook.ts';
import type { Context } from '../context.ts';
import type { StoredEvent } from '../event/event.ts';
import { Fault } from '../fault.ts';
import { readyWebhooks } from '../webhook/ready-webhook.ts';
import type { OutgoingRequest } from './attempt.ts';
import type { ClaimedDelivery } from './outbound.ts';
import { requestOf } from './request.ts';

/** The webhooks that have work due. */
export async function findDueWebhooks(ctx: Pick<Context, 'db' | 'now'>): Promise<string[]> {
  return selectDueWebhookIds(ctx.db, ctx.now());
}

/** Claims up to `limit` due deliveries of a webhook, with their events. */
export async function claimDue(
  ctx: Pick<Context, 'db' | 'now' | 'process'>,
  webhookId: string,
  limit: number,
): Promise<ClaimedDelivery[]> {
  const claim = { webhookId, nodeId: ctx.process.nodeId, now: ctx.now(), limit };
  const deliveries = await claimDeliveries(ctx.db, claim);
  const found = await selectEventsById(
    ctx.db,
    deliveries.map((delivery) => delivery.eventId),
  );
  const events = new Map(found.map((event) => [event.id, event]));
  return deliveries.map((delivery) => claimedDelivery(delivery, events.get(delivery.eventId) ?? null));
}

export function claimedDelivery(delivery: Delivery, event: StoredEvent | null): ClaimedDelivery {
  return {
    id: delivery.id,
    projectId: delivery.projectId,
    webhookId: delivery.webhookId,
    eventId: delivery.eventId,
    attempts: delivery.attempts,
    orderKey: delivery.orderKey,
    // What the store keeps in parts is read in parts for the attempt, and takes no memory until then.
    event: event !== null && isLarge(event) ? { ...event, body: null } : event,
  };
}

/** Gives claimed deliveries back unsent. */
export async function giveBack(
  ctx: Pick<Context, 'db' | 'now' | 'process'>,
  deliveries: readonly ClaimedDelivery[],
): Promise<void> {
  await releaseDeliveries(
    ctx.db,
    ctx.process.nodeId,
    ctx.now(),
    deliveries.map((delivery) => delivery.id),
  );
}

/** Gives back what this node has claimed and does not hold: claimed while something went wrong. */
export async function giveBackStrays(
  ctx: Pick<Context, 'db' | 'now' | 'process'>,
  held: ReadonlySet<string>,
): Promise<void> {
  const claimed = await selectClaimedIds(ctx.db, ctx.process.nodeId);
  const strays = claimed.filter((id) => !held.has(id));
  await releaseDeliveries(ctx.db, ctx.process.nodeId, ctx.now(), strays);
}

/** The request of an attempt; a `Fault` says why there can be none; null when the webhook is gone or switched off. */
export async function prepareRequest(
  ctx: Pick<Context, 'db' | 'now' | 'log' | 'cache' | 'seal'>,
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
