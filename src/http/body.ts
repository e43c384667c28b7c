/** Takes the bytes of a body off the wire: up to a limit, and without the encoding they travelled in. */
import { promisify } from 'node:util';
import { brotliDecompress, gunzip, inflate, zstdDecompress } from 'node:zlib';
import express, { type Request, type RequestHandler, type Response } from 'express';
import { Fault } from '../domain/fault.ts';

type Unpack = (bytes: Uint8Array, options: { maxOutputLength: number }) => Promise<Buffer>;
const unpackers: Readonly<Record<string, Unpack>> = {
  gzip: promisify(gunzip),
  'x-gzip': promisify(gunzip),
  deflate: promisify(inflate),
  br: promisify(brotliDecompress),
  zstd: promisify(zstdDecompress),
};

/** Reads the body of a request, once; no bytes where it has none. */
export type ReadBytes = (request: Request, response: Response) => Promise<Buffer>;

/**
 * Bodies of up to `bytesMax` bytes, packed and unpacked. Throws `too_large`, `unsupported_media_type` for an encoding
 * that is not known, and `bad_request` for bytes that are not in it.
 */
export function createReadBytes(bytesMax: number): ReadBytes {
  const readRaw = express.raw({ type: () => true, limit: bytesMax, inflate: false });
  return async (request, response) => {
    const encoding = encodingOf(request);
    // Said here and undone here: to Express, packed bytes are bytes. To delete what is not there costs, too.
    if (encoding !== null) delete request.headers['content-encoding'];
    await new Promise<void>((resolve, reject) => {
      readRaw(request, response, (error?: unknown) => (error ? reject(error) : resolve()));
    });
    const bytes = Buffer.isBuffer(request.body) ? request.body : Buffer.alloc(0);
    return encoding === null || bytes.length === 0 ? bytes : unpack(encoding, bytes, bytesMax);
  };
}

/** The same in front of a handler, which finds the bytes as the body. */
export function readBytesFirst(readBytes: ReadBytes): RequestHandler {
  return async (request, response, next) => {
    request.body = await readBytes(request, response);
    next();
  };
}

function encodingOf(request: Request): string | null {
  const encoding = request.get('content-encoding')?.trim().toLowerCase() ?? '';
  if (encoding === '' || encoding === 'identity') return null;
  if (Object.hasOwn(unpackers, encoding)) return encoding;
  const shown = encoding.slice(0, 40).replace(/[^\w.,; -]/g, '?');
  throw new Fault('unsupported_media_type', `the body is encoded as "${shown}"`);
}

async function unpack(encoding: string, bytes: Uint8Array, bytesMax: number): Promise<Buffer> {
  try {
    return (await unpackers[encoding]?.(bytes, { maxOutputLength: bytesMax })) ?? Buffer.alloc(0);
  } catch (error) {
    if ((error as { code?: unknown }).code === 'ERR_BUFFER_TOO_LARGE')
      throw new Fault('too_large', `the body has more than ${bytesMax} bytes`);
    throw new Fault('bad_request', `the body is not what ${encoding} makes: ${(error as Error).message}`);
  }
}
