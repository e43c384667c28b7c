/** Hangs the route table into Express: who may call, how often, is the body right, then the room. */
import { pipeline } from 'node:stream/promises';
import express, { type Express, type RequestHandler } from 'express';
import { type Caller, requireScope } from '../domain/access/caller.ts';
import type { Context } from '../domain/context.ts';
import { Fault } from '../domain/fault.ts';
import { requireShallow } from '../domain/json.ts';
import type { Gate } from './auth.ts';
import { createContract } from './contract.ts';
import { devicesOfCsv } from './csv.ts';
import { mediaTypeOf, pathNumber } from './request.ts';
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
  const readBody = [
    express.json({ limit: bodyBytesMax, verify: (_request, _response, bytes) => requireShallow(bytes) }),
    express.text({ type: 'text/csv', limit: bodyBytesMax }),
  ];

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
      const path = route.path.replaceAll(/:(\w+)/g, '{$1}');
      const given: unknown = request.body;
      const query = contract.checkRequest({
        method: route.method,
        path,
        query: request.query,
        mediaType: mediaTypeOf(request.get('content-type')),
        body: given,
      });
      const { status, body, headers, parts } = await route.handle({
        ctx: options.ctx,
        caller: response.locals.caller as Caller,
        request,
        text: (name) => String(request.params[name]),
        number: (name) => pathNumber(request, name),
        body: typeof given === 'string' ? devicesOfCsv(given) : given,
        query,
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
    app.all(path, (_request, response) => {
      response.setHeader('allow', allow);
      throw new Fault('method_not_allowed', `this path takes ${allow}`);
    });
  }
  app.use('/api', () => {
    throw new Fault('not_found', 'there is no such route');
  });
}
