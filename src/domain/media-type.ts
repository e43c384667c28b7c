/** What a sender announces its bytes as. It is a hint: many announce nothing, or what their tool puts there. */
import { MIMEType } from 'node:util';

/** Null for what was not said, or not in a way that can be understood. */
export type Announced = { type: string | null; charset: string | null; boundary: string | null };

const nothing: Announced = { type: null, charset: null, boundary: null };

/** Reads a `Content-Type`. The type is in small letters, without its parameters. */
export function readMediaType(header: string | null | undefined): Announced {
  if (!header) return nothing;
  let read: MIMEType;
  try {
    read = new MIMEType(header);
  } catch {
    return nothing;
  }
  const charset = read.params.get('charset')?.replaceAll("'", '').trim();
  return { type: read.essence, charset: charset || null, boundary: read.params.get('boundary') || null };
}

export function isJsonType(mediaType: string): boolean {
  return mediaType === 'application/json' || mediaType.endsWith('+json');
}

export function isXmlType(mediaType: string): boolean {
  return mediaType === 'application/xml' || mediaType === 'text/xml' || mediaType.endsWith('+xml');
}

/** Types under which senders put texts of all kinds, or put anything because nobody told them to choose. */
export function isTextType(mediaType: string | null): boolean {
  return (
    mediaType === null ||
    mediaType.startsWith('text/') ||
    mediaType === 'application/octet-stream' ||
    mediaType === 'application/x-www-form-urlencoded' ||
    isJsonType(mediaType) ||
    isXmlType(mediaType)
  );
}

const binaryFamilies = /^(?:image|audio|video|font|model)\//;
const binaryTypes = /[/+](?:pdf|zip|gzip|cbor|x-tar|x-7z-compressed|(?:x-)?protobuf|(?:x-)?msgpack|wasm)$/;

/** Types whose bytes mean something that we can't read, even where they happen to be letters. */
export function isBinaryType(mediaType: string | null): boolean {
  if (mediaType === null || isXmlType(mediaType)) return false;
  return binaryFamilies.test(mediaType) || binaryTypes.test(mediaType);
}
