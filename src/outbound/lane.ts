/**
 * The lane of one webhook: its queue, so many requests at once, and a breaker that probes a dead receiver instead of
 * hammering it. It reaches database and network through the functions it is given.
 */
import { isDelivered, type Outcome, type OutgoingRequest, problemOf } from '../domain/delivery/attempt.ts';
import type { ClaimedDelivery, Hold } from '../domain/delivery/outbound.ts';
import type { Attempt } from '../domain/delivery/settle.ts';
import { Fault } from '../domain/fault.ts';
import { createBreaker } from './breaker.ts';
import type { Stock } from './stock.ts';

/** Requests in flight for one webhook. */
const inFlightMax = 16;
/** Deliveries that wait in memory for their turn; the others wait in the database. */
export const queuedMax = 1_024;
const claimedAtOnce = 256;
/** Requests that are answered and not written down yet: the next ones do not wait for that. */
const unsettledMax = 512;

export type LaneWork = {
  /** Claims up to `limit` deliveries that are due. */
  claim(limit: number): Promise<ClaimedDelivery[]>;
  /** A `Fault` says why there can be no request; null that the webhook takes none now. */
  prepare(delivery: ClaimedDelivery): Promise<OutgoingRequest | Fault | null>;
  /** Null when it was called off. */
  post(request: OutgoingRequest): Promise<Outcome | null>;
  /** Resolves once what came of an attempt is written down. */
  settle(attempt: Attempt): Promise<void>;
  giveBack(deliveries: readonly ClaimedDelivery[]): Promise<void>;
  /** What all lanes hold together. */
  stock: Stock;
  now(): number;
  isClosing(): boolean;
  /** Is told of everything that is under way; what it rejects with is nobody else's to handle. */
  track(work: Promise<void>): void;
  /** Nothing is left to do and nothing to remember. */
  onIdle(): void;
};

export type Lane = {
  /** How many deliveries it takes at once. */
  capacity(): number;
  /** Takes deliveries that are claimed. */
  take(deliveries: readonly ClaimedDelivery[]): void;
  /** There may be more due in the database. */
  wake(): void;
  /** The receiver is another now, or mended: it is trusted as a new one, and whatever held it back holds no more. */
  renew(): void;
  /** Why nothing is sent for a while. */
  hold(): Hold | null;
};

export function createLane(work: LaneWork): Lane {
  const { stock, now } = work;
  let breaker = createBreaker();
  let queue: ClaimedDelivery[] = [];
  let inFlight = 0;
  let unsettled = 0;
  /** There may be more due in the database. */
  let hasMore = false;
  let isClaiming = false;

  /** Starts what may start, and asks the database for more before the lane runs dry. */
  function pump(): void {
    if (work.isClosing()) return;
    const free = () =>
      unsettled >= unsettledMax ? 0 : Math.min(inFlightMax, breaker.limit(now())) - inFlight;
    while (free() > 0) {
      const delivery = queue.shift();
      if (!delivery) break;
      stock.draw([delivery]);
      inFlight += 1;
      work.track(attempt(delivery));
    }
    if (hasMore && !isClaiming && queue.length === 0 && free() > 0) work.track(claim());
    if (queue.length > 0 && breaker.limit(now()) === 0) work.track(returnQueue());
    const isBusy = queue.length > 0 || inFlight + unsettled > 0 || isClaiming || hasMore;
    if (!isBusy && breaker.isCalm()) work.onIdle();
  }

  function enqueue(deliveries: readonly ClaimedDelivery[]): void {
    stock.add(deliveries);
    queue.push(...deliveries);
  }

  /** What a closed breaker would have sent waits in the database, where a person sees it. */
  async function returnQueue(): Promise<void> {
    const waiting = queue;
    queue = [];
    stock.draw(waiting);
    stock.release(waiting);
    await work.giveBack(waiting);
  }

  async function claim(): Promise<void> {
    isClaiming = true;
    // Whoever wakes the lane from now on may mean what this claim does not see.
    hasMore = false;
    try {
      const isNarrow = breaker.limit(now()) < inFlightMax || stock.isFull();
      const limit = isNarrow ? 1 : claimedAtOnce;
      const claimed = await work.claim(limit);
      if (claimed.length === limit) hasMore = true;
      enqueue(claimed);
    } finally {
      isClaiming = false;
      pump();
    }
  }

  /** One attempt. The lane goes on as soon as it is answered; what came of it is written behind. */
  async function attempt(delivery: ClaimedDelivery): Promise<void> {
    let done: Attempt | null = null;
    try {
      done = await send(delivery);
      if (done === null) await work.giveBack([delivery]);
      else unsettled += 1;
    } finally {
      if (done === null) stock.release([delivery]);
      inFlight -= 1;
      pump();
    }
    if (done === null) return;
    try {
      await work.settle(done);
    } finally {
      stock.release([delivery]);
      unsettled -= 1;
      pump();
    }
  }

  /** Null when it was not sent, or called off. */
  async function send(delivery: ClaimedDelivery): Promise<Attempt | null> {
    const request = await work.prepare(delivery);
    if (request === null) {
      hasMore = false;
      return null;
    }
    if (request instanceof Fault) return { delivery, outcome: request, receiver: null };
    // What began before the receiver was renewed says nothing about the one that is there now.
    const asked = breaker;
    const outcome = await work.post(request);
    if (outcome === null) return null;
    if (isDelivered(outcome)) asked.succeeded();
    else asked.failed(now(), outcome.retryAfterMs, problemOf(outcome));
    return { delivery, outcome, receiver: request.receiver };
  }

  return {
    capacity() {
      // Once some wait in the database, those that come after them wait there too.
      if (hasMore || breaker.limit(now()) < inFlightMax) return 0;
      return queuedMax - queue.length;
    },
    take(deliveries) {
      enqueue(deliveries);
      pump();
    },
    wake() {
      hasMore = true;
      pump();
    },
    renew() {
      breaker = createBreaker();
      hasMore = true;
      pump();
    },
    hold: () => breaker.hold(now()),
  };
}
