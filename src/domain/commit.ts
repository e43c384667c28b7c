/** Commits in groups: what arrives in the same turn is written down together, and what cannot be written fails alone. */
import { type Batch, type BatchRun, createBatch } from '../batch.ts';
import { isAway } from '../store/dialect.ts';

/**
 * A batch whose run ends in one commit. A commit that is refused is tried again job by job, since it may be the fault
 * of one of them; when the database is away, all of them fail at once. `run` throws only while nothing is committed.
 */
export function createCommits<Job, Answer>(
  run: BatchRun<Job, Answer>,
  jobsMax: number,
  lingerMs?: number,
): Batch<Job, Answer> {
  return createBatch(run, jobsMax, {
    isOfOneJob: (error) => !isAway(error),
    ...(lingerMs === undefined ? {} : { lingerMs }),
  });
}
