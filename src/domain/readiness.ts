/** Can we keep our promises now? Only with the database. */

import { setTimeout } from 'node:timers/promises';
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
export async function isReady(ctx: Pick<Context, 'db' | 'log'>): Promise<boolean> {
  const answered = new AbortController();
  const late = setTimeout(pingTimeoutMs, false, { signal: answered.signal }).catch(() => false);
  const ready = await Promise.race([answers(ctx), late]);
  answered.abort();
  return ready;
}

async function answers(ctx: Pick<Context, 'db' | 'log'>): Promise<boolean> {
  try {
    await pingDatabase(ctx.db);
    return true;
  } catch (error) {
    ctx.log.warn({ err: error }, 'the database does not answer');
    return false;
  }
}
