/**
 * Reads the bodies that callers send. What a body is, its bytes say; the type that is announced is a hint, since half of
 * the world announces what its tool puts there. A body is read with its meaning or refused: never half, never guessed.
 */
import { charsetOfXml, type Decoded, decodeText } from './charset.ts';
import { Fault } from './fault.ts';
import { isForm, membersOf, readFields } from './form.ts';
import { isMembers, type Members, readJsonText } from './json.ts';
import {
  type Announced,
  isBinaryType,
  isJsonType,
  isTextType,
  isXmlType,
  readMediaType,
} from './media-type.ts';
import { boundaryOf, readParts } from './multipart.ts';
import { readXml } from './xml.ts';

const formType = 'application/x-www-form-urlencoded';
const partsType = 'multipart/form-data';
const payloadBytesMax = 8 * 1_024;

/** What was read; `leftOut` says in words what of it was not taken. */
export type Body =
  | { kind: 'nothing' }
  | { kind: 'json' | 'xml' | 'text'; value: unknown }
  | { kind: 'form'; value: Members; leftOut: readonly string[] };

/**
 * JSON where it reads as JSON, XML where it begins with "<", a form where one is announced and it looks like one, and
 * text otherwise; blanks are nothing. Throws `bad_request` for what is not what it has to be, and
 * `unsupported_media_type` for a charset that is not known and for bytes that are none of these.
 */
export function readBody(bytes: Uint8Array, contentType: string | undefined): Body {
  const announced = readMediaType(contentType);
  const parts = bodyOfParts(bytes, announced);
  if (parts) return parts;
  const { text: whole, encoding } = decode(bytes, announced);
  const text = withoutNulls(whole);
  const first = text.trimStart().charAt(0);
  if (first === '') return { kind: 'nothing' };

  const { type } = announced;
  const mustBeJson = type !== null && isJsonType(type);
  if (first === '{' || first === '[' || (mustBeJson && first !== '<')) {
    const json = readIf(() => readJsonText(text), mustBeJson || seemsJson.test(text));
    if (json) return { kind: 'json', value: json.read };
  }
  if (first === '<') {
    const mustBeXml = mustBeJson || (type !== null && isXmlType(type)) || seemsXml(type, text);
    const xml = readIf(() => readXml(text), mustBeXml);
    if (xml) return { kind: 'xml', value: xml.read };
  }
  if (type !== null && isXmlType(type)) throw new Fault('bad_request', 'the body is not XML');
  if (type === partsType) throw new Fault('bad_request', 'the body is not a form in parts');
  if (type === formType && isForm(text)) return bodyOfForm(bytes, { text, encoding });
  if (isBinaryType(type)) throw unreadable(type);
  if (text.includes('\0')) throw notText(type, 'it holds zero bytes');
  return { kind: 'text', value: text };
}

/** Any body as a value for templates: JSON as it is, forms as members, XML as `readXml` has it, text as text. */
export function readPayload(
  bytes: Uint8Array,
  contentType: string | undefined,
): { payload: unknown; leftOut: readonly string[] } {
  const body = readBody(bytes, contentType);
  if (body.kind === 'nothing') return { payload: {}, leftOut: [] };
  return { payload: body.value, leftOut: body.kind === 'form' ? body.leftOut : [] };
}

/** The members of a JSON or form body; `unsupported_media_type` for any other. */
export function readMembers(
  bytes: Uint8Array,
  contentType: string | undefined,
): { members: Members; leftOut: readonly string[] } {
  const body = readBody(bytes, contentType);
  if (body.kind === 'nothing') return { members: {}, leftOut: [] };
  if (body.kind === 'form') return { members: body.value, leftOut: body.leftOut };
  if (body.kind === 'json') return { members: requireMembers(body.value), leftOut: [] };
  throw new Fault(
    'unsupported_media_type',
    'send JSON or a form, or use the path with the event_id, which takes any body',
  );
}

/** The value of a body that has to be JSON, undefined where there is none; `bad_request` for any other. */
export function readJsonBody(bytes: Uint8Array, contentType: string | undefined): unknown {
  const body = readBody(bytes, contentType);
  if (body.kind === 'nothing') return undefined;
  if (body.kind === 'json') return body.value;
  throw new Fault('bad_request', 'the body is not JSON');
}

/**
 * The JSON object behind a `payload` parameter: Base64, standard or URL-safe, padded or not, in one line or in many.
 * Blanks are nothing.
 */
export function readBase64Payload(text: string): Members {
  if (text === '') return {};
  // A plus that was not URL-encoded has become a space on its way; senders that wrap lines end them with others.
  const lines = text.replace(/[\r\n\t]/g, '');
  let end = lines.length;
  while (lines[end - 1] === '=') end -= 1;
  const letters = lines.slice(0, end).replaceAll(' ', '+');
  if (/^\+*$/.test(letters)) return {};
  const bytes = Buffer.from(letters, 'base64url');
  // A last letter that is too many is passed over by Buffer, and so is what is none.
  const isWhole = Math.ceil((bytes.length * 4) / 3) === letters.length;
  if (!isWhole || !/^[A-Za-z0-9+/_-]+$/.test(letters))
    throw new Fault('bad_request', 'payload is not Base64');
  if (bytes.length > payloadBytesMax)
    throw new Fault('too_large', `payload has more than ${payloadBytesMax} bytes`);
  const json = withoutNulls(decodeText(bytes, null, 'payload').text);
  return json.trim() === '' ? {} : requireMembers(readJsonText(json, 'payload'));
}

function requireMembers(value: unknown): Members {
  if (isMembers(value)) return value;
  throw new Fault('bad_request', 'the JSON must be an object');
}

/** What nobody would begin a text with: where it can't be read, something was lost on its way. */
const seemsJson = /^\s*(?:\{\s*["}]|\[\s*[[{\]])/;

/** The same of XML. A page is a text to us, and hardly ever well-formed. */
function seemsXml(type: string | null, text: string): boolean {
  return type !== 'text/html' && /^\s*<[?!\p{L}_]/u.test(text) && text.trimEnd().endsWith('>');
}

/** What `read` brings. What it refuses goes on as something else, unless it has to be this. */
function readIf(read: () => unknown, isRequired: boolean): { read: unknown } | null {
  try {
    return { read: read() };
  } catch (error) {
    if (isRequired || !(error instanceof Fault)) throw error;
    return null;
  }
}

function decode(bytes: Uint8Array, { type, charset }: Announced): Decoded {
  try {
    return decodeText(bytes, charset ?? charsetOfXml(bytes));
  } catch (error) {
    // A picture is not a text with a wrong letter in it.
    if (error instanceof Fault && error.code === 'bad_request' && charset === null && !isTextType(type))
      throw unreadable(type);
    throw error;
  }
}

/** A form in parts, whatever it is announced as; null for anything else. */
function bodyOfParts(bytes: Uint8Array, { type, boundary }: Announced): Body | null {
  const seen = boundaryOf(bytes);
  if (type !== partsType && seen === null) return null;
  const isPlain = boundary === null || !Buffer.from(bytes).includes(`--${boundary}`);
  const used = isPlain ? seen : boundary;
  if (used === null) return null;
  const { fields, files } = readParts(bytes, used);
  return formOf(
    fields,
    files.map((name) => `the file "${name.slice(0, 100)}" was left out`),
  );
}

function bodyOfForm(bytes: Uint8Array, { text, encoding }: Decoded): Body {
  // Of UTF-16 the letters are no bytes that escapes could stand beside.
  const isWide = encoding.startsWith('utf-16');
  if (isWide || encoding === 'utf-8') return formOf(readFields(Buffer.from(withoutEnds(text)), 'utf-8'), []);
  const escaped = withoutEnds(withoutNulls(Buffer.from(bytes).toString('latin1')));
  return formOf(readFields(Buffer.from(escaped, 'latin1'), encoding), []);
}

/** Without the line ends that some tools send around a form. */
function withoutEnds(text: string): string {
  let end = text.length;
  while (text[end - 1] === '\n' || text[end - 1] === '\r') end -= 1;
  return text.slice(0, end).replace(/^[\r\n]+/, '');
}

function formOf(fields: Parameters<typeof membersOf>[0], leftOut: readonly string[]): Body {
  const { members, repeated } = membersOf(fields);
  const again = repeated.map((name) => `the field "${name.slice(0, 100)}" came again: the first one counts`);
  return { kind: 'form', value: members, leftOut: [...leftOut, ...again] };
}

/** Programs in C like to send the byte that ends their text. */
function withoutNulls(text: string): string {
  let end = text.length;
  while (text[end - 1] === '\0') end -= 1;
  return text.slice(0, end);
}

function notText(type: string | null, why: string): Fault {
  return isTextType(type) ? new Fault('bad_request', `the body is no text: ${why}`) : unreadable(type);
}

function unreadable(type: string | null): Fault {
  return new Fault(
    'unsupported_media_type',
    `a body of ${type ?? 'no type'} can't be read: send JSON, a form, XML or text`,
  );
}
