/** Rate limits per minute, by express-rate-limit. One node counts for itself. */
import type { Request, Response } from 'express';
import { rateLimit } from 'express-rate-limit';
import { Fault, type FaultCode } from '../domain/fault.ts';
import { countedAddress } from '../network.ts';

const windowMs = 60_000;

/** Counts the request under `key`; throws `too_many` with the seconds to wait when the minute's share is used up. */
export type RateLimit = (key: string, request: Request, response: Response) => Promise<void>;

/** A limit of `max` a minute for each key; 0 turns it off. */
export function createRateLimit(max: number): RateLimit {
  if (max === 0) return async () => undefined;
  const count = rateLimit({
    windowMs,
    limit: max,
    standardHeaders: 'draft-8',
    legacyHeaders: false,
    keyGenerator: (_request, response) => String(response.locals.rateLimitKey),
    validate: false,
    handler: (_request, response, next) => {
      next(
        new Fault('too_many', 'too many requests', {
          retryAfter: Number(response.getHeader('retry-after')) || 60,
        }),
      );
    },
  });
  return (key, request, response) => {
    response.locals.rateLimitKey = key;
    return new Promise((resolve, reject) => {
      void count(request, response, (error?: unknown) => (error ? reject(error) : resolve()));
    });
  };
}

/** What somebody hears who tries keys, tokens or links. */
const failures: ReadonlySet<FaultCode> = new Set(['bad_key', 'bad_session', 'bad_token', 'unknown_link']);

/** Does the work of letting a request in; what it brought that is not good is counted by address. */
export type CountFailures = <T>(request: Request, response: Response, work: () => Promise<T>) => Promise<T>;

/** An address that keeps trying is slowed down; one that brings what is good is never held up by that. */
export function createCountFailures(
  rateLimit: RateLimit,
  addressOf: (request: Request) => string | null,
): CountFailures {
  return async (request, response, work) => {
    try {
      return await work();
    } catch (error) {
      if (error instanceof Fault && failures.has(error.code))
        await rateLimit(countedAddress(addressOf(request)), request, response);
      throw error;
    }
  };
}
