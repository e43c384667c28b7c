/**
 * The trigger routes: what third parties post, what people open in a browser, and the safe links.
 * They answer in a form of their own: `{"message":"success"|"Error", ...}`, or a small page for a browser.
 */

import { createHash } from 'node:crypto';
import type { Express, Request, RequestHandler, Response } from 'express';
import { authenticateKey, type KeyFacts } from '../domain/access/authenticate.ts';
import { readBase64Payload, readMembers, readPayload } from '../domain/body.ts';
import type { Context } from '../domain/context.ts';
import { Fault } from '../domain/fault.ts';
import type { Members } from '../domain/json.ts';
import {
  type Call,
  type CallOptions,
  callOfMembers,
  callOfPayload,
  readOptions,
  type TriggerCaller,
  type TriggerRequest,
} from '../domain/trigger/call.ts';
import { fireLink, openLink, previewLink } from '../domain/trigger/link.ts';
import { type Fired, fireTrigger, openTrigger, previewAction } from '../domain/trigger/trigger.ts';
import { createUnreadLog } from '../domain/trigger/trigger-log.ts';
import { createReadBytes } from './body.ts';
import type { Cors } from './cors.ts';
import { answerFaults, faultOf, type ToldFault } from './fault.ts';
import type { CountFailures, RateLimit } from './limit.ts';
import { confirmPage, donePage, faultPage } from './page.ts';
import { fromAnotherPage, reasonNotToFire } from './preview.ts';
import { type AddressOf, keysOf, queryOf, rawQueryOf, signalOf } from './request.ts';

const path = '/public-api/integration/webhooks';
const bodyBytesMax = 256 * 1_024;
const idempotencyKeyMax = 255;

type Options = {
  ctx: Context;
  addressOf: AddressOf;
  /** By key or link. */
  triggerLimit: RateLimit;
  countFailures: CountFailures;
  cors: Cors;
};

/** Who calls, and whether by a key in the URL: that one may have been opened by somebody who only looks. */
type Admitted = { caller: TriggerCaller; isKeyInUrl: boolean };

export function useTriggers(app: Express, options: Options): void {
  const { ctx, cors } = options;
  const readBytes = createReadBytes(bodyBytesMax);
  const logUnread = createUnreadLog(ctx);

  /** Who calls is settled before the body is read. */
  const authorize: RequestHandler = async (request, response, next) => {
    response.locals.admitted = await authenticate(options, request, response);
    next();
  };
  const admitted = (response: Response) => response.locals.admitted as Admitted;

  /** What `read` makes of a call; one that can't be read is refused, and its sender finds it in the trigger log. */
  async function reading<T>(request: Request, response: Response, read: () => T | Promise<T>): Promise<T> {
    try {
      return await read();
    } catch (thrown) {
      const error = faultOf(thrown);
      if (error instanceof Fault) {
        const query = new URLSearchParams(rawQueryOf(request.url));
        const { event_id, eventId } = (response.locals.members ?? {}) as Members;
        const inQuery = query.get('event_id') ?? query.get('eventId');
        const event = request.params.event_id ?? event_id ?? eventId ?? inQuery;
        const source = request.method === 'POST' ? 'post' : 'get';
        await logUnread(admitted(response).caller, { event, source }, error);
      }
      throw error;
    }
  }

  app.use([path, '/l'], cors.ofTriggers);

  app.post(path, authorize, async (request, response) => {
    const asked = await reading(request, response, async () => {
      const body = await readBytes(request, response);
      const query = queryOf(request.url);
      // A page that asked first posts the address it was opened at, with its payload.
      const given = readBase64Payload(query.payload ?? '');
      const { members: own, leftOut } = readMembers(body, request.get('content-type'));
      const members = { ...given, ...own };
      response.locals.members = members;
      const { call, options: how } = callOfMembers(members, query, leftOut);
      return requestOf(request, call, how, 'post', body);
    });
    sendFired(request, response, await fireTrigger(ctx, admitted(response).caller, asked));
  });

  app.post(`${path}/:event_id`, authorize, async (request, response) => {
    const asked = await reading(request, response, async () => {
      const body = await readBytes(request, response);
      const { payload, leftOut } = readPayload(body, request.get('content-type'));
      const eventId = String(request.params.event_id);
      const { call, options: how } = callOfPayload(eventId, payload, queryOf(request.url), leftOut);
      return requestOf(request, call, how, 'post', body);
    });
    sendFired(request, response, await fireTrigger(ctx, admitted(response).caller, asked));
  });

  // Services look so whether an address is there before they use it.
  app.head([path, `${path}/:event_id`], authorize, async (request, response) => {
    const asked = await reading(request, response, () => requestOfQuery(request));
    if (asked) await openTrigger(ctx, admitted(response).caller, asked, 'HEAD');
    response.status(request.params.event_id === undefined ? 204 : 200).end();
  });

  app.get(path, authorize, async (request, response) => {
    const { caller, isKeyInUrl } = admitted(response);
    const asked = await reading(request, response, () => {
      const read = requestOfQuery(request);
      if (!read) throw new Fault('bad_request', 'event_id is missing');
      return read;
    });
    const notMeant = isKeyInUrl ? reasonNotToFire(request.headers, trustOf(options, request)) : null;
    const opened = await openTrigger(ctx, caller, asked, notMeant);
    if ('ask' in opened) sendPreview(request, response, await previewAction(ctx, opened.ask, asked.call));
    else if (!('seen' in opened)) sendFired(request, response, await fireTrigger(ctx, caller, asked));
    // A person who came by a link on another page may press the button; a page can't.
    else if (opened.seen === fromAnotherPage && wantsPage(request))
      sendPreview(request, response, await previewAction(ctx, opened.action, asked.call));
    else response.status(204).end();
  });

  app.all([path, `${path}/:event_id`], (request, response) => {
    const allow = request.params.event_id === undefined ? 'GET, HEAD, POST' : 'HEAD, POST';
    response.setHeader('allow', allow);
    throw new Fault('method_not_allowed', `this path takes ${allow}`);
  });

  const open = (request: Request, response: Response) =>
    options.countFailures(request, response, () => openLink(ctx, String(request.params.token)));
  type OpenedLink = Awaited<ReturnType<typeof open>>;

  app.get('/l/:token', async (request, response) => {
    sendPreview(request, response, await previewLink(ctx, await open(request, response)));
  });

  const admitLink: RequestHandler = async (request, response, next) => {
    const link = await open(request, response);
    await options.triggerLimit(`link ${link.id}`, request, response);
    response.locals.link = link;
    next();
  };
  app.post('/l/:token', admitLink, async (request, response) => {
    const link = response.locals.link as OpenedLink;
    await readBytes(request, response);
    const how = readOptions(queryOf(request.url));
    const from = { address: options.addressOf(request), userAgent: request.get('user-agent') ?? null };
    const idempotency = idempotencyOf(request, Buffer.alloc(0));
    const fired = await fireLink(ctx, link, from, { ...how, idempotency, signalOf: () => signalOf(request) });
    sendFired(request, response, fired);
  });

  app.all('/l/:token', (_request, response) => {
    response.setHeader('allow', 'GET, HEAD, POST');
    throw new Fault('method_not_allowed', 'a link is opened by GET and fired by POST');
  });

  app.use(['/public-api', '/l'], () => {
    throw new Fault('not_found', 'there is no such route');
  });
  app.use(['/public-api', '/l'], answerFaults(ctx.log, sendFault));
}

/** The caller of the first of the keys that is one. */
async function authenticate(
  { ctx, addressOf, triggerLimit, countFailures }: Options,
  request: Request,
  response: Response,
): Promise<Admitted> {
  const address = addressOf(request);
  const { key, isInUrl } = await countFailures(request, response, () => firstKey(ctx, request, address));
  await triggerLimit(`key ${key.id}`, request, response);
  if (!key.scopes.has('trigger')) throw new Fault('not_allowed', 'this key may not fire triggers');
  const caller: TriggerCaller = {
    projectId: key.projectId,
    keyId: key.id,
    linkId: null,
    eventIds: key.eventIds,
    address,
    userAgent: request.get('user-agent') ?? null,
  };
  return { caller, isKeyInUrl: isInUrl };
}

async function firstKey(
  ctx: Context,
  request: Request,
  address: string | null,
): Promise<{ key: KeyFacts; isInUrl: boolean }> {
  // Made when it is needed: an error takes down where it was made, which costs more than finding the key.
  let first: Fault | null = null;
  for (const [place, { secret, isInUrl }] of keysOf(request).entries()) {
    try {
      return { key: await authenticateKey(ctx, secret, address), isInUrl };
    } catch (error) {
      if (!(error instanceof Fault) || error.code !== 'bad_key') throw error;
      if (place === 0) first = error;
    }
  }
  throw first ?? new Fault('bad_key', 'no key was given: send it as the header x-webhook-apikey');
}

/** Which pages may open the address of a trigger on purpose: ours, and those of `CORS_ORIGINS`. */
function trustOf({ ctx, cors }: Options, request: Request) {
  const own = [request.host, new URL(ctx.process.publicUrl()).host];
  return { isOwnHost: (host: string) => own.includes(host), isTrustedOrigin: cors.isTrusted };
}

/** The call in a query; null where it names no event. */
function requestOfQuery(request: Request): TriggerRequest | null {
  const query = queryOf(request.url);
  const { event_id: inPath } = request.params;
  const given = readBase64Payload(query.payload ?? '');
  const members: Members = inPath ? { ...given, event_id: inPath } : given;
  if (![members.event_id, members.eventId, query.event_id, query.eventId].some(Boolean)) return null;
  const { call, options } = callOfMembers(members, query);
  return requestOf(request, call, options, 'get', Buffer.alloc(0));
}

function requestOf(
  request: Request,
  call: Call,
  how: CallOptions,
  source: 'post' | 'get',
  body: Buffer,
): TriggerRequest {
  return {
    ...how,
    call,
    source,
    idempotency: idempotencyOf(request, body),
    signalOf: () => signalOf(request),
  };
}

/** The caller's name for this call, and a hash of what makes it this call: the address without the key, and the body. */
function idempotencyOf(request: Request, body: Buffer): TriggerRequest['idempotency'] {
  const key = request.get('idempotency-key')?.trim();
  if (!key) return null;
  if (key.length > idempotencyKeyMax) {
    throw new Fault('bad_request', `Idempotency-Key is longer than ${idempotencyKeyMax}`);
  }
  const { api_key, apiKey, ...query } = queryOf(request.url);
  const address = `${request.path} ${JSON.stringify(Object.entries(query).sort())}\n`;
  return { key, callHash: createHash('sha256').update(address).update(body).digest('hex') };
}

function sendFired(request: Request, response: Response, { answer, replayed }: Fired): void {
  if (replayed) response.setHeader('idempotent-replay', 'true');
  if (wantsPage(request)) sendPage(response, 200, donePage(answer));
  else response.set('cache-control', 'no-store').json(answer);
}

type Preview = Awaited<ReturnType<typeof previewAction>>;

/** Says what firing would do; nothing has happened. */
function sendPreview(request: Request, response: Response, preview: Preview): void {
  if (wantsPage(request)) sendPage(response, 200, confirmPage(preview));
  else response.set('cache-control', 'no-store').json({ message: 'POST here to fire', ...preview });
}

function sendPage(response: Response, status: number, html: string): void {
  response.status(status).set('cache-control', 'no-store').type('html').send(html);
}

/** Browsers like HTML best; scripts that take anything get JSON. */
function wantsPage(request: Request): boolean {
  return request.accepts(['json', 'html']) === 'html';
}

function sendFault(response: Response, { status, code, detail }: ToldFault): void {
  // What may be done instead: the routes say it themselves, an action that forbids GET does not know routes.
  if (code === 'method_not_allowed' && !response.hasHeader('allow')) response.setHeader('allow', 'POST');
  if (wantsPage(response.req)) sendPage(response, status, faultPage(code, detail));
  else response.status(status).json({ message: 'Error', error: { code, detail } });
}
