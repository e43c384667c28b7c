/** What a line of the route table is made of. */
import type { Request } from 'express';
import type { Caller, Scope } from '../domain/access/caller.ts';
import type { Context } from '../domain/context.ts';

export type RouteCall = {
  ctx: Context;
  caller: Caller;
  request: Request;
  /** A part of the path, as text. */
  text(name: string): string;
  /** A part of the path that is a number; anything else is `not_found`, as no such thing can exist. */
  number(name: string): number;
  body: unknown;
  query: unknown;
};
export type Answer = {
  status: number;
  body?: unknown;
  headers?: Record<string, string>;
  /** Bytes in place of a JSON body, a part at a time. */
  parts?: AsyncIterable<Uint8Array>;
};
export type Method = 'get' | 'post' | 'patch' | 'delete';
export type Route = {
  method: Method;
  path: string;
  /** The caller needs one of them. */
  scopes: readonly Scope[];
  handle: (call: RouteCall) => Promise<Answer>;
};

export function route(
  method: Method,
  path: string,
  scopes: readonly Scope[],
  handle: Route['handle'],
): Route {
  return { method, path: `/api/v1${path}`, scopes, handle };
}

type Room = (call: RouteCall) => Promise<unknown>;

/** Answers 200 with what the room brings. */
export function ok(room: Room): Route['handle'] {
  return async (call) => ({ status: 200, body: await room(call) });
}

/** Answers 201 with what the room has made. */
export function created(room: Room): Route['handle'] {
  return async (call) => ({ status: 201, body: await room(call) });
}

/** Answers 204 when the room is done. */
export function gone(room: Room): Route['handle'] {
  return async (call) => {
    await room(call);
    return { status: 204 };
  };
}
