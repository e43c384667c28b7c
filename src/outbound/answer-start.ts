/**
 * How an answer begins. Interim answers (RFC 9110 §15.2) come before the real one, asked for or not, and mean nothing
 * here: undici breaks the connection at `100 Continue`, so it never sees them. What is no answer at all is told in words.
 */
import type { Socket } from 'node:net';
import { failureOf } from './failure.ts';

/** `HTTP/1.1 200`: what has to be there before it is known what an answer is. */
const statusBytes = 12;
const statusPattern = /^HTTP\/\d\.\d [2-9]\d\d/;
const interimPattern = /^HTTP\/\d\.\d 1\d\d/;
const switching = ' 101';
const [carriageReturn, lineFeed] = [0x0d, 0x0a];
/** Of TLS: an alert, a handshake. */
const tlsStarts = ['\u0015\u0003', '\u0016\u0003'];

/** Where in an answer the bytes are: in its first ones, in the head of an interim answer, or past the status. */
type Place = 'status' | 'interim' | 'past';

/** From now on whoever reads from the socket sees answers without interim ones; what is none ends the connection. */
export function watchAnswers(socket: Socket): void {
  let place: Place = 'status';
  /** The start of a status, while its end has not come. */
  let held: Buffer = Buffer.alloc(0);
  let isLineEmpty = false;

  /** Leaves out what is interim; answers the rest, empty where nothing is left or known yet. */
  function pass(bytes: Buffer): Buffer {
    for (let at = 0; at < bytes.length; ) {
      const byte = bytes[at];
      if (place === 'interim') {
        if (byte === lineFeed && isLineEmpty) place = 'status';
        if (byte !== carriageReturn) isLineEmpty = byte === lineFeed;
        at += 1;
      } else if (byte === carriageReturn || byte === lineFeed) {
        at += 1; // empty lines before an answer are read over too
      } else {
        const start = bytes.toString('latin1', at, at + statusBytes);
        const isWhole = start.length === statusBytes;
        if (!isWhole && 'HTTP/'.startsWith(start.slice(0, 'HTTP/'.length))) {
          held = bytes.subarray(at);
          break;
        }
        if (!interimPattern.test(start)) {
          const problem = problemOf(start);
          if (problem !== null) socket.destroy(failureOf(problem));
          place = 'past';
          return bytes.subarray(at);
        }
        if (start.endsWith(switching)) {
          socket.destroy(failureOf('the receiver answered 101: it wants to speak another protocol'));
          break;
        }
        place = 'interim';
        isLineEmpty = false;
        at += statusBytes;
      }
    }
    return Buffer.alloc(0);
  }

  const read = socket.read.bind(socket);
  socket.read = (size?: number): Buffer | null => {
    for (;;) {
      const chunk: Buffer | null = read(size);
      if (chunk === null || place === 'past') return chunk;
      const bytes = held.length > 0 ? Buffer.concat([held, chunk]) : chunk;
      held = Buffer.alloc(0);
      const shown = pass(bytes);
      if (socket.destroyed) return null;
      if (shown.length > 0) return shown;
    }
  };

  const write = socket.write.bind(socket) as (...parameters: unknown[]) => boolean;
  // What is written is a request, and what is read after it begins with a status.
  socket.write = (...parameters: unknown[]): boolean => {
    if (place === 'past') place = 'status';
    return write(...parameters);
  };
}

function problemOf(start: string): string | null {
  if (statusPattern.test(start)) return null;
  if (tlsStarts.includes(start.slice(0, 2)))
    return 'the answer cannot be read: it is TLS, which wants a URL with https';
  const shown = JSON.stringify(start.replace(/[^\x20-\x7e]/g, '.'));
  return `the answer cannot be read: it is not HTTP/1.1, it begins with ${shown}`;
}
