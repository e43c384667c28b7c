/** MODE's way to a command webhook: `PUT /homes/{homeId}/smartModules/{moduleId}/command` (seed 001). */
import type { Express } from 'express';
import type { Caller } from '../../domain/access/caller.ts';
import { readJsonBody } from '../../domain/body.ts';
import type { Context } from '../../domain/context.ts';
import { sendCommand } from '../../domain/webhook/module-command.ts';
import type { Gate } from '../auth.ts';
import { createReadBytes } from '../body.ts';
import { answerFaults } from '../fault.ts';
import { pathNumber } from '../request.ts';

const path = '/homes/:homeId/smartModules/:moduleId/command';
const bodyBytesMax = 256 * 1_024;

export function useModeModules(app: Express, { ctx, gate }: { ctx: Context; gate: Gate }): void {
  const readBytes = createReadBytes(bodyBytesMax);

  app.put(
    path,
    async (request, response, next) => {
      const token = /^(?:ModeCloud|Bearer) +(\S+)\s*$/i.exec(request.get('authorization') ?? '')?.[1] ?? null;
      response.locals.caller = await gate(request, response, token);
      next();
    },
    async (request, response) => {
      const body = await readBytes(request, response);
      await sendCommand(ctx, response.locals.caller as Caller, {
        homeId: pathNumber(request, 'homeId'),
        moduleId: String(request.params.moduleId),
        command: readJsonBody(body, request.get('content-type')),
      });
      response.status(204).end();
    },
  );

  // MODE's own form of errors; it answers 403 where data is invalid.
  app.use(
    '/homes',
    answerFaults(ctx.log, (response, { status, code, detail }) => {
      response
        .status(status === 400 || status === 415 || status === 422 ? 403 : status)
        .json({ reason: code.toUpperCase(), data: { detail } });
    }),
  );
}
