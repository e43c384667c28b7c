/**
 * What a webhook's request says: headers and body, made anew for every attempt from the event and the webhook as they
 * are then. What can't be made is a `Fault`, and nothing is sent.
 */

import type { Context } from '../context.ts';
import { bodyOf, wholeBodyOf } from '../event/body.ts';
import { payloadOf, type StoredEvent } from '../event/event.ts';
import { Fault } from '../fault.ts';
import { instant } from '../input.ts';
import { isJsonType } from '../media-type.ts';
import type { Template } from '../template.ts';
import type { ReadyWebhook } from '../webhook/ready-webhook.ts';
import { createSigner, type Signer } from '../webhook/signature.ts';
import { headerValueOf, renderWebhook } from '../webhook/template.ts';
import type { OutgoingRequest } from './attempt.ts';

/** What a template may grow to when it is filled. */
const bodyCharactersMax = 4 * 1_024 * 1_024;
const headerCharactersMax = 4_096;
const jsonType = 'application/json';

/** Who said it, when and where, in the words of MODE's webhooks. */
function aboutOf(event: StoredEvent): Record<string, unknown> {
  const { device, key, user, home_id } = event.origin;
  return {
    timestamp: instant(event.at),
    homeId: home_id ?? device?.group_id ?? 0,
    ...(device
      ? {
          originDeviceId: device.id,
          ...(device.class === null ? {} : { originDeviceClass: device.class }),
          ...(device.ip === null ? {} : { originDeviceIp: device.ip }),
        }
      : {}),
    ...(user ? { originUserId: user.id } : {}),
    ...(key ? { originProjectKeyID: key.id, originProjectKeyName: key.name } : {}),
  };
}

const eventTypeOf = (event: StoredEvent): string => event.type ?? event.label ?? event.kind;

/** An event as templates look into it. */
function scopeOf(event: StoredEvent, data: unknown): Record<string, unknown> {
  return { eventType: eventTypeOf(event), eventData: data ?? {}, ...aboutOf(event) };
}

/** An event the way MODE's webhooks tell it; what was said is put in by its own text, so that it stays exact. */
function envelopeOf(event: StoredEvent, said: string): string {
  const about = JSON.stringify(aboutOf(event)).slice(1);
  if (event.kind === 'command') return `${said.slice(0, -1)},${about}`;
  return `{"eventType":${JSON.stringify(eventTypeOf(event))},"eventData":${said},${about}`;
}

type Body = { mediaType: string; bytes: number; content: OutgoingRequest['body'] };

const textBody = (mediaType: string, text: string): Body => ({
  mediaType,
  bytes: Buffer.byteLength(text),
  content: text,
});

/**
 * The request for one attempt. `id` is the delivery's, the same at every attempt. Throws `too_large` for a template
 * that grows without measure and `bad_request` for a body that is not JSON where JSON is announced.
 */
export async function requestOf(
  ctx: Pick<Context, 'db' | 'now'>,
  webhook: ReadyWebhook,
  event: StoredEvent,
  id: string,
): Promise<OutgoingRequest> {
  const isCommand = event.kind === 'command';
  const url = isCommand ? webhook.commandUrl : webhook.url;
  if (url === null) throw new Fault('bad_request', 'the webhook has no command_url');
  const isTemplated = !isCommand && event.kind !== 'bulk' && (webhook.body !== null || webhook.isTemplated);
  const scope = isTemplated ? scopeOf(event, payloadOf(event, await wholeBodyOf(ctx.db, event))) : {};
  const headers = isCommand ? {} : headersOf(webhook.headers, scope);
  const given = Object.keys(headers).find((name) => name.toLowerCase() === 'content-type');
  const announced = given === undefined ? null : mediaTypeOf(headers[given] ?? '');
  const body =
    webhook.body !== null && isTemplated
      ? templatedBody(webhook.body, announced, scope)
      : await plainBody(ctx, event);

  const now = ctx.now();
  const signer = signerOf(webhook, webhook.secretsAt(now, isCommand), { id, now, url });
  if (webhook.scheme !== 'none') {
    if (typeof body.content === 'function') for await (const part of body.content()) signer.update(part);
    else signer.update(body.content);
  }
  return {
    receiver: url,
    url,
    headers: {
      ...(given === undefined ? { 'content-type': body.mediaType } : {}),
      ...headers,
      ...(webhook.scheme === 'mode' && event.kind === 'bulk' ? identityHeaders(webhook, event) : {}),
      'webhook-id': id,
      ...signer.headers(),
    },
    body: body.content,
    bodyBytes: body.bytes,
  };
}

function signerOf(
  { scheme }: ReadyWebhook,
  secrets: string[],
  { id, now, url }: { id: string; now: number; url: string },
): Signer {
  try {
    return createSigner({ scheme, secrets, id, timestampSeconds: Math.floor(now / 1_000), url });
  } catch (error) {
    throw new Fault('bad_request', `it can't be signed: ${(error as Error).message}`);
  }
}

function headersOf(templates: ReadyWebhook['headers'], scope: unknown): Record<string, string> {
  return Object.fromEntries(
    templates.map(([name, template]) => [
      name,
      headerValueOf(renderWebhook(template, scope, { json: false, charactersMax: headerCharactersMax })),
    ]),
  );
}

function templatedBody(template: Template, announced: string | null, scope: unknown): Body {
  const mediaType = announced ?? jsonType;
  const json = isJsonType(mediaType);
  const text = renderWebhook(template, scope, { json, charactersMax: bodyCharactersMax });
  if (json) {
    try {
      JSON.parse(text);
    } catch (error) {
      throw new Fault('bad_request', `the body is not JSON after substitution: ${(error as Error).message}`);
    }
  }
  return textBody(mediaType, text);
}

/** What devices say as bytes or messages, and alarms, go out untouched; everything else in its envelope. */
async function plainBody(ctx: Pick<Context, 'db'>, event: StoredEvent): Promise<Body> {
  if (event.kind === 'bulk' || event.kind === 'message' || event.kind === 'alarm') {
    const content = event.body ?? (() => bodyOf(ctx.db, event));
    return { mediaType: event.mediaType, bytes: event.bodyBytes, content };
  }
  const said = Buffer.from(await wholeBodyOf(ctx.db, event)).toString('utf8');
  return textBody(jsonType, envelopeOf(event, said));
}

/** Whose bytes these are: the body of bulk data can't say it. */
function identityHeaders(webhook: ReadyWebhook, { origin, projectId }: StoredEvent): Record<string, string> {
  return {
    'X-Mode-DeviceID': String(origin.device?.id ?? 0),
    'X-Mode-ModuleID': webhook.moduleId ?? webhook.id,
    'X-Mode-ProjectID': String(projectId),
    'X-Mode-HomeID': String(origin.device?.group_id ?? 0),
  };
}

function mediaTypeOf(header: string): string {
  return header.split(';', 1)[0]?.trim().toLowerCase() ?? '';
}
