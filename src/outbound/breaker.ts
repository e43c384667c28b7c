/** How many requests a receiver is trusted with: all while it answers, one at a time while it does not. Pure. */
import type { Hold } from '../domain/delivery/outbound.ts';

/** Failures in a row after which a receiver counts as dead. */
const failuresMax = 10;
const pauseMsMin = 5_000;
const pauseMsMax = 2 * 60_000;
/** A receiver that asks for a pause gets it, within reason; single deliveries wait longer by their schedule. */
const askedPauseMsMax = 10 * 60_000;

export type Breaker = {
  /** Requests in flight that are allowed now: 0 while it pauses, 1 for a probe, else no limit. */
  limit(now: number): number;
  succeeded(): void;
  /** `problem` is one line for people. */
  failed(now: number, retryAfterMs: number | null, problem: string): void;
  /** Until when it pauses, and why. */
  hold(now: number): Hold | null;
  /** Nothing to remember. */
  isCalm(): boolean;
};

export function createBreaker(): Breaker {
  let failures = 0;
  let pausedUntil = 0;
  let pauseMs = pauseMsMin;
  let reason = '';

  function pause(until: number, why: string): void {
    if (until <= pausedUntil) return;
    pausedUntil = until;
    reason = why;
  }

  return {
    limit(now) {
      if (now < pausedUntil) return 0;
      return failures >= failuresMax ? 1 : Number.POSITIVE_INFINITY;
    },
    succeeded() {
      failures = 0;
      pausedUntil = 0;
      pauseMs = pauseMsMin;
    },
    failed(now, retryAfterMs, problem) {
      failures += 1;
      if (retryAfterMs !== null)
        pause(now + Math.min(retryAfterMs, askedPauseMsMax), `the receiver asked for a pause: ${problem}`);
      // Requests that were in flight together fail together: that is one reason to pause, not many.
      if (failures < failuresMax || now < pausedUntil) return;
      pause(now + pauseMs, `${failures} attempts in a row have failed, the last: ${problem}`);
      pauseMs = Math.min(pauseMs * 2, pauseMsMax);
    },
    hold: (now) => (now < pausedUntil ? { until: pausedUntil, reason } : null),
    isCalm: () => failures === 0 && pausedUntil === 0,
  };
}
