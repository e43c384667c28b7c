/**
 * Bytes as text, in the charset they are in. No letter is ever replaced: a text with a wrong letter in it may be a wrong
 * message, so bytes that are no text of their charset are refused.
 */
import { Fault } from './fault.ts';

/** A text, and the name of the charset that it was read in, as the Encoding Standard writes it. */
export type Decoded = { text: string; encoding: string };

const asciiLabels = /^(?:us-)?ascii$|^ansi_x3\.4-1968$/i;

/**
 * Reads `bytes` in the charset that a byte order mark names, or else `announced`, or else UTF-8; the mark is no part of
 * the text. Throws `unsupported_media_type` for a charset nobody knows, `bad_request` for bytes that are no text of it;
 * `what` is how the text calls them.
 */
export function decodeText(bytes: Uint8Array, announced: string | null, what = 'the body'): Decoded {
  return decodeIn(labelOfMark(bytes) ?? announced ?? 'utf-8', bytes, what);
}

/** Reads `bytes` in the charset of that name, and throws like `decodeText`. */
export function decodeIn(label: string, bytes: Uint8Array, what: string): Decoded {
  const decoder = decoderOf(label);
  try {
    // The Encoding Standard reads ASCII as windows-1252, where every byte is a letter.
    if (asciiLabels.test(label) && bytes.some((byte) => byte > 0x7f)) throw new Error('no ASCII');
    return { text: decoder.decode(bytes), encoding: decoder.encoding };
  } catch {
    throw new Fault('bad_request', `${what} is not ${label.toUpperCase()}: say its charset`);
  }
}

function decoderOf(label: string) {
  try {
    return new TextDecoder(label, { fatal: true });
  } catch {
    const shown = label.slice(0, 40).replace(/[^\w.:-]/g, '?');
    throw new Fault('unsupported_media_type', `there is no charset "${shown}" that is known here`);
  }
}

function labelOfMark(bytes: Uint8Array): string | null {
  const [first, second, third] = bytes;
  if (first === 0xef && second === 0xbb && third === 0xbf) return 'utf-8';
  if (first === 0xfe && second === 0xff) return 'utf-16be';
  return first === 0xff && second === 0xfe ? 'utf-16le' : null;
}

const declarationBytesMax = 200;

/** The charset in an XML declaration, null where none is given. */
export function charsetOfXml(bytes: Uint8Array): string | null {
  const head = Buffer.from(bytes.subarray(0, declarationBytesMax)).toString('latin1');
  const [, charset = ''] = /^\s*<\?xml\s[^>]*\bencoding\s*=\s*["']([\w.:-]+)["']/.exec(head) ?? [];
  // Whoever can read it letter by letter knows that it is not true; many programs write it so.
  return charset === '' || /^utf-?16|^ucs-?2/i.test(charset) ? null : charset;
}

/** The same bytes in UTF-8, where another charset was announced or marked. */
export function toUtf8(bytes: Uint8Array, announced: string | null): Uint8Array {
  const label = labelOfMark(bytes) ?? announced;
  if (label === null || /^utf-?8$/i.test(label)) return bytes;
  return Buffer.from(decodeText(bytes, label).text);
}
