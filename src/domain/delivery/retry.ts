/** When a delivery is tried again. Pure. */

const secondMs = 1_000;
const minuteMs = 60 * secondMs;
const hourMs = 60 * minuteMs;

/** After the first try in vain, the second, and so on; when they are used up it waits for a person. */
const delaysMs = [
  5 * secondMs,
  30 * secondMs,
  2 * minuteMs,
  10 * minuteMs,
  hourMs,
  3 * hourMs,
  8 * hourMs,
  12 * hourMs,
];
/** Spreads what failed together, so that it does not come back together. */
const jitter = 0.2;
/** A receiver can't put us off for longer. */
const retryAfterMsMax = 12 * hourMs;

/**
 * The milliseconds until the next try after `attempts` in vain, null when the schedule is used up. A Retry-After
 * of the receiver is obeyed where it asks for more; `random` is from 0 to below 1.
 */
export function retryDelayMs(attempts: number, retryAfterMs: number | null, random: number): number | null {
  const delay = delaysMs[attempts - 1];
  if (delay === undefined) return null;
  const spread = Math.round(delay * (1 - jitter + 2 * jitter * random));
  return Math.max(spread, Math.min(retryAfterMs ?? 0, retryAfterMsMax));
}
