/** Forms in parts (`multipart/form-data`): each has its own headers, and with them its own charset. */
import { type MultipartPart, parseMultipart } from '@remix-run/multipart-parser';
import { decodeText } from './charset.ts';
import { Fault } from './fault.ts';
import type { Field } from './form.ts';
import { readMediaType } from './media-type.ts';

const partsMax = 500;
const headerBytesMax = 4_096;

/** The boundary that bytes begin with, where they begin as such a form does; null for anything else. */
export function boundaryOf(bytes: Uint8Array): string | null {
  const head = Buffer.from(bytes.subarray(0, 300)).toString('latin1');
  return /^(?:\r\n)?--([^\r\n]{1,100})\r\ncontent-/i.exec(head)?.[1]?.trimEnd() ?? null;
}

/**
 * The text fields in their order, and the names of the files beside them, which are not read. Throws `bad_request` for
 * what is not whole, `too_large` for too many parts, and like `decodeText`.
 */
export function readParts(bytes: Uint8Array, boundary: string): { fields: Field[]; files: string[] } {
  const fields: Field[] = [];
  const files: string[] = [];
  // Before the first boundary there may be lines that mean nothing (RFC 2046 §5.1.1).
  const start = Math.max(0, Buffer.from(bytes).indexOf(`--${boundary}`));
  const limits = { maxHeaderSize: headerBytesMax, maxFileSize: bytes.length, maxTotalSize: bytes.length };
  let count = 0;
  try {
    for (const part of parseMultipart(bytes.subarray(start), {
      boundary,
      ...limits,
      maxParts: partsMax + 1,
    })) {
      count += 1;
      if (count > partsMax) throw new Fault('too_large', `the form has more than ${partsMax} parts`);
      const { name = '', isFile } = part;
      // A form on a page sends the place where no file was chosen, too.
      if (!isFile) fields.push([name, textOf(part)]);
      else if (part.size > 0) files.push(name);
    }
  } catch (error) {
    if (error instanceof Fault) throw error;
    throw new Fault('bad_request', `the body is not a form in parts: ${(error as Error).message}`);
  }
  return { fields, files };
}

function textOf(part: MultipartPart): string {
  const encoding = part.headers['content-transfer-encoding']?.toLowerCase() ?? '8bit';
  if (!['7bit', '8bit', 'binary', 'base64'].includes(encoding))
    throw new Fault('unsupported_media_type', `a part is encoded as "${encoding.slice(0, 40)}"`);
  const bytes =
    encoding === 'base64' ? Buffer.from(Buffer.from(part.bytes).toString('latin1'), 'base64') : part.bytes;
  const { charset } = readMediaType(part.headers['content-type']);
  return decodeText(bytes, charset, `the field "${(part.name ?? '').slice(0, 100)}"`).text;
}
