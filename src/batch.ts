/**
 * Groups what arrives in the same turn of the event loop into one run: a commit of ten rows costs little more
 * than a commit of one.
 */

/** An answer for each job, in the same order; an `Error` refuses that job alone. */
export type BatchRun<Job, Answer> = (jobs: readonly Job[]) => Promise<readonly (Answer | Error)[]>;

export type Batch<Job, Answer> = {
  /** Resolves with the job's answer once the run it was part of has ended. */
  add(job: Job): Promise<Answer>;
  /** Resolves when everything that was added before has ended. */
  drain(): Promise<void>;
};

type Entry<Job, Answer> = { job: Job; resolve(answer: Answer): void; reject(error: unknown): void };

export type BatchOptions = {
  /** The error may be the fault of one of the jobs: then they are run one by one, otherwise all of them fail. */
  isOfOneJob?: (error: unknown) => boolean;
  /** How long the first job waits for others; without it, until the turn of the event loop is over. */
  lingerMs?: number;
};

/** One run at a time, in order of arrival, of at most `jobsMax` jobs. */
export function createBatch<Job, Answer>(
  run: BatchRun<Job, Answer>,
  jobsMax: number,
  { isOfOneJob = () => false, lingerMs }: BatchOptions = {},
): Batch<Job, Answer> {
  let waiting: Entry<Job, Answer>[] = [];
  let running: Promise<void> | null = null;

  async function settle(entries: Entry<Job, Answer>[]): Promise<void> {
    try {
      const answers = await run(entries.map((entry) => entry.job));
      for (const [place, entry] of entries.entries()) {
        const answer = answers[place];
        if (answer instanceof Error) entry.reject(answer);
        else entry.resolve(answer as Answer);
      }
    } catch (error) {
      if (entries.length > 1 && isOfOneJob(error)) for (const entry of entries) await settle([entry]);
      else for (const entry of entries) entry.reject(error);
    }
  }

  async function runAll(): Promise<void> {
    await new Promise((resolve) => (lingerMs ? setTimeout(resolve, lingerMs) : setImmediate(resolve)));
    while (waiting.length > 0) {
      const entries = waiting.slice(0, jobsMax);
      waiting = waiting.slice(jobsMax);
      await settle(entries);
    }
    running = null;
  }

  return {
    add: (job) =>
      new Promise((resolve, reject) => {
        waiting.push({ job, resolve, reject });
        running ??= runAll();
      }),
    drain: async () => {
      while (running !== null) await running;
    },
  };
}
