/**
 * What a webhook's request says: where it goes, headers and body, made anew for every attempt from the event and the
 * webhook as they are then. What can't be made is a `Fault`, and nothing is sent.
 */

import type { Context } from '../context.ts';
import { headerValueOf } from '../escape.ts';
import { bodyOf, wholeBodyOf } from '../event/body.ts';
import type { StoredEvent } from '../event/event.ts';
import { Fault } from '../fault.ts';
import { isJsonType } from '../media-type.ts';
import { type Reader, readerOf } from '../path.ts';
import { renderUrl } from '../url.ts';
import type { ReadyWebhook, WebhookUrl } from '../webhook/ready-webhook.ts';
import { createSigner, type Signer } from '../webhook/signature.ts';
import { type BodyTemplate, jsonType, mediaTypeOf, renderBody, renderHeader } from '../webhook/template.ts';
import type { OutgoingRequest } from './attempt.ts';
import { envelopeOf, scopeOf } from './envelope.ts';

/** What a URL may grow to when it is filled. */
const urlCharactersMax = 8_192;

const nothing: Reader = () => undefined;

type Body = { mediaType: string; bytes: number; content: OutgoingRequest['body'] };
type Headers = Record<string, string>;

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
  ctx: Pick<Context, 'db' | 'now' | 'cache'>,
  webhook: ReadyWebhook,
  event: StoredEvent,
  id: string,
): Promise<OutgoingRequest> {
  const isCommand = event.kind === 'command';
  const target = isCommand ? webhook.commandUrl : webhook.url;
  if (target === null) throw new Fault('bad_request', 'the webhook has no command_url');
  const read = webhook.looksAt.size > 0 ? readerOf(await scopeOf(ctx, event, webhook.looksAt)) : nothing;
  const url = urlOf(target, read);
  const ownWords = isCommand || event.kind === 'bulk' ? null : webhook.body;
  const headers = headersOf(webhook, event, read);
  const body = ownWords ? rewordedBody(ownWords, typeIn(headers), read) : await plainBody(ctx, event);

  const now = ctx.now();
  const signer = signerOf(webhook, webhook.secretsAt(now, isCommand), { id, now, url });
  if (webhook.scheme !== 'none') {
    if (typeof body.content === 'function') for await (const part of body.content()) signer.update(part);
    else signer.update(body.content);
  }
  return {
    receiver: target.text,
    url,
    headers: {
      ...withoutThoseOf(headers, { 'content-type': body.mediaType, ...identityHeaders(webhook, event) }),
      ...headers,
      'webhook-id': id,
      ...signer.headers(),
    },
    body: body.content,
    bodyBytes: body.bytes,
  };
}

function urlOf({ text, template }: WebhookUrl, read: Reader): string {
  if (template === null) return text;
  const url = renderUrl(template, read);
  if (url.length > urlCharactersMax)
    throw new Fault('too_large', `the filled URL has more than ${urlCharactersMax} characters`);
  return url;
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

/**
 * The webhook's own headers. A content type that is blank is not among them, nor one that is meant for its own words where
 * these are not, nor one that is not JSON for a command, which always is.
 */
function headersOf(webhook: ReadyWebhook, { kind }: StoredEvent, read: Reader): Headers {
  const headers = Object.fromEntries(
    webhook.headers.map(([name, template]) => [name, renderHeader(template, read)]),
  );
  const name = nameOf(headers, 'content-type');
  const type = typeIn(headers);
  const isMeant =
    webhook.body === null ? kind !== 'command' || isJsonType(type) : kind !== 'command' && kind !== 'bulk';
  if (name !== undefined && (type === '' || !isMeant)) delete headers[name];
  return headers;
}

/** How a header is spelled among these; undefined when it is not there. */
function nameOf(headers: Headers, name: string): string | undefined {
  return Object.keys(headers).find((each) => each.toLowerCase() === name);
}

/** The media type that is announced; empty when none is. */
function typeIn(headers: Headers): string {
  return mediaTypeOf(headers[nameOf(headers, 'content-type') ?? ''] ?? '');
}

/** What the webhook sets itself takes the place of ours. */
function withoutThoseOf(headers: Headers, ours: Headers): Headers {
  return Object.fromEntries(
    Object.entries(ours).filter(([name]) => nameOf(headers, name.toLowerCase()) === undefined),
  );
}

/** The body in the webhook's own words. */
function rewordedBody(template: BodyTemplate, announced: string, read: Reader): Body {
  const mediaType = announced || jsonType;
  return textBody(mediaType, renderBody(template, mediaType, read));
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

/** Which event this is and whose: the body of bulk data, or of a message, can't say it. None of it is signed. */
function identityHeaders(webhook: ReadyWebhook, event: StoredEvent): Headers {
  const { device } = event.origin;
  if (webhook.scheme === 'standard' || webhook.scheme === 'none')
    return {
      'webhook-event': event.id,
      ...(device ? { 'webhook-device': String(device.id) } : {}),
      ...(event.label === null ? {} : { 'webhook-label': headerValueOf(event.label) }),
    };
  if (webhook.scheme !== 'mode' || event.kind !== 'bulk') return {};
  return {
    'X-Mode-DeviceID': String(device?.id ?? 0),
    'X-Mode-ModuleID': webhook.moduleId ?? webhook.id,
    'X-Mode-ProjectID': String(event.projectId),
    'X-Mode-HomeID': String(device?.group_id ?? 0),
  };
}
