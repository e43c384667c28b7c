/**
 * Loaded before every test file (test/run.ts): the file's process ends soon after its tests have, and in any case
 * in time. One that does not, because a test has left something open, fails and says what that is.
 */
import { after } from 'node:test';

const fileMs = 120_000;
/** From the end of the last test to the end of the process. */
const goodbyeMs = 5_000;

// The process that runs the files loads this too, and goes on as long as they do.
if (process.env.NODE_TEST_CONTEXT) {
  failIn(fileMs, `the file has not ended after ${fileMs / 1_000} s`);
  after(() => failIn(goodbyeMs, `the tests are over, and the process goes on after ${goodbyeMs / 1_000} s`));
}

/** Neither timer keeps the process from ending by itself. */
function failIn(ms: number, what: string): void {
  setTimeout(() => {
    const counts = new Map<string, number>();
    for (const kind of process.getActiveResourcesInfo()) counts.set(kind, (counts.get(kind) ?? 0) + 1);
    const open = Array.from(counts, ([kind, count]) => `${count} ${kind}`).join(', ');
    process.stderr.write(`${process.argv[1]}: ${what}; still open: ${open || 'nothing'}\n`);
    process.exit(1); // as any end: what started other processes kills them now
  }, ms).unref();
}
