/** MODE's way to a command webhook: `PUT /homes/{homeId}/smartModules/{moduleId}/command` (seed 001). */
import express, { type ErrorRequestHandler, type Express } from 'express';
import type { Context } from '../domain/context.ts';
import { requireShallow } from '../domain/depth.ts';
import { describeFault } from '../domain/fault.ts';
import { sendCommand } from '../domain/webhook/module-command.ts';
import type { Gate } from './auth.ts';
import { faultOf, logFault, setRetryAfter, statusOf } from './fault.ts';
import { numberOf } from './routes.ts';

const path = '/homes/:homeId/smartModules/:moduleId/command';
const bodyBytesMax = 256 * 1_024;

export function useModeModules(app: Express, { ctx, gate }: { ctx: Context; gate: Gate }): void {
  const readBody = express.raw({ type: () => true, limit: bodyBytesMax });
  app.put(path, readBody, async (request, response) => {
    const token = /^(?:ModeCloud|Bearer) +(\S+)\s*$/i.exec(request.get('authorization') ?? '')?.[1] ?? null;
    const caller = await gate(request, response, token);
    const body = Buffer.isBuffer(request.body) ? request.body : Buffer.alloc(0);
    requireShallow(body);
    const homeId = numberOf(String(request.params.homeId));
    await sendCommand(ctx, caller, { homeId, moduleId: String(request.params.moduleId), json: body });
    response.status(204).end();
  });
  app.use('/homes', modeErrors(ctx));
}

/** MODE's own form of errors; it answers 403 where data is invalid. */
function modeErrors(ctx: Context): ErrorRequestHandler {
  return (error, _request, response, next) => {
    const fault = faultOf(error);
    logFault(ctx.log, fault, path);
    if (response.headersSent) return next(error);
    const { code, detail } = describeFault(fault);
    setRetryAfter(response, fault);
    const status = statusOf(fault);
    if (status === 401) response.setHeader('www-authenticate', 'Bearer');
    response
      .status(status === 400 || status === 422 ? 403 : status)
      .json({ reason: code.toUpperCase(), data: { detail } });
  };
}
