/**
 * One message to many devices. Socket.IO encodes a broadcast once, but takes every socket through its buffers and
 * events; a WebSocket that is idle gets the finished frame at once instead, which is most of them most of the time.
 * The bytes are the same: whoever is not idle, or is not on WebSocket, goes Socket.IO's own way.
 */
import { Encoder, PacketType } from 'socket.io-parser';

/** What we look at of a socket, its Engine.IO connection and the WebSocket below; the last is untyped there. */
type Way = {
  readyState: string;
  upgrading: boolean;
  writeBuffer: unknown[];
  transport: {
    name: string;
    writable: boolean;
    socket?: {
      readyState: number;
      _sender?: { sendFrame?: (chunks: Buffer[]) => void; _deflating?: boolean; _state?: number };
    };
  };
};

const engineMessage = '4';
const webSocketOpen = 1;

const encoder = new Encoder();

/** The frame that carries `[event, message]` to a namespace; null when it takes more than one packet. */
export function frameOf(namespace: string, event: string, message: unknown): Buffer | null {
  const [packet, ...attachments] = encoder.encode({
    type: PacketType.EVENT,
    nsp: namespace,
    data: [event, message],
  });
  if (typeof packet !== 'string' || attachments.length > 0) return null;
  return textFrame(engineMessage + packet);
}

/** Writes the frame if nothing is on its way to this socket that it could overtake; false when it was not sent. */
export function sendIfIdle(connection: unknown, frame: Buffer): boolean {
  const { readyState, upgrading, writeBuffer, transport } = connection as Way;
  const { socket } = transport;
  if (readyState !== 'open' || upgrading || writeBuffer.length > 0) return false;
  if (transport.name !== 'websocket' || !transport.writable || socket?.readyState !== webSocketOpen)
    return false;
  const sender = socket._sender;
  // Not there in another WebSocket library; busy while it compresses or reads a blob.
  if (typeof sender?.sendFrame !== 'function' || sender._deflating || sender._state) return false;
  sender.sendFrame([frame]);
  return true;
}

const finalText = 0x81;
const length16 = 126;
const length64 = 127;

/** A whole text message as one unmasked WebSocket frame, as a server sends it (RFC 6455 §5.2). */
export function textFrame(text: string): Buffer {
  const length = Buffer.byteLength(text);
  const headerBytes = length < length16 ? 2 : length < 65_536 ? 4 : 10;
  const frame = Buffer.allocUnsafe(headerBytes + length);
  frame[0] = finalText;
  if (headerBytes === 2) frame[1] = length;
  else if (headerBytes === 4) {
    frame[1] = length16;
    frame.writeUInt16BE(length, 2);
  } else {
    frame[1] = length64;
    frame.writeBigUInt64BE(BigInt(length), 2);
  }
  frame.write(text, headerBytes);
  return frame;
}
