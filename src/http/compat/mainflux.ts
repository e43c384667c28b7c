/**
 * Mainflux's webhook service (seed 003), at its own paths, with and without the prefix of its gateway. `DELETE /webhooks`
 * is what its documents say, `PATCH` what its clients send. Creating answers `{"webhooks": [...]}` as the product does,
 * or the bare list of the documents when `Accept-Version: seed` asks for it.
 */
import type { Express, Request, RequestHandler, Response } from 'express';
import { type Caller, requireScope, type Scope } from '../../domain/access/caller.ts';
import { readJsonBody } from '../../domain/body.ts';
import type { Context } from '../../domain/context.ts';
import { Fault } from '../../domain/fault.ts';
import { readMediaType } from '../../domain/media-type.ts';
import {
  createThingWebhooks,
  getThingWebhook,
  listGroupWebhooks,
  listThingWebhooks,
  removeThingWebhooks,
  replaceThingWebhook,
} from '../../domain/webhook/thing-webhook.ts';
import type { Gate } from '../auth.ts';
import { createReadBytes } from '../body.ts';
import { answerFaults } from '../fault.ts';
import { readNumber } from '../request.ts';

const prefixes = ['/svcwebhooks', ''];
const bodyBytesMax = 1_024 * 1_024;

type Room = (caller: Caller, request: Request, response: Response) => Promise<void>;

export function useMainfluxWebhooks(app: Express, { ctx, gate }: { ctx: Context; gate: Gate }): void {
  const readBytes = createReadBytes(bodyBytesMax);
  const readBody: RequestHandler = async (request, response, next) => {
    const contentType = request.get('content-type');
    if (readMediaType(contentType).type !== 'application/json')
      throw new Fault('unsupported_media_type', 'send application/json');
    request.body = readJsonBody(await readBytes(request, response), contentType);
    next();
  };
  // Mainflux's own form of errors. What ours would call unprocessable is bad input there.
  const errors = answerFaults(ctx.log, (response, { status, detail }) => {
    response.status(status === 422 ? 400 : status).json({ error: detail });
  });
  const authorize =
    (scope: Scope): RequestHandler =>
    async (request, response, next) => {
      const caller = await gate(request, response);
      requireScope(caller, scope);
      response.locals.caller = caller;
      // Headers of webhooks are other people's credentials.
      response.set('cache-control', 'no-store');
      next();
    };
  const enter =
    (room: Room): RequestHandler =>
    (request, response) =>
      room(response.locals.caller as Caller, request, response);
  const read = (room: Room) => [authorize('read'), enter(room), errors];
  const write = (room: Room) => [authorize('manage'), readBody, enter(room), errors];

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
      await removeThingWebhooks(ctx, caller, request.body);
      response.status(204).end();
    });
    app.delete(`${prefix}/webhooks`, remove);
    app.patch(`${prefix}/webhooks`, remove);
  }
}

/** The number in the path; null for what can't be one. */
function idOf(request: Request): number | null {
  return readNumber(String(request.params.id));
}
