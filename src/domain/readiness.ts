/** Can we keep our promises now? Only with the database. */

import { isAway } from '../store/dialect.ts';
import { pingDatabase } from '../store/open.ts';

import type { Context } from './context.ts';
import { Fault } from './fault.ts';

/** What a caller is told of a database that is away; any other error as it is. */
export function withoutDatabase(error: unknown): unknown {
  if (error instanceof Fault || !isAway(error)) return error;
  return new Fault('unavailable', 'the database cannot be reached: try again', {
    retryAfter: 5,
    cause: error,
  });
}

const pingTimeoutMs = 2_000;

/** False when the database does not answer in time. */
export async function isReady(ctx: Context): Promise<boolean> {
  let timer: NodeJS.Timeout | undefined;
  const timeout = new Promise<boolean>((resolve) => {
    timer = setTimeout(() => resolve(false), pingTimeoutMs);
  });
  const answered = pingDatabase(ctx.db).then(
    () => true,
    (error: unknown) => {
      ctx.log.warn({ err: error }, 'the database does not answer');
      return false;
    },
  );
  const ready = await Promise.race([answered, timeout]);
  clearTimeout(timer);
  return ready;
}
