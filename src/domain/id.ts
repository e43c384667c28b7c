/** Text ids are UUIDv7 (RFC 9562 §5.7), so the order of ids is the order of time, also within a millisecond. */
import { randomUUID } from 'node:crypto';

const counterMax = 0xfff;
let latest = 0;
let counter = 0;

/**
 * A new id for `now` (milliseconds), above every one this process has made. The 12 bits after the version count within a millisecond
 * (§6.2, method 1); when they run out, or the clock goes back, ids are dated ahead of it. The rest is random.
 */
export function newId(now: number): string {
  if (now > latest) {
    latest = now;
    counter = 0;
  } else if (counter === counterMax) {
    latest += 1;
    counter = 0;
  } else counter += 1;
  const time = latest.toString(16).padStart(12, '0');
  // Node draws random UUIDs from a pool: their last 62 bits are the cheapest randomness there is.
  const random = randomUUID().slice(19);
  return `${time.slice(0, 8)}-${time.slice(8)}-7${counter.toString(16).padStart(3, '0')}-${random}`;
}

/** The lowest id that can have been made at `time` (milliseconds) or later. */
export function firstIdAt(time: number): string {
  const hex = Math.max(0, Math.floor(time)).toString(16).padStart(12, '0');
  return `${hex.slice(0, 8)}-${hex.slice(8)}-7000-8000-000000000000`;
}

/** The time (milliseconds) in an id: when it was made, or later where ids ran ahead of the clock. */
export function timeOf(id: string): number {
  return Number.parseInt(id.slice(0, 8) + id.slice(9, 13), 16);
}
