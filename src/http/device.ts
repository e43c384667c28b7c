/**
 * Devices that speak plain HTTP: `PUT /devices/{id}/event`, `POST /devices/{id}/bulkData/{label}`,
 * `POST /messages[/{subtopic}]`. A device presents its token as `Thing`, `ModeCloud` or `Bearer`; a program with a key
 * of the scope `publish` may speak for any device of its project.
 */

import type { Express, Request, Response } from 'express';
import { requireScope } from '../domain/access/caller.ts';
import { toUtf8 } from '../domain/charset.ts';
import type { Context } from '../domain/context.ts';
import { authenticateDevice } from '../domain/device/connection.ts';
import { createFloods } from '../domain/device/flood.ts';
import { type Sender, senderOf } from '../domain/event/origin.ts';
import { Fault } from '../domain/fault.ts';
import {
  messageBytesMax,
  publishBulk,
  publishEventJson,
  publishMessageBytes,
} from '../domain/intake/publish.ts';
import { isJsonType, isTextType, readMediaType } from '../domain/media-type.ts';
import { callerOf } from './auth.ts';
import { createReadBytes } from './body.ts';
import type { Cors } from './cors.ts';
import type { CountFailures } from './limit.ts';
import { type AddressOf, pathNumber } from './request.ts';

type Options = {
  ctx: Context;
  addressOf: AddressOf;
  countFailures: CountFailures;
  cors: Cors;
};

export function useDeviceDoor(app: Express, options: Options): void {
  const { ctx } = options;
  const floods = createFloods(() => performance.now());
  const readBytes = createReadBytes(messageBytesMax);

  /** Who speaks is settled before the body is read. */
  const identify = async (request: Request, response: Response, next: () => void) => {
    const id = request.params.id === undefined ? null : pathNumber(request, 'id');
    response.locals.sender = await options.countFailures(request, response, () =>
      senderOfRequest(options, request, id),
    );
    next();
  };
  const said = async (
    request: Request,
    response: Response,
  ): Promise<{ sender: Sender; body: Uint8Array }> => {
    const sender = response.locals.sender as Sender;
    const body = await readBytes(request, response);
    if (!floods.take(sender.device.id, body.length))
      throw new Fault('too_many', 'the device sends too fast', { retryAfter: 1 });
    return { sender, body };
  };

  app.use(['/devices', '/messages'], options.cors.ofDevices);

  app.put('/devices/:id/event', identify, async (request, response) => {
    const { sender, body } = await said(request, response);
    await publishEventJson(ctx, sender, toUtf8(body, readMediaType(request.get('content-type')).charset));
    response.status(204).end();
  });
  app.post('/devices/:id/bulkData/:label', identify, async (request, response) => {
    const { sender, body } = await said(request, response);
    await publishBulk(ctx, sender, String(request.params.label), body);
    response.status(202).end();
  });
  app.post(['/messages', '/messages/*subtopic'], identify, async (request, response) => {
    const { sender, body } = await said(request, response);
    const { type, charset } = readMediaType(request.get('content-type'));
    // Under a type that says no more than "text" or "bytes" a message is what it is over MQTT, which has no types.
    const mediaType = type !== null && (isJsonType(type) || !isTextType(type)) ? type : null;
    const isText = charset !== null || (mediaType !== null && isJsonType(mediaType));
    const bytes = isText ? toUtf8(body, charset) : body;
    await publishMessageBytes(ctx, sender, { type: subtopicOf(request), mediaType, bytes });
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
