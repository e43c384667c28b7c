/**
 * What lies between a socket and the broker. It reads the fixed header of every packet (MQTT 3.1.1 §2.2) and passes
 * the bytes on: what is too large is refused before it is read, nothing passes before the CONNECT is accepted, and a
 * device is read no faster than what it has published is dealt with. The broker's own parser takes any length, and
 * its own back-pressure lets a packet pass for every piece that the network delivers.
 */
import { Duplex } from 'node:stream';
import { Fault } from '../domain/fault.ts';
import { messageBytesMax } from '../domain/intake/publish.ts';

/** The largest message with room for its header and topic. */
const publishBytesMax = messageBytesMax + 65_536;
/** Any other packet: a CONNECT has at most five fields of 64 KiB. */
const packetBytesMax = 512 * 1_024;
/** How much of what a device has published may wait to be stored before more is read. */
const packetsInFlightMax = 64;
const bytesInFlightMax = 1_024 * 1_024;
/** A connection that ends gets this long to take what was written to it. */
const lingerMsMax = 1_000;

const connectType = 1;
const publishType = 3;
const lengthBytesMax = 4;

export type Flow = {
  /** For the broker, in place of the socket. */
  stream: Duplex;
  /** The CONNECT was accepted: what follows it may pass. */
  open(): void;
  /** The oldest PUBLISH that has passed is dealt with. */
  done(): void;
  /** Nothing passes any more. */
  stop(): void;
};

export function createFlow(socket: Duplex): Flow {
  /** Read from the socket, not passed on yet. */
  let rest: Buffer = Buffer.alloc(0);
  /** Bytes that are missing from the packet that is passing. */
  let missing = 0;
  let isFirst = true;
  let isOpen = false;
  let isStopped = false;
  let isWanted = false;
  let isEnded = false;
  const inFlight: number[] = [];
  let bytesInFlight = 0;

  const isHeld = () =>
    isStopped ||
    !(isOpen || isFirst) ||
    inFlight.length >= packetsInFlightMax ||
    bytesInFlight >= bytesInFlightMax;

  /** Lets the next packet begin; false when it must wait or has not come far enough. */
  function begin(): boolean {
    if (isHeld()) return false;
    const header = readHeader(rest);
    if (!header) return false;
    requireAcceptable(header, isFirst);
    isFirst = false;
    missing = header.size;
    if (header.type === publishType) {
      inFlight.push(header.size);
      bytesInFlight += header.size;
    }
    return true;
  }

  function pump(): void {
    if (stream.destroyed) return;
    try {
      while (isWanted && rest.length > 0 && (missing > 0 || begin())) {
        const piece = rest.subarray(0, missing);
        rest = rest.subarray(piece.length);
        missing -= piece.length;
        isWanted = stream.push(piece);
      }
    } catch (error) {
      stream.destroy(error as Error);
      return;
    }
    const isBlocked = rest.length > 0 && (!isWanted || isHeld());
    if (isBlocked) socket.pause();
    else if (isEnded) stream.push(null);
    else socket.resume();
  }

  const stream = new Duplex({
    read() {
      isWanted = true;
      pump();
    },
    write: (chunk, _encoding, callback) => void socket.write(chunk, callback),
    // A packet comes in pieces: together they are one frame of a WebSocket and one write to a socket.
    writev: (chunks, callback) =>
      void socket.write(Buffer.concat(chunks.map(({ chunk }) => chunk as Buffer)), callback),
    final: (callback) => void socket.end(callback),
    destroy(error, callback) {
      letGo(socket);
      callback(error);
    },
  });

  socket.on('data', (chunk: Buffer) => {
    if (stream.destroyed) return;
    rest = rest.length > 0 ? Buffer.concat([rest, chunk]) : chunk;
    pump();
  });
  socket.once('end', () => {
    isEnded = true;
    pump();
  });
  socket.on('error', (error) => stream.destroy(error));
  // After an orderly end the broker still takes what has come.
  socket.once('close', () => !isEnded && stream.destroy());

  return {
    stream,
    open() {
      isOpen = true;
      pump();
    },
    done() {
      bytesInFlight -= inFlight.shift() ?? 0;
      pump();
    },
    stop() {
      isStopped = true;
    },
  };
}

/** The type of the packet that begins here and its size with the header; null when more bytes are needed. */
function readHeader(bytes: Buffer): { type: number; size: number } | null {
  let length = 0;
  for (let place = 1; place <= lengthBytesMax; place += 1) {
    const byte = bytes[place];
    if (byte === undefined) return null;
    length += (byte & 0x7f) * 128 ** (place - 1);
    if (byte < 0x80) return { type: bytes.readUInt8(0) >> 4, size: 1 + place + length };
  }
  throw new Fault('bad_request', 'the length of a packet is malformed');
}

function requireAcceptable({ type, size }: { type: number; size: number }, isFirst: boolean): void {
  if (isFirst !== (type === connectType))
    throw new Fault('bad_request', isFirst ? 'the first packet is no CONNECT' : 'a second CONNECT came');
  const sizeMax = type === publishType ? publishBytesMax : packetBytesMax;
  if (size > sizeMax) throw new Fault('too_large', `a packet has ${size} bytes, more than ${sizeMax}`);
}

/** Ends a socket when it has taken what was written, or soon; what it still sends is not looked at. */
function letGo(socket: Duplex): void {
  if (socket.destroyed) return;
  const timer = setTimeout(() => socket.destroy(), lingerMsMax);
  socket.once('close', () => clearTimeout(timer));
  socket.end();
  socket.resume();
}
