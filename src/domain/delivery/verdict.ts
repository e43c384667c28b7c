/** What follows from an attempt: done with, tried again, or given up; and whether the webhook goes on. Pure. */
import { Fault } from '../fault.ts';
import { isDelivered, type LogLevel, type Outcome, problemOf } from './attempt.ts';
import { retryDelayMs } from './retry.ts';

const gone = 410;

export type Verdict = {
  status: 'delivered' | 'pending' | 'exhausted' | 'failed';
  level: LogLevel;
  /** One line for people. */
  message: string;
  /** Until the next attempt; the delivery is finished where there is none. */
  retryInMs?: number;
  /** Why the webhook is switched off by it. */
  disables?: string;
};

/**
 * Decides about an outcome; a `Fault` says why nothing was sent. `attempts` counts this one. `isFormer` says that the
 * webhook has another receiver by now; `random` is from 0 to below 1.
 */
export function verdictOf(
  outcome: Outcome | Fault,
  { attempts, isFormer, random }: { attempts: number; isFormer: boolean; random: number },
): Verdict {
  if (outcome instanceof Fault)
    return { status: 'failed', level: 'ERROR', message: `nothing was sent: ${outcome.message}` };
  if (isDelivered(outcome)) {
    const remark = outcome.remark === null ? '' : ` (${outcome.remark})`;
    return { status: 'delivered', level: 'INFO', message: `delivered: ${outcome.status}${remark}` };
  }
  const problem = problemOf(outcome);
  if (outcome.status === gone && !isFormer)
    return {
      status: 'exhausted',
      level: 'ERROR',
      message: `${problem}: the webhook is switched off`,
      disables: 'the receiver answered 410: it is gone for good',
    };
  const retryInMs = retryDelayMs(attempts, outcome.retryAfterMs, random);
  if (retryInMs === null)
    return {
      status: 'exhausted',
      level: 'ERROR',
      message: `${problem}: given up after ${attempts} attempts`,
    };
  const seconds = Math.round(retryInMs / 1_000);
  return {
    status: 'pending',
    level: 'WARN',
    message: `${problem}: next attempt in ${seconds} s`,
    retryInMs,
  };
}
