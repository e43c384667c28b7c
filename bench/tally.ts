/** Counts what the load hears, and knows when it was enough. */

const deadlineMs = 60_000;

export type Tally = ReturnType<typeof createTally>;

/** Counts, and tells when a number is reached. Throws when it is not, or when more came than was waited for. */
export function createTally(what: string) {
  let count = 0;
  let goal = 0;
  let reached: (() => void) | null = null;
  return {
    add() {
      count += 1;
      if (count === goal) reached?.();
    },
    async more(wanted: number, cause: () => Promise<void> | void): Promise<void> {
      if (count !== goal) throw new Error(`${count - goal} ${what} too many`);
      goal += wanted;
      const all = new Promise<void>((resolve) => {
        reached = resolve;
        if (wanted === 0) resolve();
      });
      await cause();
      let timer: NodeJS.Timeout | undefined;
      const late = new Promise<never>((_, reject) => {
        timer = setTimeout(
          () => reject(new Error(`${count} of ${goal} ${what} after ${deadlineMs} ms`)),
          deadlineMs,
        );
      });
      await Promise.race([all, late]).finally(() => clearTimeout(timer));
    },
    /** What came without anybody waiting for it. */
    took(wanted: number): void {
      goal += wanted;
      if (count !== goal) throw new Error(`${count} of ${goal} ${what}`);
    },
    count: () => count,
  };
}
