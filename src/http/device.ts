/**
 * Devices that speak plain HTTP: `PUT /devices/{id}/event`, `POST /devices/{id}/bulkData/{label}`,
 * `POST /messages[/{subtopic}]`. A device presents its token as `Thing`, `ModeCloud` or `Bearer`; a program with a key
 * of the scope `publish` may speak for any device of its project.
 */

import express, { type Express, type Request, type Response } from 'express';
import { requireScope } from '../domain/access/caller.ts';
import type { Context } from '../domain/context.ts';
import { authenticateDevice } from '../domain/device/connection.ts';
import { createFloods } from '../domain/device/flood.ts';
import { isJsonType } from '../domain/event/event.ts';
import { type Sender, senderOf } from '../domain/event/origin.ts';
import { Fault } from '../domain/fault.ts';
import {
  messageBytesMax,
  publishBulk,
  publishEventJson,
  publishMessageBytes,
} from '../domain/intake/publish.ts';
import { callerOf } from './auth.ts';
import type { CountFailures } from './limit.ts';
import { type AddressOf, bytesOf, mediaTypeOf, pathNumber } from './request.ts';

type Options = {
  ctx: Context;
  addressOf: AddressOf;
  countFailures: CountFailures;
};

const messageTypes = 'send application/json, application/senml+json or application/senml+cbor';

export function useDeviceDoor(app: Express, options: Options): void {
  const { ctx } = options;
  const floods = createFloods(() => performance.now());
  const readBody = express.raw({ type: () => true, limit: messageBytesMax });

  /** Who speaks is settled before the body is read. */
  const identify = async (request: Request, response: Response, next: () => void) => {
    const id = request.params.id === undefined ? null : pathNumber(request, 'id');
    response.locals.sender = await options.countFailures(request, response, () =>
      senderOfRequest(options, request, id),
    );
    next();
  };
  const said = (request: Request, response: Response): { sender: Sender; body: Uint8Array } => {
    const sender = response.locals.sender as Sender;
    const body = bytesOf(request);
    if (!floods.take(sender.device.id, body.length))
      throw new Fault('too_many', 'the device sends too fast', { retryAfter: 1 });
    return { sender, body };
  };

  app.put('/devices/:id/event', identify, readBody, async (request, response) => {
    const { sender, body } = said(request, response);
    await publishEventJson(ctx, sender, body);
    response.status(204).end();
  });
  app.post('/devices/:id/bulkData/:label', identify, readBody, async (request, response) => {
    const { sender, body } = said(request, response);
    await publishBulk(ctx, sender, String(request.params.label), body);
    response.status(202).end();
  });
  app.post(['/messages', '/messages/*subtopic'], identify, readBody, async (request, response) => {
    const { sender, body } = said(request, response);
    const mediaType = mediaTypeOf(request.get('content-type'));
    if (mediaType === null || !(isJsonType(mediaType) || mediaType === 'application/senml+cbor'))
      throw new Fault('unsupported_media_type', messageTypes);
    await publishMessageBytes(ctx, sender, { type: subtopicOf(request), mediaType, bytes: body });
    response.status(202).end();
  });
}

/** The parts of the path behind `/messages`, with dots between them: the type of the message. */
function subtopicOf(request: Request): string | null {
  const parts = (request.params as { subtopic?: string | string[] }).subtopic;
  if (parts === undefined) return null;
  const subtopic = Array.isArray(parts) ? parts.join('/') : parts;
  if (/[*>]/.test(subtopic)) throw new Fault('bad_request', 'a subtopic has no wildcards');
  return subtopic.split('/').filter(Boolean).join('.') || null;
}

async function senderOfRequest(
  { ctx, addressOf }: Options,
  request: Request,
  deviceId: number | null,
): Promise<Sender> {
  const given = /^(Thing|ModeCloud|Bearer) +(\S+)\s*$/i.exec(request.get('authorization') ?? '');
  const token = given?.[2] ?? null;
  if (token?.startsWith('fhd_') || deviceId === null || given?.[1]?.toLowerCase() === 'thing') {
    const device = await authenticateDevice(ctx, token);
    if (deviceId !== null && device.id !== deviceId)
      throw new Fault('not_allowed', 'a device speaks for itself alone');
    return { device, address: addressOf(request) };
  }
  const caller = await callerOf(ctx, request, addressOf, token);
  requireScope(caller, 'publish');
  return senderOf(ctx, caller, deviceId);
}
