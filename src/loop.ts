/** Work that the clock starts. */

export type Loop = {
  /** Runs the work as soon as possible instead of waiting out the pause. */
  wake(): void;
  /** Ends the loop; resolves when a run under way has ended. */
  stop(): Promise<void>;
};

/** The longest pause a timer can hold. */
const pauseMsMax = 2_147_483_647;
const pauseAfterFailureMs = 1_000;

/** Runs `work` again and again; it answers the milliseconds until it wants to run next, Infinity for "when woken". */
export function startLoop(work: () => Promise<number>, onError: (error: unknown) => void): Loop {
  let timer: NodeJS.Timeout | undefined;
  let running: Promise<void> | null = null;
  let again = false;
  let stopped = false;

  async function run(): Promise<void> {
    let pause: number;
    do {
      again = false;
      try {
        pause = await work();
      } catch (error) {
        onError(error);
        pause = pauseAfterFailureMs;
      }
    } while (again && !stopped);
    running = null;
    if (!stopped && pause !== Number.POSITIVE_INFINITY) {
      timer = setTimeout(wake, Math.min(Math.max(pause, 0), pauseMsMax));
    }
  }

  function wake(): void {
    if (stopped) return;
    clearTimeout(timer);
    if (running !== null) again = true;
    else running = run();
  }

  wake();
  return {
    wake,
    stop: async () => {
      stopped = true;
      clearTimeout(timer);
      await running;
    },
  };
}
