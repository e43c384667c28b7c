/**
 * JSON from outside: how large and how deep it may be, read from bytes in one place, with numbers that stay what they
 * were written as. JavaScript has one kind of number, and a counter or an id of 20 digits would leave us as another
 * one. Such numbers are held as raw JSON (the ECMAScript proposal "JSON.parse source text access", in Node since 22),
 * which `JSON.stringify` writes out as it came in.
 */
import { Fault } from './fault.ts';

export const jsonDepthMax = 64;

/** Made by `JSON.rawJSON`, frozen; its one member is the number's text. */
export type ExactNumber = { readonly rawJSON: string };
export type Members = Readonly<Record<string, unknown>>;

type JsonWithSource = {
  rawJSON(text: string): ExactNumber;
  isRawJSON(value: unknown): value is ExactNumber;
  parse(
    text: string,
    revive: (key: string, value: unknown, context: { source?: string }) => unknown,
  ): unknown;
};
/** TypeScript does not know these members yet. */
const json = JSON as unknown as JsonWithSource;

const strict = new TextDecoder('utf-8', { fatal: true });
const lenient = new TextDecoder('utf-8');

/**
 * The value of JSON in bytes; a byte order mark before it is passed over. Throws `too_large`, and `bad_request` for
 * what is nested too deep, is no UTF-8 or no JSON; `what` is how the text calls it. `isCall` is for what must not fail
 * for a letter: a call that fires with a wrong one in its text is better than none. Its numbers are JavaScript's.
 */
export function readJson(
  bytes: Uint8Array,
  { what = 'it', bytesMax, isCall = false }: { what?: string; bytesMax?: number; isCall?: boolean } = {},
): unknown {
  if (bytesMax !== undefined && bytes.length > bytesMax)
    throw new Fault('too_large', `${what} has more than ${bytesMax} bytes`);
  requireShallow(bytes);
  let text: string;
  try {
    text = (isCall ? lenient : strict).decode(bytes);
  } catch {
    throw new Fault('bad_request', `${what} is not UTF-8`);
  }
  try {
    return isCall ? (JSON.parse(text) as unknown) : parseJsonExactly(text);
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
  if (!maySuffer.test(text)) return JSON.parse(text);
  return json.parse(text, (_key, value, { source }) =>
    typeof value === 'number' && source !== undefined && !survives(value, source)
      ? json.rawJSON(source)
      : value,
  );
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
  const kept = decimalOf(String(value));
  const meant = decimalOf(source);
  return kept?.digits === meant?.digits && kept?.exponent === meant?.exponent;
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
