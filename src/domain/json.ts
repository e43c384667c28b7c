/**
 * JSON from outside: how large and how deep it may be, read from bytes in one place, with numbers that stay what they
 * were written as. JavaScript has one kind of number, and a counter or an id of 20 digits would leave us as another
 * one. Such numbers are held as raw JSON (the ECMAScript proposal "JSON.parse source text access", in Node since 22),
 * which `JSON.stringify` writes out as it came in.
 */
import { randomUUID } from 'node:crypto';
import { Fault } from './fault.ts';

export const jsonDepthMax = 64;

/** Made by `JSON.rawJSON`, frozen; its one member is the number's text. */
export type ExactNumber = { readonly rawJSON: string };
export type Members = Readonly<Record<string, unknown>>;

type JsonWithSource = {
  rawJSON(text: string): ExactNumber;
  isRawJSON(value: unknown): value is ExactNumber;
};
/** TypeScript does not know these members yet. */
const json = JSON as unknown as JsonWithSource;

const strict = new TextDecoder('utf-8', { fatal: true });
const lenient = new TextDecoder('utf-8');

/**
 * The value of JSON in UTF-8; a byte order mark before it is passed over. Throws `too_large`, and `bad_request` for
 * what is nested too deep, is no UTF-8 or no JSON; `what` is how the text calls it. `isLenient` is for what must not
 * fail for a letter, and is nothing that anybody reads.
 */
export function readJson(
  bytes: Uint8Array,
  {
    what = 'it',
    bytesMax,
    isLenient = false,
  }: { what?: string; bytesMax?: number; isLenient?: boolean } = {},
): unknown {
  if (bytesMax !== undefined && bytes.length > bytesMax)
    throw new Fault('too_large', `${what} has more than ${bytesMax} bytes`);
  requireShallow(bytes);
  let text: string;
  try {
    text = (isLenient ? lenient : strict).decode(bytes);
  } catch {
    throw new Fault('bad_request', `${what} is not UTF-8`);
  }
  return parseOrRefuse(text, what);
}

/** The same from a text. */
export function readJsonText(text: string, what = 'the body'): unknown {
  requireShallow(Buffer.from(text));
  return parseOrRefuse(text, what);
}

function parseOrRefuse(text: string, what: string): unknown {
  try {
    return parseJsonExactly(text);
  } catch (error) {
    throw new Fault('bad_request', `${what} is not JSON: ${(error as Error).message}`);
  }
}

const byteOrderMark = Buffer.from('\uFEFF');

/** The bytes of a text without the byte order mark that some programs write before it. */
export function withoutByteOrderMark(bytes: Uint8Array): Uint8Array {
  return byteOrderMark.every((byte, place) => bytes[place] === byte)
    ? bytes.subarray(byteOrderMark.length)
    : bytes;
}

/** An object with members, as JSON has them: no array, no bytes, no number that is kept exactly. */
export function isMembers(value: unknown): value is Members {
  return (
    typeof value === 'object' &&
    value !== null &&
    !Array.isArray(value) &&
    !ArrayBuffer.isView(value) &&
    !isExactNumber(value)
  );
}

const quote = 0x22;
const backslash = 0x5c;
const openBracket = 0x5b;
const closeBracket = 0x5d;
const openBrace = 0x7b;
const closeBrace = 0x7d;

/**
 * Throws `bad_request` for JSON that is nested deeper than `jsonDepthMax`: parsing would work, but whoever walks
 * the value afterwards would run out of stack. Looks at bytes, so it costs nothing beside the parsing.
 */
export function requireShallow(bytes: Uint8Array): void {
  let depth = 0;
  let inText = false;
  for (let place = 0; place < bytes.length; place += 1) {
    const byte = bytes[place];
    if (inText) {
      if (byte === backslash) place += 1;
      else if (byte === quote) inText = false;
    } else if (byte === quote) inText = true;
    else if (byte === openBracket || byte === openBrace) {
      depth += 1;
      if (depth > jsonDepthMax)
        throw new Fault('bad_request', `the JSON is nested deeper than ${jsonDepthMax}`);
    } else if (byte === closeBracket || byte === closeBrace) depth -= 1;
  }
}

/** The same for a value that a library has parsed; bytes have no place in JSON. */
export function requireShallowValue(value: unknown, depth = 0): void {
  if (typeof value !== 'object' || value === null) return;
  if (depth >= jsonDepthMax) throw new Fault('bad_request', `the JSON is nested deeper than ${jsonDepthMax}`);
  if (ArrayBuffer.isView(value) || value instanceof ArrayBuffer)
    throw new Fault('bad_request', 'bytes have no place in JSON: send them as bulk data');
  for (const member of Object.values(value)) requireShallowValue(member, depth + 1);
}

/**
 * Fifteen digits always survive, and so does an exponent of two digits with them. Texts of other kinds may look
 * like this too, and merely take the slower way.
 */
const maySuffer = /\d[\d.]{15}|\d[eE][+-]?\d{3}/;

/**
 * Like `JSON.parse`, and throws the same `SyntaxError`; integers beyond `Number.MAX_SAFE_INTEGER` and any number
 * that JavaScript would write down with another value become an `ExactNumber`. Walks by recursion: whoever takes
 * texts from outside looks at their depth first (`requireShallow`).
 */
export function parseJsonExactly(text: string): unknown {
  return parseExactly(text, (given) => JSON.parse(given) as unknown);
}

/**
 * The same for any notation that writes texts and numbers as JSON or JavaScript does. What the parser would bend is
 * handed to it as a text that nobody can have written, and is the number again in what it makes of that. A reviver
 * that looks at the source of every value does the same in twenty times the time.
 */
export function parseExactly(text: string, parse: (text: string) => unknown): unknown {
  const read = parse(text);
  if (!maySuffer.test(text)) return read;
  const { marked, numbers } = markNumbers(text, `exact ${randomUUID()} `);
  return numbers.size === 0 ? read : withNumbers(parse(marked), numbers);
}

/** `text` with a quoted mark in the place of every number that would suffer, and the numbers by their marks. */
function markNumbers(text: string, mark: string): { marked: string; numbers: Map<string, ExactNumber> } {
  const numbers = new Map<string, ExactNumber>();
  const parts: string[] = [];
  let from = 0;
  for (let place = 0; place < text.length; place += 1) {
    const code = text.charCodeAt(place);
    if (code === quote || code === apostrophe) place = endOfText(text, place, code);
    else if (code === slash) place = endOfComment(text, place);
    else if (isOfWord(code)) {
      let end = place + 1;
      while (isOfWord(text.charCodeAt(end))) end += 1;
      // The parser has taken the whole, so a word that looks like a number is one.
      const number = end - place < sufferingMin ? '' : text.slice(place, end).replace(/^\+/, '');
      if (isJsonNumber.test(number) && !survives(Number(number), number)) {
        const name = `${mark}${numbers.size}`;
        numbers.set(name, json.rawJSON(number));
        parts.push(text.slice(from, place), `"${name}"`);
        from = end;
      }
      place = end - 1;
    }
  }
  parts.push(text.slice(from));
  return { marked: parts.join(''), numbers };
}

const apostrophe = 0x27;
const slash = 0x2f;
const isJsonNumber = /^-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?$/;
/** As in `1e400`. */
const sufferingMin = 5;

/** Whether a letter may stand in a number, or in a name that has no quotes. */
function isOfWord(code: number): boolean {
  const letter = code | 0x20;
  return (
    (code >= 0x30 && code <= 0x39) ||
    (letter >= 0x61 && letter <= 0x7a) ||
    code === 0x2b ||
    code === 0x2d ||
    code === 0x2e ||
    code === 0x24 ||
    code === 0x5f ||
    code >= 0x80
  );
}

/** The place of the quote that ends the text which begins at `start`. */
function endOfText(text: string, start: number, mark: number): number {
  for (let place = start + 1; place < text.length; place += 1) {
    const code = text.charCodeAt(place);
    if (code === backslash) place += 1;
    else if (code === mark) return place;
  }
  return text.length;
}

/** The last place of the comment which begins at `start`; `start` itself when none does. JSON has none, JSON5 has. */
function endOfComment(text: string, start: number): number {
  const kind = text[start + 1];
  if (kind !== '/' && kind !== '*') return start;
  const end = kind === '/' ? text.indexOf('\n', start) : text.indexOf('*/', start + 2) + 1;
  return end <= 0 ? text.length : end;
}

/** The value with the numbers in the place of their marks. It was made for us alone, so it may be changed. */
function withNumbers(value: unknown, numbers: ReadonlyMap<string, ExactNumber>): unknown {
  if (typeof value === 'string') return numbers.get(value) ?? value;
  if (typeof value !== 'object' || value === null) return value;
  const members = value as Record<string, unknown>;
  for (const name of Object.keys(members)) {
    const read = withNumbers(members[name], numbers);
    if (read !== members[name]) members[name] = read;
  }
  return value;
}

export function isExactNumber(value: unknown): value is ExactNumber {
  return json.isRawJSON(value);
}

/** A number of either kind as JavaScript's nearest one (infinite when it is too large); null for anything else. */
export function numberOf(value: unknown): number | null {
  if (typeof value === 'number') return value;
  return isExactNumber(value) ? Number(value.rawJSON) : null;
}

function survives(value: number, source: string): boolean {
  if (Number.isInteger(value) && !Number.isSafeInteger(value)) return false;
  return isSameDecimal(String(value), source);
}

/** `digits` times ten to the `exponent`, with no zeros around the digits; the sign never gets lost. */
function decimalOf(text: string): { digits: string; exponent: number } | null {
  const [, whole, fraction = '', exponent = '0'] =
    /^-?(\d+)(?:\.(\d+))?(?:[eE]([+-]?\d+))?$/.exec(text) ?? [];
  if (whole === undefined) return null;
  const all = whole + fraction;
  let from = 0;
  let to = all.length;
  while (from < to && all[from] === '0') from += 1;
  while (to > from && all[to - 1] === '0') to -= 1;
  if (from === to) return { digits: '', exponent: 0 };
  return { digits: all.slice(from, to), exponent: Number(exponent) - fraction.length + (all.length - to) };
}

/** The value with JavaScript's nearest number in the place of each exact one, copied where it must be. */
export function withPlainNumbers(value: unknown): unknown {
  if (typeof value !== 'object' || value === null) return value;
  if (isExactNumber(value)) return Number(value.rawJSON);
  const members = value as Record<string, unknown>;
  let copy: Record<string, unknown> | null = null;
  for (const name of Object.keys(members)) {
    const plain = withPlainNumbers(members[name]);
    if (plain === members[name]) continue;
    copy ??= (Array.isArray(value) ? [...value] : { ...members }) as Record<string, unknown>;
    copy[name] = plain;
  }
  return copy ?? value;
}

/** Whether both are numbers, of either kind, of one value: to the last digit where both are exact. */
export function isSameNumber(a: unknown, b: unknown): boolean {
  if (isExactNumber(a) && isExactNumber(b))
    return a.rawJSON.startsWith('-') === b.rawJSON.startsWith('-') && isSameDecimal(a.rawJSON, b.rawJSON);
  const number = numberOf(a);
  return number !== null && number === numberOf(b);
}

function isSameDecimal(a: string, b: string): boolean {
  const [x, y] = [decimalOf(a), decimalOf(b)];
  return x !== null && y !== null && x.digits === y.digits && x.exponent === y.exponent;
}
