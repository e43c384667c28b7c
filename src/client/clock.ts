/**
 * The server's clock, as a device knows it: what a message said, carried on by the monotonic clock. The device's own
 * calendar may be hours off, so no instant of the server is held against it unless there is nothing else.
 */
export type ServerClock = {
  /** Milliseconds since the epoch. */
  now: () => number;
  /** The same, null as long as no server has said what time it is. */
  known: () => number | null;
  /** What the server's clock showed when it sent what has just come in. */
  heard: (at: number) => void;
  /** The connection is new, and so may be the server: its next word counts, whatever was known. */
  up: () => void;
  /** What the clock showed when the device last wrote down what it knows: it goes on from there. */
  resume: (at: number) => void;
};

/** A message can be late and never early, so the one that was least late is believed, but not for ever: clocks drift. */
const believedMs = 10 * 60_000;

export function createServerClock(parts: {
  /** The device's own calendar, for servers that don't say what time it is. */
  deviceNow: () => number;
  monotonicNow: () => number;
}): ServerClock {
  const { deviceNow, monotonicNow } = parts;
  /** How far the server's clock is ahead of the monotonic one. */
  let ahead: number | null = null;
  let believedUntil = 0;

  const known = () => (ahead === null ? null : monotonicNow() + ahead);

  return {
    known,
    now: () => known() ?? deviceNow(),
    heard(at) {
      const now = monotonicNow();
      if (ahead !== null && at - now < ahead && now < believedUntil) return;
      ahead = at - now;
      believedUntil = now + believedMs;
    },
    up() {
      believedUntil = 0;
    },
    resume(at) {
      ahead = at - monotonicNow();
      believedUntil = 0;
    },
  };
}
