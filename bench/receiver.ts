/** Receivers of webhooks that cost the load as little as can be: bare TCP with as much HTTP/1.1 as undici speaks. */
import { once } from 'node:events';
import { type AddressInfo, createServer, type Server } from 'node:net';

const answer = 'HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: 2\r\n\r\nok';
const headEnd = '\r\n\r\n';

/** Answers every request with 200 and hands it on, head and body, as Latin-1; answers its URL. */
export function openReceiver(hear: (request: string) => void): Promise<string> {
  const server = createServer({ noDelay: true }, (socket) => {
    let rest = '';
    socket.setEncoding('latin1');
    socket.on('error', () => undefined);
    socket.on('data', (part: string) => {
      rest += part;
      for (;;) {
        const end = rest.indexOf(headEnd);
        if (end < 0) return;
        const length = end + headEnd.length + Number(headerOf(rest, 'content-length') ?? Number.NaN);
        if (Number.isNaN(length)) throw new Error(`a request without length: ${rest.slice(0, end)}`);
        if (rest.length < length) return;
        hear(rest.slice(0, length));
        rest = rest.slice(length);
        socket.write(answer);
      }
    });
  });
  return listen(server);
}

/** Takes every connection and all that is sent, and never says a word; answers its URL. */
export function openHangingReceiver(): Promise<string> {
  const server = createServer((socket) => {
    socket.on('error', () => undefined);
    socket.resume();
  });
  return listen(server);
}

async function listen(server: Server): Promise<string> {
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}/hook`;
}

export function headerOf(request: string, name: string): string | null {
  const start = `\r\n${name}: `;
  const at = request.indexOf(start);
  return at < 0 ? null : request.slice(at + start.length, request.indexOf('\r\n', at + start.length));
}

export function bodyOf(request: string): string {
  return request.slice(request.indexOf(headEnd) + headEnd.length);
}
