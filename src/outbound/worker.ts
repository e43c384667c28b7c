/**
 * The outgoing door, opened by the clock and by what rooms hand over. Every webhook has a lane of its own, so that one that
 * hangs holds up nobody else: so many requests at once, a breaker that probes a dead receiver instead of hammering it,
 * and a pause when the receiver asks for one.
 */
import type { Context } from '../domain/context.ts';
import { isDelivered, type Outcome } from '../domain/delivery/attempt.ts';
import {
  type Attempt,
  arrive,
  claimDue,
  createSettlements,
  findDueWebhooks,
  giveBack,
  giveBackStrays,
  keepAlive,
  leave,
  prepareRequest,
} from '../domain/delivery/dispatch.ts';
import type { ClaimedDelivery, Outbound } from '../domain/delivery/outbound.ts';
import { Fault } from '../domain/fault.ts';
import { type Loop, startLoop } from '../loop.ts';
import { createBreaker } from './breaker.ts';
import { createPoster } from './post.ts';

/** Requests in flight for one webhook. */
const inFlightMax = 16;
/** Deliveries that wait in memory for their turn in one lane; the others wait in the database. */
const queuedMax = 1_024;
const claimedAtOnce = 256;
/** Requests of one webhook that are answered and not written down yet: the next ones do not wait for that. */
const unsettledMax = 512;
/** Bodies that wait in memory, in all lanes. */
const queuedBytesMax = 64 * 1_024 * 1_024;
/** How often the database is asked for what has become due. */
const lookEveryMs = 500;
const beatEveryMs = 2_000;
const settleAgainMs = 1_000;
/** What is in flight when the door closes gets this long. */
const drainMsMax = 2_000;

type Lane = {
  webhookId: string;
  queue: ClaimedDelivery[];
  inFlight: number;
  unsettled: number;
  breaker: ReturnType<typeof createBreaker>;
  /** There may be more due in the database. */
  hasMore: boolean;
  claiming: boolean;
};

export type OutboundDoor = {
  /** Ends what is in flight, gives back what waits. */
  close(): Promise<void>;
};

export async function openOutbound(
  ctx: Context,
  options: { allowNetworks: readonly string[]; userAgent: string; onError: (error: unknown) => void },
): Promise<OutboundDoor> {
  const { onError } = options;
  const poster = createPoster(options);
  const settlements = createSettlements(ctx);
  const lanes = new Map<string, Lane>();
  const underWay = new Set<Promise<void>>();
  const abort = new AbortController();
  /** Claimed by this node and not settled yet. */
  const held = new Set<string>();
  let queuedBytes = 0;
  let isClosing = false;
  /** Something failed: what was claimed may not have reached a lane. */
  let isTroubled = false;

  function laneOf(webhookId: string): Lane {
    const known = lanes.get(webhookId);
    if (known) return known;
    const breaker = createBreaker();
    const lane: Lane = {
      webhookId,
      queue: [],
      inFlight: 0,
      unsettled: 0,
      breaker,
      hasMore: false,
      claiming: false,
    };
    lanes.set(webhookId, lane);
    return lane;
  }

  const bytesOf = (delivery: ClaimedDelivery) => delivery.event?.body?.length ?? 0;

  function enqueue(lane: Lane, deliveries: readonly ClaimedDelivery[]): void {
    for (const delivery of deliveries) {
      queuedBytes += bytesOf(delivery);
      held.add(delivery.id);
    }
    lane.queue.push(...deliveries);
  }

  /** Starts what may start, and asks the database for more before the lane runs dry. */
  function pump(lane: Lane): void {
    if (isClosing) return;
    const free = () =>
      lane.unsettled >= unsettledMax
        ? 0
        : Math.min(inFlightMax, lane.breaker.limit(ctx.now())) - lane.inFlight;
    while (free() > 0) {
      const delivery = lane.queue.shift();
      if (!delivery) break;
      queuedBytes -= bytesOf(delivery);
      lane.inFlight += 1;
      track(attempt(lane, delivery));
    }
    if (lane.hasMore && !lane.claiming && lane.queue.length === 0 && free() > 0) track(claim(lane));
    if (lane.queue.length > 0 && lane.breaker.limit(ctx.now()) === 0) track(returnQueue(lane));
    if (
      lane.queue.length === 0 &&
      lane.inFlight + lane.unsettled === 0 &&
      !lane.claiming &&
      !lane.hasMore &&
      lane.breaker.isCalm()
    )
      lanes.delete(lane.webhookId);
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

  /** What a closed breaker would have sent waits in the database, where a person sees it. */
  async function returnQueue(lane: Lane): Promise<void> {
    const waiting = lane.queue;
    lane.queue = [];
    for (const delivery of waiting) {
      queuedBytes -= bytesOf(delivery);
      held.delete(delivery.id);
    }
    await giveBack(ctx, waiting);
  }

  async function claim(lane: Lane): Promise<void> {
    lane.claiming = true;
    // Whoever wakes the lane from now on may mean what this claim does not see.
    lane.hasMore = false;
    try {
      const isNarrow = lane.breaker.limit(ctx.now()) < inFlightMax || queuedBytes > queuedBytesMax;
      const limit = isNarrow ? 1 : claimedAtOnce;
      const claimed = await claimDue(ctx, lane.webhookId, limit);
      if (claimed.length === limit) lane.hasMore = true;
      enqueue(lane, claimed);
    } finally {
      lane.claiming = false;
      pump(lane);
    }
  }

  /** One attempt. The lane goes on as soon as it is answered; what came of it is written behind. */
  async function attempt(lane: Lane, delivery: ClaimedDelivery): Promise<void> {
    let done: Attempt | null = null;
    try {
      done = await send(lane, delivery);
      if (done === null) await giveBack(ctx, [delivery]);
      else lane.unsettled += 1;
    } finally {
      if (done === null) held.delete(delivery.id);
      lane.inFlight -= 1;
      pump(lane);
    }
    if (done === null) return;
    try {
      await settle(done);
    } finally {
      held.delete(delivery.id);
      lane.unsettled -= 1;
      pump(lane);
    }
  }

  /** Null when it was not sent, or called off. */
  async function send(lane: Lane, delivery: ClaimedDelivery): Promise<Attempt | null> {
    const request = await prepareRequest(ctx, delivery);
    if (request === null) {
      lane.hasMore = false;
      return null;
    }
    if (request instanceof Fault) return { delivery, outcome: request };
    const outcome = await poster.post(request, abort.signal);
    if (abort.signal.aborted && outcome.status === null) return null;
    observe(lane, outcome);
    return { delivery, outcome };
  }

  function observe(lane: Lane, outcome: Outcome): void {
    if (isDelivered(outcome)) lane.breaker.succeeded();
    else lane.breaker.failed(ctx.now(), outcome.retryAfterMs);
  }

  /** What was sent has to be written down: while the database is away it is tried again and again. */
  async function settle(done: Attempt): Promise<void> {
    for (;;) {
      try {
        return await settlements.add(done);
      } catch (error) {
        onError(error);
        if (isClosing) return;
        await new Promise((resolve) => setTimeout(resolve, settleAgainMs));
      }
    }
  }

  const door: Outbound = {
    capacity(webhookId) {
      const lane = lanes.get(webhookId);
      if (isClosing || queuedBytes > queuedBytesMax) return 0;
      if (!lane) return queuedMax;
      // Once some wait in the database, those that come after them wait there too.
      if (lane.hasMore || lane.breaker.limit(ctx.now()) < inFlightMax) return 0;
      return queuedMax - lane.queue.length;
    },
    take(deliveries) {
      const touched = new Set<Lane>();
      for (const delivery of deliveries) {
        const lane = laneOf(delivery.webhookId);
        enqueue(lane, [delivery]);
        touched.add(lane);
      }
      for (const lane of touched) pump(lane);
    },
    wake(webhookIds) {
      for (const id of webhookIds) {
        const lane = laneOf(id);
        lane.hasMore = true;
        pump(lane);
      }
    },
    post: (request) => poster.post(request, abort.signal),
  };

  await arrive(ctx);
  const shut = ctx.live.outbound.open(door);
  const beats: Loop = startLoop(async () => {
    await keepAlive(ctx);
    if (isTroubled) await giveBackStrays(ctx, held);
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
