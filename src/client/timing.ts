/** How long the device library waits for what, its back-off, and timers that all end with the device. */

export type Timing = {
  /** The longest wait before the first attempt to come back; it doubles with each one that fails. */
  reconnectFirstMs: number;
  reconnectMostMs: number;
  /** A refused token is tried again all the same: it may be made valid at the server. */
  badTokenMs: number;
  /** One attempt to connect, from the first packet to the server's welcome. */
  connectMs: number;
  /** A connection that lasted this long was a good one: the next back-off starts anew. */
  stableMs: number;
  /** The wait for an answer to one message; more for a long one. */
  answerMs: number;
  /** The wait before a message is sent again that was not answered, or refused for the moment. */
  retryFirstMs: number;
  retryMostMs: number;
  /** Applying that takes longer than this is announced by a receipt `received`. */
  receivedAfterMs: number;
  /** A hook that has not come back by then counts as failed, and the next in line has its turn. */
  applyMsMax: number;
  /** A storage that has not answered by then is done without. */
  storageMs: number;
  /** What can wait is written together. */
  saveLaterMs: number;
  /** While something ends, the time it has left is written down so often at most, and seldom when it is far off. */
  countDownMs: number;
  /** What `close` gives to the last receipts, and to the server to say goodbye. */
  closeMs: number;
};

export const defaultTiming: Timing = Object.freeze({
  reconnectFirstMs: 2_000,
  reconnectMostMs: 30_000,
  badTokenMs: 60_000,
  connectMs: 20_000,
  stableMs: 10_000,
  answerMs: 10_000,
  retryFirstMs: 500,
  retryMostMs: 30_000,
  receivedAfterMs: 250,
  applyMsMax: 60_000,
  storageMs: 5_000,
  saveLaterMs: 1_000,
  countDownMs: 10_000,
  closeMs: 1_000,
});

const jitterLeast = 0.1;

/** Exponential, and random nearly from nothing: thousands of devices that fell together rise apart. */
export function backOffMs(attempt: number, firstMs: number, mostMs: number, random: () => number): number {
  return Math.min(mostMs, firstMs * 2 ** attempt) * (jitterLeast + (1 - jitterLeast) * random());
}

export type Timers = {
  /** Runs once, later; answers a function that calls it off. A wait beyond `timerMsMax` is cut to it. */
  after: (milliseconds: number, run: () => void) => () => void;
  /** Calls everything off; what is asked for afterwards never runs. */
  close: () => void;
};

/** What `setTimeout` can hold; beyond it, it fires at once. */
const timerMsMax = 2 ** 31 - 1;

export function createTimers(): Timers {
  const running = new Set<ReturnType<typeof setTimeout>>();
  let closed = false;
  return {
    after(milliseconds, run) {
      if (closed) return () => {};
      const timer = setTimeout(
        () => {
          running.delete(timer);
          run();
        },
        Math.min(Math.max(milliseconds, 0), timerMsMax),
      );
      running.add(timer);
      return () => {
        clearTimeout(timer);
        running.delete(timer);
      };
    },
    close() {
      closed = true;
      for (const timer of running) clearTimeout(timer);
      running.clear();
    },
  };
}

/** One wait at a time, longer after each that brought nothing. */
export type Pause = {
  waiting: () => boolean;
  rest: (run: () => void) => void;
  /** Something went well, or everything is new: no wait, and the next one is short. */
  reset: () => void;
};

export function createPause(timers: Timers, timing: Timing, random: () => number): Pause {
  let attempt = 0;
  let callOff: (() => void) | null = null;
  return {
    waiting: () => callOff !== null,
    rest(run) {
      if (callOff) return;
      callOff = timers.after(backOffMs(attempt++, timing.retryFirstMs, timing.retryMostMs, random), () => {
        callOff = null;
        run();
      });
    },
    reset() {
      attempt = 0;
      callOff?.();
      callOff = null;
    },
  };
}

/** Settles as the promise does, or rejects after `milliseconds` with `<what> took too long`. */
export function withDeadline<T>(
  timers: Timers,
  milliseconds: number,
  what: string,
  promise: PromiseLike<T>,
): Promise<T> {
  return new Promise((resolve, reject) => {
    const callOff = timers.after(milliseconds, () => reject(new Error(`${what} took too long`)));
    promise.then(
      (value) => {
        callOff();
        resolve(value);
      },
      (error) => {
        callOff();
        reject(error);
      },
    );
  });
}
