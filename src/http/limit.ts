/** Rate limits per minute, by express-rate-limit. One node counts for itself. */
import type { Request, RequestHandler, Response } from 'express';
import { type RateLimitRequestHandler, rateLimit } from 'express-rate-limit';
import { Fault, type FaultCode } from '../domain/fault.ts';

const windowMs = 60_000;

/** Counts the request under `key`; throws `too_many` with the seconds to wait when the minute's share is used up. */
export type Limit = (key: string, request: Request, response: Response) => Promise<void>;

const keys = new WeakMap<Request, string>();

/** A limit of `max` a minute for each key; 0 turns it off. */
export function createLimit(max: number): Limit {
  if (max === 0) return async () => undefined;
  const handler: RateLimitRequestHandler = rateLimit({
    windowMs,
    limit: max,
    standardHeaders: 'draft-8',
    legacyHeaders: false,
    keyGenerator: (request) => keys.get(request) ?? '',
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
    keys.set(request, key);
    return run(handler, request, response);
  };
}

function run(handler: RequestHandler, request: Request, response: Response): Promise<void> {
  return new Promise((resolve, reject) => {
    const next = (error?: unknown) => (error ? reject(error) : resolve());
    void Promise.resolve(handler(request, response, next)).catch(reject);
  });
}

/** What somebody hears who tries keys, tokens or links. */
const failures: ReadonlySet<FaultCode> = new Set(['bad_key', 'bad_session', 'bad_token', 'unknown_link']);

/** Does the work of letting a request in; what it brought that is not good is counted by address. */
export type Guarded = <T>(request: Request, response: Response, work: () => Promise<T>) => Promise<T>;

/** An address that keeps trying is slowed down; one that brings what is good is never held up by that. */
export function createGuarded(limit: Limit, addressOf: (request: Request) => string | null): Guarded {
  return async (request, response, work) => {
    try {
      return await work();
    } catch (error) {
      if (error instanceof Fault && failures.has(error.code))
        await limit(addressOf(request) ?? '', request, response);
      throw error;
    }
  };
}
