/**
 * Mainflux's webhook service (seed 003), at its own paths, with and without the prefix of its gateway. `DELETE /webhooks`
 * is what its documents say, `PATCH` what its clients send. Creating answers `{"webhooks": [...]}` as the product does,
 * or the bare list of the documents when `Accept-Version: seed` asks for it.
 */
import express, {
  type ErrorRequestHandler,
  type Express,
  type Request,
  type RequestHandler,
  type Response,
} from 'express';
import { type Caller, requireScope, type Scope } from '../domain/access/caller.ts';
import type { Context } from '../domain/context.ts';
import { requireShallow } from '../domain/depth.ts';
import { describeFault, Fault } from '../domain/fault.ts';
import {
  createThingWebhooks,
  deleteThingWebhooks,
  getThingWebhook,
  listGroupWebhooks,
  listThingWebhooks,
  replaceThingWebhook,
} from '../domain/webhook/thing-webhook.ts';
import type { Gate } from './auth.ts';
import { faultOf, logFault, setRetryAfter, statusOf } from './fault.ts';
import { mediaTypeOf } from './trigger-body.ts';

const prefixes = ['/svcwebhooks', ''];
const bodyBytesMax = 1_024 * 1_024;

type Room = (caller: Caller, request: Request, response: Response) => Promise<void>;

export function useMainfluxWebhooks(app: Express, { ctx, gate }: { ctx: Context; gate: Gate }): void {
  const readJson: RequestHandler[] = [
    (request, _response, next) => {
      if (mediaTypeOf(request.get('content-type')) !== 'application/json')
        throw new Fault('unsupported_media_type', 'send application/json');
      next();
    },
    express.json({ limit: bodyBytesMax, verify: (_request, _response, bytes) => requireShallow(bytes) }),
  ];
  const errors = mainfluxErrors(ctx);
  const as =
    (scope: Scope, room: Room): RequestHandler =>
    async (request, response) => {
      const caller = await gate(request, response);
      requireScope(caller, scope);
      // Headers of webhooks are other people's credentials.
      response.set('cache-control', 'no-store');
      await room(caller, request, response);
    };
  const read = (room: Room) => [as('read', room), errors];
  const write = (room: Room) => [...readJson, as('manage', room), errors];

  for (const prefix of prefixes) {
    app.post(
      `${prefix}/things/:id/webhooks`,
      write(async (caller, request, response) => {
        const webhooks = await createThingWebhooks(ctx, caller, idOf(request), request.body);
        response.status(201).json(request.get('accept-version') === 'seed' ? webhooks : { webhooks });
      }),
    );
    app.get(
      `${prefix}/things/:id/webhooks`,
      read(async (caller, request, response) => {
        response.json(await listThingWebhooks(ctx, caller, idOf(request), request.query));
      }),
    );
    app.get(
      `${prefix}/groups/:id/webhooks`,
      read(async (caller, request, response) => {
        response.json(await listGroupWebhooks(ctx, caller, idOf(request), request.query));
      }),
    );
    app.get(
      `${prefix}/webhooks/:id`,
      read(async (caller, request, response) => {
        response.json(await getThingWebhook(ctx, caller, String(request.params.id)));
      }),
    );
    app.put(
      `${prefix}/webhooks/:id`,
      write(async (caller, request, response) => {
        await replaceThingWebhook(ctx, caller, String(request.params.id), request.body);
        response.status(200).end();
      }),
    );
    const remove = write(async (caller, request, response) => {
      await deleteThingWebhooks(ctx, caller, request.body);
      response.status(204).end();
    });
    app.delete(`${prefix}/webhooks`, remove);
    app.patch(`${prefix}/webhooks`, remove);
  }
}

/** The number in the path; null for what can't be one. */
function idOf(request: Request): number | null {
  const { id } = request.params;
  return /^[1-9]\d{0,15}$/.test(String(id)) ? Number(id) : null;
}

/** Mainflux's own form of errors. What ours would call unprocessable is bad input there. */
function mainfluxErrors(ctx: Context): ErrorRequestHandler {
  return (error, request, response, next) => {
    const fault = faultOf(error);
    logFault(ctx.log, fault, `${request.method} ${request.route?.path ?? ''}`);
    if (response.headersSent) return next(error);
    setRetryAfter(response, fault);
    const status = statusOf(fault);
    if (status === 401) response.setHeader('www-authenticate', 'Bearer');
    response.status(status === 422 ? 400 : status).json({ error: describeFault(fault).detail });
  };
}
