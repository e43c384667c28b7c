/** How a receiver does, by what came of the requests to it. Pure. */
import type { Webhook } from '../../store/webhook.ts';

const dayMs = 24 * 60 * 60 * 1_000;
/** A receiver is given up after so many days with failed attempts, so many of them, and none that succeeded. */
const failingDaysMin = 5;
const failuresMin = 10;
export const givenUpReason = 'it has failed for five days';

export type Health = Pick<Webhook, 'failingSince' | 'failures' | 'failingDays' | 'lastFailureAt'>;

export const healthy: Health = { failingSince: null, failures: 0, failingDays: 0, lastFailureAt: null };

/** After so many more failures. Days count from the first one; a day without attempts is none. */
export function afterFailures(health: Health, count: number, now: number): Health {
  const failingSince = health.failingSince ?? now;
  const dayOf = (at: number) => Math.floor((at - failingSince) / dayMs);
  const isNewDay = health.lastFailureAt === null || dayOf(now) > dayOf(health.lastFailureAt);
  return {
    failingSince,
    failures: health.failures + count,
    failingDays: health.failingDays + Number(isNewDay),
    lastFailureAt: now,
  };
}

export function isGivenUp({ failingSince, failures, failingDays }: Health, now: number): boolean {
  return (
    failingSince !== null &&
    now - failingSince >= failingDaysMin * dayMs &&
    failures >= failuresMin &&
    failingDays >= failingDaysMin
  );
}
