/** Who calls: reads the key or session out of a request; the rooms decide what it is worth. */

import type { Request, Response } from 'express';
import { authenticateKey, callerOfKey } from '../domain/access/authenticate.ts';
import type { Caller } from '../domain/access/caller.ts';
import { authenticateSession } from '../domain/access/session.ts';

import type { Context } from '../domain/context.ts';
import { Fault } from '../domain/fault.ts';
import type { CountFailures, RateLimit } from './limit.ts';
import { type AddressOf, bearerOf, cookieOf, readNumber } from './request.ts';

export const sessionCookie = 'fleethook_session';

/**
 * The caller of a management route: a key, or a person who is signed in. Throws `bad_key` or `bad_session`. `secret`
 * is the key, where a route has a way of its own to present it.
 */
export async function callerOf(
  ctx: Context,
  request: Request,
  addressOf: AddressOf,
  secret: string | null = bearerOf(request),
): Promise<Caller> {
  const address = addressOf(request);
  if (secret !== null) {
    const key = await authenticateKey(ctx, secret, address);
    return callerOfKey(ctx, key, address, projectOf(request));
  }
  const session = cookieOf(request, sessionCookie);
  if (session === null) throw new Fault('bad_key', 'no valid key was given');
  requireSameOrigin(request);
  return authenticateSession(ctx, session, address);
}

function projectOf(request: Request): number | null {
  const given = request.get('x-project-id');
  if (given === undefined) return null;
  const number = readNumber(given);
  if (number === null) throw new Fault('bad_request', 'x-project-id must be the id of a project');
  return number;
}

/** A session travels by itself: a change must come from our own pages. `SameSite=Strict` says the same to the browser. */
function requireSameOrigin(request: Request): void {
  if (request.method === 'GET' || request.method === 'HEAD') return;
  const site = request.get('sec-fetch-site');
  if (site === undefined || site === 'same-origin' || site === 'none') return;
  throw new Fault('not_allowed', 'a session is good for requests of our own pages alone');
}

/** Lets a caller of `/api/v1` and its like in, within its share of calls. `secret` as in `callerOf`. */
export type Gate = (request: Request, response: Response, secret?: string | null) => Promise<Caller>;

export function createGate(of: {
  ctx: Context;
  addressOf: AddressOf;
  /** By key or user. */
  apiLimit: RateLimit;
  countFailures: CountFailures;
}): Gate {
  return async (request, response, secret) => {
    const caller = await of.countFailures(request, response, () =>
      callerOf(of.ctx, request, of.addressOf, secret),
    );
    await of.apiLimit(`${caller.kind} ${caller.id}`, request, response);
    return caller;
  };
}
