/** How deep JSON may be nested, looked at before anything walks it. */
import { Fault } from './fault.ts';

export const jsonDepthMax = 64;

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
export function requireShallow(json: Uint8Array): void {
  let depth = 0;
  let inText = false;
  for (let place = 0; place < json.length; place += 1) {
    const byte = json[place];
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
