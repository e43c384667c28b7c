/** Who calls: reads the key or session out of a request; the rooms decide what it is worth. */
import type { IncomingMessage } from 'node:http';
import type { Request, Response } from 'express';
import proxyAddr from 'proxy-addr';
import type { Caller } from '../domain/access/caller.ts';
import { authenticateKey, callerOfKey } from '../domain/access/key.ts';
import { authenticateSession } from '../domain/access/user.ts';
import type { Context } from '../domain/context.ts';
import { Fault } from '../domain/fault.ts';
import { plainAddress } from '../network.ts';
import type { Guarded, Limit } from './limit.ts';

export const sessionCookie = 'fleethook_session';

export type AddressOf = (request: IncomingMessage) => string | null;
export type TrustProxy = (address: string, hop: number) => boolean;

/** The caller's own address behind the proxies that are trusted. */
export function createAddressOf(trust: TrustProxy): AddressOf {
  return (request) => {
    if (!request.socket.remoteAddress) return null;
    // A proxy that is trusted may still pass on what a caller made up.
    return plainAddress(proxyAddr(request, trust));
  };
}

/** The secret of an `Authorization: Bearer` header. */
export function bearerOf(request: IncomingMessage): string | null {
  return /^Bearer +(\S+)\s*$/i.exec(request.headers.authorization ?? '')?.[1] ?? null;
}

/** The cookie of that name; the first where there are several. */
export function cookieOf(request: IncomingMessage, name: string): string | null {
  for (const part of (request.headers.cookie ?? '').split(';')) {
    const [key, value] = part.trim().split('=', 2);
    if (key === name && value) return value;
  }
  return null;
}

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
  if (!/^[1-9]\d{0,15}$/.test(given))
    throw new Fault('bad_request', 'x-project-id must be the id of a project');
  return Number(given);
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
  apiLimit: Limit;
  guarded: Guarded;
}): Gate {
  return async (request, response, secret) => {
    const caller = await of.guarded(request, response, () => callerOf(of.ctx, request, of.addressOf, secret));
    await of.apiLimit(`${caller.kind} ${caller.id}`, request, response);
    return caller;
  };
}
