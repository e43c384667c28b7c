/** Hangs the route table into Express: who may call, how often, is the body right, then the room. */
import { pipeline } from 'node:stream/promises';
import type { Express, RequestHandler } from 'express';
import { type Caller, requireScope } from '../domain/access/caller.ts';
import { readJsonBody } from '../domain/body.ts';
import { decodeText } from '../domain/charset.ts';
import type { Context } from '../domain/context.ts';
import { Fault } from '../domain/fault.ts';
import { withPlainNumbers } from '../domain/json.ts';
import { isJsonType, readMediaType } from '../domain/media-type.ts';
import type { Gate } from './auth.ts';
import { createReadBytes } from './body.ts';
import { createContract } from './contract.ts';
import { devicesOfCsv } from './csv.ts';
import { pathNumber } from './request.ts';
import type { Route } from './route.ts';
import { routes } from './routes.ts';

const bodyBytesMax = 8 * 1_024 * 1_024;

type Options = {
  ctx: Context;
  gate: Gate;
  openApiPath: string;
  /** Answers are checked as well: for tests, since it costs as much as the request. */
  checkAnswers: boolean;
};

export function useApi(app: Express, options: Options): void {
  const contract = createContract(options.openApiPath);
  const readBytes = createReadBytes(bodyBytesMax);

  const authorize =
    (route: Route): RequestHandler =>
    async (request, response, next) => {
      const caller = await options.gate(request, response);
      if (route.scopes.length > 0) requireScope(caller, ...route.scopes);
      response.locals.caller = caller;
      next();
    };

  const answer =
    (route: Route): RequestHandler =>
    async (request, response) => {
      const { method } = route;
      const path = route.path.replaceAll(/:(\w+)/g, '{$1}');
      const caller = response.locals.caller as Caller;
      const contentType = request.get('content-type');
      const given = readGiven(contract.mediaTypes(method, path), caller, {
        bytes: await readBytes(request, response),
        contentType,
      });
      const query = contract.checkRequest({
        method,
        path,
        query: request.query,
        mediaType: readMediaType(contentType).type,
        body: withPlainNumbers(given),
      });
      const { status, body, headers, parts } = await route.handle({
        ctx: options.ctx,
        caller,
        request,
        text: (name) => String(request.params[name]),
        number: (name) => pathNumber(request, name),
        body: typeof given === 'string' ? devicesOfCsv(given) : given,
        query,
      });
      if (options.checkAnswers && !parts) contract.checkAnswer({ method, path, status, body });
      response.status(status).set('cache-control', 'no-store');
      for (const [name, value] of Object.entries(headers ?? {})) response.setHeader(name, value);
      if (parts) await pipeline(parts, response);
      else if (body === undefined) response.end();
      else response.json(body);
    };

  for (const route of routes) {
    app[route.method](route.path, authorize(route), answer(route));
  }
  const byPath = Map.groupBy(routes, (route) => route.path);
  for (const [path, known] of byPath) {
    const allow = known.map((route) => route.method.toUpperCase()).join(', ');
    app.all(path, (_request, response) => {
      response.setHeader('allow', allow);
      throw new Fault('method_not_allowed', `this path takes ${allow}`);
    });
  }
  app.use('/api', () => {
    throw new Fault('not_found', 'there is no such route');
  });
}

/** JSON as its value and a table as its text; undefined where there is none, or none is wanted. */
function readGiven(
  mediaTypes: readonly string[],
  caller: Caller,
  { bytes, contentType }: { bytes: Uint8Array; contentType: string | undefined },
): unknown {
  const { type, charset } = readMediaType(contentType);
  if (mediaTypes.length === 0 || bytes.length === 0) return undefined;
  if (type === 'text/csv' && mediaTypes.includes(type)) return decodeText(bytes, charset).text;
  // Without a type a key may send JSON all the same. A session's request may be the doing of a page, which can send
  // anything but this one type.
  const isJson = type === null ? caller.kind === 'key' : isJsonType(type);
  if (!isJson) throw new Fault('unsupported_media_type', `send ${mediaTypes.join(' or ')}`);
  return readJsonBody(bytes, contentType ?? 'application/json');
}
