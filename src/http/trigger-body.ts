/** Decodes what third parties send to the trigger routes: JSON, forms, XML, text, Base64 in a query. */

import { XMLParser } from 'fast-xml-parser';
import { isJsonType } from '../domain/event/event.ts';
import { Fault } from '../domain/fault.ts';
import { isMembers, type Members, readJson } from '../domain/json.ts';
import { mediaTypeOf } from './request.ts';

export const triggerBodyBytesMax = 256 * 1_024;
const payloadBytesMax = 8 * 1_024;

/** The members of a JSON or form body. Throws `bad_request` or `unsupported_media_type`. */
export function readMembers(body: Buffer, contentType: string | undefined): Members {
  if (body.length === 0) return {};
  const type = mediaTypeOf(contentType);
  if (type !== null && isJsonType(type)) return requireMembers(parseJson(body));
  if (type === 'application/x-www-form-urlencoded') {
    const text = body.toString('utf8');
    // Many shells and tools announce a form when nothing else was said, whatever they send.
    return text.trimStart().startsWith('{') ? requireMembers(parseJson(body)) : parseForm(text);
  }
  throw new Fault(
    'unsupported_media_type',
    'send application/json or a form, or use the path with the event_id',
  );
}

/** Any body as a value for templates: JSON and forms as members, XML as a tree, everything else as its text. */
export function readPayload(body: Buffer, contentType: string | undefined): unknown {
  if (body.length === 0) return {};
  const type = mediaTypeOf(contentType);
  if (type !== null && isJsonType(type)) return parseJson(body);
  const text = body.toString('utf8');
  if (type === 'application/x-www-form-urlencoded') {
    return /^\s*[[{]/.test(text) ? parseJson(body) : parseForm(text);
  }
  if (type === 'application/xml' || type === 'text/xml' || type?.endsWith('+xml')) return parseXml(text);
  return text;
}

/** The JSON object behind a `payload` parameter: Base64, standard or URL-safe, padded or not. */
export function readBase64Payload(text: string): Members {
  // A plus that was not URL-encoded has become a space on its way.
  const letters = text.replaceAll(' ', '+').replace(/=+$/, '');
  if (!/^[A-Za-z0-9+/_-]+$/.test(letters) || letters.length % 4 === 1) {
    throw new Fault('bad_request', 'payload is not Base64');
  }
  const json = Buffer.from(letters, 'base64url');
  return requireMembers(readJson(json, { what: 'payload', bytesMax: payloadBytesMax, isCall: true }));
}

function parseJson(body: Buffer): unknown {
  return readJson(body, { what: 'the body', isCall: true });
}

function requireMembers(value: unknown): Members {
  if (isMembers(value)) return value;
  throw new Fault('bad_request', 'the JSON must be an object');
}

function parseForm(text: string): Members {
  const members: Record<string, unknown> = Object.create(null);
  for (const [name, value] of new URLSearchParams(text)) members[name] ??= value;
  return members;
}

function parseXml(text: string): unknown {
  // Entities of a document type can be made to grow without end, and no caller needs one.
  if (/<!DOCTYPE/i.test(text)) throw new Fault('bad_request', 'XML with a document type is not taken');
  try {
    const parser = new XMLParser({ ignoreAttributes: false, attributeNamePrefix: '', parseTagValue: false });
    return parser.parse(text, true) as unknown;
  } catch (error) {
    throw new Fault('bad_request', `the body is not XML: ${(error as Error).message}`);
  }
}
