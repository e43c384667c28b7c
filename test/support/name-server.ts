/** A DNS server on a free port of 127.0.0.1 that knows a few names, and is silent about others. */
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { isIPv4 } from 'node:net';
import type { TestContext } from 'node:test';

const [addressType, address6Type] = [1, 28];
const [noProblem, failure, noSuchName] = [0, 2, 3];
const headerBytes = 12;

/** Addresses, or what becomes of the question. Of a name that is not there, there is no such name. */
type Known = readonly string[] | 'silent' | 'failing' | { ipv4: readonly string[]; ipv6: 'silent' };

function readQuestion(message: Buffer): { name: string; type: number; bytes: Buffer } {
  const labels: string[] = [];
  let at = headerBytes;
  for (let length = message[at] ?? 0; length > 0; length = message[at] ?? 0) {
    labels.push(message.toString('latin1', at + 1, at + 1 + length));
    at += 1 + length;
  }
  return {
    name: labels.join('.').toLowerCase(),
    type: message.readUInt16BE(at + 1),
    bytes: message.subarray(headerBytes, at + 5),
  };
}

function bytesOf(address: string): Buffer {
  if (isIPv4(address)) return Buffer.from(address.split('.').map(Number));
  // Of IPv6 the tests know `::` and a last number.
  const bytes = Buffer.alloc(16);
  bytes.writeUInt16BE(Number.parseInt(address.slice(2), 16) || 0, 14);
  return bytes;
}

function answerTo(message: Buffer, type: number, question: Buffer, known: readonly string[], code: number) {
  const found = known.filter((address) => isIPv4(address) === (type === addressType));
  const header = Buffer.alloc(headerBytes);
  message.copy(header, 0, 0, 2);
  header.writeUInt16BE(0x8180 | code, 2);
  header.writeUInt16BE(1, 4);
  header.writeUInt16BE(found.length, 6);
  const records = found.map((address) => {
    const data = bytesOf(address);
    const record = Buffer.alloc(headerBytes);
    record.writeUInt16BE(0xc00c, 0);
    record.writeUInt16BE(type, 2);
    record.writeUInt16BE(1, 4);
    record.writeUInt16BE(data.length, 10);
    return Buffer.concat([record, data]);
  });
  return Buffer.concat([header, question, ...records]);
}

export async function nameServer(t: TestContext, names: Record<string, Known>) {
  const questions: string[] = [];
  const socket = createSocket('udp4');
  socket.on('message', (message, { port, address }) => {
    const { name, type, bytes } = readQuestion(message);
    questions.push(`${name} ${type === addressType ? 'A' : type === address6Type ? 'AAAA' : type}`);
    const known = names[name];
    if (known === 'silent') return;
    if (known !== undefined && known !== 'failing' && 'ipv6' in known) {
      if (type === addressType)
        socket.send(answerTo(message, type, bytes, known.ipv4, noProblem), port, address);
      return;
    }
    const code = known === 'failing' ? failure : known === undefined ? noSuchName : noProblem;
    const addresses = known === undefined || known === 'failing' ? [] : known;
    socket.send(answerTo(message, type, bytes, addresses, code), port, address);
  });
  socket.bind(0, '127.0.0.1');
  await once(socket, 'listening');
  t.after(() => socket.close());
  return {
    servers: [`127.0.0.1:${socket.address().port}`],
    names,
    /** What was asked, as `name A`. */
    questions,
    asked: (name: string) => questions.filter((question) => question.startsWith(`${name} `)).length,
  };
}
