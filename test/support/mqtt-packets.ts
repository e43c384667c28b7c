/** MQTT byte for byte, as a device sends it that follows no library. */
import { once } from 'node:events';
import { connect as connectSocket, type Socket } from 'node:net';
import { waitFor } from './wait.ts';

export const publishType = 3;
export const pubackType = 4;
export const pingType = 12;
export const pongType = 13;

/** A field of a packet, with its length before it (MQTT 3.1.1 §1.5.3). */
export function field(content: string | Buffer): Buffer {
  const bytes = Buffer.from(content);
  return Buffer.concat([Buffer.from([bytes.length >> 8, bytes.length & 0xff]), bytes]);
}

/** The fixed header (§2.2) for `length` bytes to come. */
export function header(type: number, flags: number, length: number): Buffer {
  const bytes = [(type << 4) | flags];
  do {
    bytes.push((length & 0x7f) | (length > 0x7f ? 0x80 : 0));
    length >>= 7;
  } while (length > 0);
  return Buffer.from(bytes);
}

export function packet(type: number, flags: number, ...parts: Buffer[]): Buffer {
  const body = Buffer.concat(parts);
  return Buffer.concat([header(type, flags, body.length), body]);
}

export function connectPacket(device: { id: number | string; token: string }): Buffer {
  const keepAlive = Buffer.from([0, 0]);
  const head = [field('MQTT'), Buffer.from([4, 0b1100_0010]), keepAlive];
  return packet(1, 0, ...head, field('raw'), field(String(device.id)), field(device.token));
}

/** With QoS 1 when it has an id. */
export function publishPacket(topic: string, payload: string | Buffer, id?: number): Buffer {
  const numbered = id === undefined ? [] : [Buffer.from([id >> 8, id & 0xff])];
  return packet(publishType, id === undefined ? 0 : 2, field(topic), ...numbered, Buffer.from(payload));
}

export const ping = packet(pingType, 0);

/** A device that says byte for byte what the test says; `packets` are those that came, as `[type, body]`. */
export async function connectRaw(port: number) {
  const socket: Socket = connectSocket(port, '127.0.0.1');
  let bytes = Buffer.alloc(0);
  let isClosed = false;
  socket.on('data', (chunk: Buffer) => {
    bytes = Buffer.concat([bytes, chunk]);
  });
  socket.on('error', () => undefined);
  socket.on('close', () => {
    isClosed = true;
  });
  await once(socket, 'connect');
  const packets = () => {
    const found: [type: number, body: Buffer][] = [];
    for (let at = 0; at < bytes.length; at += 2 + (bytes[at + 1] ?? 0))
      found.push([(bytes[at] ?? 0) >> 4, bytes.subarray(at + 2, at + 2 + (bytes[at + 1] ?? 0))]);
    return found;
  };
  const count = (type: number) => packets().filter(([of]) => of === type).length;
  return {
    socket,
    packets,
    count,
    say: (...parts: Buffer[]) => socket.write(Buffer.concat(parts)),
    closed: () => waitFor(() => isClosed, { what: 'the connection to be closed' }),
    /** Goes to the server and back. */
    roundTrip: async () => {
      const before = count(pongType);
      socket.write(ping);
      await waitFor(() => count(pongType) > before, { what: 'an answer to a ping' });
    },
  };
}
