/** What is read out of a request before anybody knows what it means: where from, with which key, cookie, query and numbers. */
import type { IncomingMessage } from 'node:http';
import type { Request } from 'express';
import proxyAddr from 'proxy-addr';
import { Fault } from '../domain/fault.ts';
import { membersOf, readQuery } from '../domain/form.ts';
import { plainAddress } from '../network.ts';

export type AddressOf = (request: IncomingMessage) => string | null;
export type TrustProxy = (address: string, hop: number) => boolean;

/** The caller's own address behind the proxies that are trusted. */
export function createAddressOf(trust: TrustProxy): AddressOf {
  return (request) => {
    if (!request.socket.remoteAddress) return null;
    // Proxies write addresses with ports and in brackets, and a trusted one may still pass on what a caller made up.
    const trustPlain: TrustProxy = (address, hop) => trust(plainAddress(address) ?? address, hop);
    return plainAddress(proxyAddr(request, trustPlain));
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

/** The query as names and values; the first where a name stands twice. Throws `bad_request` when it is no UTF-8. */
export function queryOf(url: string): Record<string, string> {
  return membersOf(readQuery(rawQueryOf(url))).members;
}

/** The part of a URL behind the question mark. */
export function rawQueryOf(url: string): string {
  const mark = url.indexOf('?');
  return mark < 0 ? '' : url.slice(mark + 1);
}

/** The query as Express has it: a name that stands twice has a list. Throws `bad_request` when it is no UTF-8. */
export function parseQuery(text: string | null): Record<string, string | string[]> {
  const values = Map.groupBy(readQuery(text ?? ''), ([name]) => name);
  return Object.fromEntries(
    [...values].map(([name, fields]) => {
      const [first = '', ...others] = fields.map(([, value]) => value);
      return [name, others.length > 0 ? [first, ...others] : first];
    }),
  );
}

/** A key as it was presented; one in the URL may have been opened by somebody who only looks. */
export type PresentedKey = { secret: string; isInUrl: boolean };

/** The keys of a trigger in every place that one may stand in, in the order in which they count. Blanks don't. */
export function keysOf(request: IncomingMessage): PresentedKey[] {
  const inHeaders = [...headersOf(request, 'x-webhook-apikey'), bearerOf(request) ?? ''];
  const inUrl = keysInQuery(rawQueryOf(request.url ?? ''));
  const keys = [inHeaders, inUrl].flatMap((secrets, place) =>
    [...new Set(secrets.map((secret) => secret.trim()))]
      .filter(Boolean)
      .map((secret) => ({ secret, isInUrl: place === 1 })),
  );
  return keys.slice(0, keysMax);
}

function keysInQuery(text: string): string[] {
  if (text === '') return [];
  const query = new URLSearchParams(text);
  return [...query.getAll('api_key'), ...query.getAll('apiKey')];
}

/** The values of a header; Node joins those of one that stands twice, and to part them costs more than to look. */
function headersOf(request: IncomingMessage, name: string): string[] {
  const joined = String(request.headers[name] ?? '');
  return joined.includes(',') ? (request.headersDistinct[name] ?? []) : [joined];
}

/** More places than there are for a key are an attempt to guess one. */
const keysMax = 4;

/** The body as bytes, where it was read as such; a request without one has none. */
export function bytesOf(request: Request): Buffer {
  return Buffer.isBuffer(request.body) ? request.body : Buffer.alloc(0);
}

/** The number of something of ours, as a path or header holds it; null for what can be none. */
export function readNumber(text: string): number | null {
  if (!/^[1-9]\d{0,15}$/.test(text)) return null;
  const number = Number(text);
  return Number.isSafeInteger(number) ? number : null;
}

/** A part of the path that must be a number: nothing is there under any other. */
export function pathNumber(request: Request, name: string): number {
  const number = readNumber(String(request.params[name]));
  if (number === null) throw new Fault('not_found', 'there is no such thing');
  return number;
}

/** Aborts when the caller hangs up before it was answered. */
export function signalOf(request: Request): AbortSignal {
  const controller = new AbortController();
  request.res?.once('close', () => controller.abort());
  return controller.signal;
}
