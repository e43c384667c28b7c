/**
 * The outgoing door, opened by the clock and by what rooms hand over. Every webhook has a lane of its own, so that one
 * that hangs holds up nobody else.
 */

import { setTimeout as sleep } from 'node:timers/promises';
import type { Context } from '../domain/context.ts';
import {
  claimDue,
  findDueWebhooks,
  giveBack,
  giveBackStrays,
  prepareRequest,
} from '../domain/delivery/claim.ts';
import { arrive, keepAlive, leave } from '../domain/delivery/node.ts';
import type { Outbound } from '../domain/delivery/outbound.ts';
import { type Attempt, createSettlements } from '../domain/delivery/settle.ts';
import { type Loop, startLoop } from '../loop.ts';
import { createLane, type Lane, queuedMax } from './lane.ts';
import { createPoster, type PosterOptions } from './post.ts';
import { createStock } from './stock.ts';

/** Bodies that wait in memory, in all lanes. */
const queuedBytesMax = 64 * 1_024 * 1_024;
/** How often the database is asked for what has become due. */
const lookEveryMs = 500;
const beatEveryMs = 2_000;
const settleAgainMs = 1_000;
/** What is in flight when the door closes gets this long. */
const drainMsMax = 2_000;

export type OutboundDoor = {
  /** Ends what is in flight, gives back what waits. */
  close(): Promise<void>;
};

export async function openOutbound(
  ctx: Context,
  options: PosterOptions & { onError: (error: unknown) => void },
): Promise<OutboundDoor> {
  const { onError } = options;
  const poster = createPoster(options);
  const settlements = createSettlements(ctx);
  const lanes = new Map<string, Lane>();
  const stock = createStock(queuedBytesMax);
  const underWay = new Set<Promise<void>>();
  const abort = new AbortController();
  let isClosing = false;
  /** Something failed: what was claimed may not have reached a lane. */
  let isTroubled = false;

  function laneOf(webhookId: string): Lane {
    const known = lanes.get(webhookId);
    if (known) return known;
    const lane = createLane({
      claim: (limit) => claimDue(ctx, webhookId, limit),
      prepare: (delivery) => prepareRequest(ctx, delivery),
      async post(request) {
        const outcome = await poster.post(request, abort.signal);
        return abort.signal.aborted && outcome.status === null ? null : outcome;
      },
      settle,
      giveBack: (deliveries) => giveBack(ctx, deliveries),
      stock,
      now: ctx.now,
      isClosing: () => isClosing,
      track,
      onIdle: () => lanes.delete(webhookId),
    });
    lanes.set(webhookId, lane);
    return lane;
  }

  function track(work: Promise<void>): void {
    const tracked = work
      .catch((error: unknown) => {
        isTroubled = true;
        onError(error);
      })
      .finally(() => underWay.delete(tracked));
    underWay.add(tracked);
  }

  /** What was sent has to be written down: while the database is away it is tried again and again. */
  async function settle(attempt: Attempt): Promise<void> {
    for (;;) {
      try {
        return await settlements.add(attempt);
      } catch (error) {
        onError(error);
        if (isClosing) return;
        await sleep(settleAgainMs);
      }
    }
  }

  const door: Outbound = {
    capacity(webhookId) {
      if (isClosing || stock.isFull()) return 0;
      return lanes.get(webhookId)?.capacity() ?? queuedMax;
    },
    take(deliveries) {
      const byWebhook = Map.groupBy(deliveries, (delivery) => delivery.webhookId);
      for (const [id, those] of byWebhook) laneOf(id).take(those);
    },
    wake(webhookIds) {
      for (const id of webhookIds) laneOf(id).wake();
    },
    renew(webhookIds) {
      for (const id of webhookIds) laneOf(id).renew();
    },
    holdOf: (webhookId) => lanes.get(webhookId)?.hold() ?? null,
    post: (request) => poster.post(request, abort.signal),
  };

  await arrive(ctx);
  const shut = ctx.live.outbound.open(door);
  const beats: Loop = startLoop(async () => {
    await keepAlive(ctx);
    if (isTroubled) await giveBackStrays(ctx, stock.held);
    isTroubled = false;
    return beatEveryMs;
  }, onError);
  const looks: Loop = startLoop(async () => {
    door.wake(await findDueWebhooks(ctx));
    return lookEveryMs;
  }, onError);

  return {
    async close() {
      shut();
      isClosing = true;
      await looks.stop();
      const cut = setTimeout(() => abort.abort(), drainMsMax);
      while (underWay.size > 0) await Promise.all(underWay);
      clearTimeout(cut);
      await settlements.drain();
      await beats.stop();
      await leave(ctx).catch(onError);
      await poster.close();
    },
  };
}
