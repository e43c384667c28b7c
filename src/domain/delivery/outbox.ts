/**
 * What a transaction writes besides its own rows: events, and a delivery for every webhook that gets one. Filled while
 * the transaction runs, written at its end, handed to the outgoing door when it is committed.
 */
import { type Delivery, hasUnfinished, insertDeliveries } from '../../store/delivery.ts';
import { insertEvents } from '../../store/event.ts';
import { type Firing, insertFirings } from '../../store/firing.ts';
import type { Db } from '../../store/schema.ts';
import { holdWebhook } from '../../store/webhook.ts';
import type { Context } from '../context.ts';
import type { EventWithBody, StoredEvent } from '../event/event.ts';
import { newId } from '../id.ts';
import type { ReadyWebhook } from '../webhook/ready-webhook.ts';
import { claimedDelivery } from './claim.ts';
import type { ClaimedDelivery } from './outbound.ts';

export type Outbox = {
  add(event: EventWithBody, webhooks: Iterable<ReadyWebhook>): void;
  addFirings(firings: readonly Firing[]): void;
  /** Writes everything; the last thing in the transaction. */
  write(tx: Db): Promise<void>;
  /** After the commit: first attempts begin at once. */
  send(): void;
  readonly firings: number;
  /** Each event with how many webhooks get it. */
  readonly events: readonly { event: EventWithBody; deliveries: number }[];
};

export function createOutbox(ctx: Pick<Context, 'now' | 'live' | 'process'>): Outbox {
  const now = ctx.now();
  const events: { event: EventWithBody; deliveries: number }[] = [];
  const deliveries: Delivery[] = [];
  const firings: Firing[] = [];
  const claimed: ClaimedDelivery[] = [];
  const waking = new Set<string>();
  const capacity = new Map<string, number>();
  const ordered: Delivery[] = [];

  /** The first attempt is ours right away where a lane has capacity, so that nobody has to look for it. */
  function takeCapacity(webhookId: string): boolean {
    const left = capacity.get(webhookId) ?? ctx.live.outbound.capacity(webhookId);
    capacity.set(webhookId, left - 1);
    return left > 0;
  }

  function add(event: EventWithBody, webhooks: Iterable<ReadyWebhook>): void {
    let count = 0;
    for (const webhook of webhooks) {
      count += 1;
      const delivery = newDelivery(webhook, event, now);
      const isOurs = !webhook.ordered && takeCapacity(webhook.id);
      if (isOurs) {
        delivery.status = 'sending';
        delivery.nodeId = ctx.process.nodeId;
      }
      deliveries.push(delivery);
      if (webhook.ordered) ordered.push(delivery);
      if (isOurs) claimed.push(claimedDelivery(delivery, event));
      else waking.add(webhook.id);
    }
    events.push({ event, deliveries: count });
  }

  /** Those that are not the first of their order wait until the turn is passed to them (store/delivery.ts). */
  async function takeTurns(tx: Db): Promise<void> {
    // In one order everywhere, so that two transactions never wait for each other.
    for (const webhookId of [...new Set(ordered.map((delivery) => delivery.webhookId))].sort())
      await holdWebhook(tx, webhookId);
    const taken = new Set<string>();
    for (const delivery of ordered) {
      const key = delivery.orderKey ?? '';
      const isTaken = taken.has(key) || (await hasUnfinished(tx, key));
      delivery.status = isTaken ? 'waiting' : 'pending';
      taken.add(key);
    }
  }

  return {
    add,
    addFirings: (more) => void firings.push(...more),
    async write(tx) {
      await insertEvents(
        tx,
        events.map(({ event }) => event),
      );
      await takeTurns(tx);
      await insertDeliveries(tx, deliveries);
      await insertFirings(tx, firings);
    },
    send() {
      ctx.live.outbound.take(claimed);
      ctx.live.outbound.wake(waking);
    },
    get firings() {
      return firings.length;
    },
    events,
  };
}

/** Under what an unfinished delivery of an ordered webhook keeps its turn; null where there are no turns. */
export function orderKeyOf(webhook: ReadyWebhook, deviceId: number | null): string | null {
  return webhook.ordered ? `${webhook.id} ${deviceId ?? 0}` : null;
}

/** A delivery that is due at once. */
export function newDelivery(webhook: ReadyWebhook, event: StoredEvent, now: number): Delivery {
  return {
    id: newId(now),
    projectId: event.projectId,
    webhookId: webhook.id,
    eventId: event.id,
    status: 'pending',
    attempts: 0,
    nextAt: now,
    nodeId: null,
    orderKey: orderKeyOf(webhook, event.deviceId),
    lastStatus: null,
    lastError: null,
    createdAt: now,
    finishedAt: null,
  };
}
