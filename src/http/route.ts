/** What a line of the route table is made of. */
import type { Request } from 'express';
import type { Caller, Scope } from '../domain/access/caller.ts';
import type { Context } from '../domain/context.ts';

export type Call = {
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
  handle: (call: Call) => Promise<Answer>;
};
