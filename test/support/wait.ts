import { setTimeout as sleep } from 'node:timers/promises';

const pollMs = 5;
const deadlineMsDefault = 10_000;

/**
 * Waits until `condition` holds and answers what it answered; throws with `what` when the deadline passes.
 * `what` may be a function that tells how far things have come.
 */
export async function waitFor<T>(
  condition: () => T | Promise<T>,
  options: { deadlineMs?: number; what: string | (() => string) },
): Promise<Exclude<T, false | null | undefined | 0 | ''>> {
  const { deadlineMs = deadlineMsDefault, what } = options;
  const end = performance.now() + deadlineMs;
  for (;;) {
    const value = await condition();
    if (value) return value as Exclude<T, false | null | undefined | 0 | ''>;
    if (performance.now() > end) {
      throw new Error(`waited ${deadlineMs} ms for ${typeof what === 'string' ? what : what()}`);
    }
    await sleep(pollMs);
  }
}
