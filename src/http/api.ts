/** Hangs the route table into Express: who may call, how often, is the body right, then the room. */
import { pipeline } from 'node:stream/promises';
import { parse as parseCsv } from 'csv-parse/sync';
import express, {
  type Express,
  type NextFunction,
  type Request,
  type RequestHandler,
  type Response,
} from 'express';
import { type Caller, requireScope } from '../domain/access/caller.ts';
import type { Context } from '../domain/context.ts';
import { requireShallow } from '../domain/depth.ts';
import { Fault } from '../domain/fault.ts';
import type { Gate } from './auth.ts';
import { createContract } from './contract.ts';
import { sendProblem } from './fault.ts';
import type { Route } from './route.ts';
import { numberOf, routes } from './routes.ts';
import { mediaTypeOf } from './trigger-body.ts';

const bodyBytesMax = 8 * 1_024 * 1_024;

type Options = {
  ctx: Context;
  gate: Gate;
  openApiPath: string;
  /** Answers are checked as well: for tests, since it costs as much as the request. */
  checkAnswers: boolean;
};

export function useApi(app: Express, options: Options): void {
  const callers = new WeakMap<Request, Caller>();
  const contract = createContract(options.openApiPath);
  const readBody = [
    express.json({ limit: bodyBytesMax, verify: (_request, _response, bytes) => requireShallow(bytes) }),
    express.text({ type: 'text/csv', limit: bodyBytesMax }),
  ];

  const authorize =
    (route: Route): RequestHandler =>
    async (request, response, next) => {
      const caller = await options.gate(request, response);
      if (route.scopes.length > 0) requireScope(caller, ...route.scopes);
      callers.set(request, caller);
      next();
    };

  const answer =
    (route: Route): RequestHandler =>
    async (request, response) => {
      const caller = callers.get(request);
      if (!caller) throw new Error('a route ran without its caller');
      const path = route.path.replaceAll(/:(\w+)/g, '{$1}');
      const { status, body, headers, parts } = await route.handle({
        ctx: options.ctx,
        caller,
        request,
        text: (name) => String(request.params[name]),
        number: (name) => numberOf(String(request.params[name])),
        body: typeof request.body === 'string' ? devicesOfCsv(request.body) : request.body,
        query: contract.checkRequest({
          method: route.method,
          path,
          query: request.query,
          mediaType: mediaTypeOf(request.get('content-type')),
          body: request.body as unknown,
        }),
      });
      if (options.checkAnswers && !parts) contract.checkAnswer({ method: route.method, path, status, body });
      response.status(status).set('cache-control', 'no-store');
      for (const [name, value] of Object.entries(headers ?? {})) response.setHeader(name, value);
      if (parts) await pipeline(parts, response);
      else if (body === undefined) response.end();
      else response.json(body);
    };

  for (const route of routes) {
    app[route.method](route.path, authorize(route), ...readBody, answer(route));
  }
  const byPath = Map.groupBy(routes, (route) => route.path);
  for (const [path, known] of byPath) {
    const allow = known.map((route) => route.method.toUpperCase()).join(', ');
    app.all(path, (_request: Request, response: Response, _next: NextFunction) => {
      response.setHeader('allow', allow);
      sendProblem(response, new Fault('method_not_allowed', `this path takes ${allow}`));
    });
  }
  app.use('/api', () => {
    throw new Fault('not_found', 'there is no such route');
  });
}

/** A table of devices: name, group_id or group, type, tags (parted by semicolons), metadata (JSON). */
function devicesOfCsv(text: string): unknown {
  let rows: Record<string, string>[];
  try {
    rows = parseCsv(text, { columns: true, trim: true, bom: true, skip_empty_lines: true });
  } catch (error) {
    throw new Fault('bad_request', `the body is not CSV: ${(error as Error).message}`);
  }
  return rows.map((row, place) => {
    const { tags, metadata, ...rest } = row;
    const filled = Object.fromEntries(Object.entries(rest).filter(([, value]) => value !== ''));
    return {
      ...filled,
      ...(tags
        ? {
            tags: tags
              .split(';')
              .map((tag) => tag.trim())
              .filter(Boolean),
          }
        : {}),
      ...(metadata ? { metadata: parseMetadata(metadata, place) } : {}),
    };
  });
}

function parseMetadata(text: string, place: number): unknown {
  requireShallow(Buffer.from(text));
  try {
    return JSON.parse(text) as unknown;
  } catch {
    throw new Fault('bad_request', `line ${place + 2}: metadata is not JSON`);
  }
}
