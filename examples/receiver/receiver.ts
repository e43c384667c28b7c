/**
 * A receiver of webhooks to copy from: it takes a POST to any path, verifies it, does nothing twice and prints a
 * line for each request. README.md says how to run it.
 */
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
// In a project of your own: import { verifyWebhook } from 'fleethook/webhook';
import { type Verdict, verifyWebhook, type WebhookRequest } from '../../src/client/verify.ts';

const bodyBytesMax = 20 * 1024 * 1024;
/** Retries end after a day; how many deliveries that is, you know best. A real receiver keeps them in its database. */
const keptIdsMax = 10_000;

export type ReceiverOptions = {
  scheme: WebhookRequest['scheme'];
  /** Two of them while a secret is rotated. */
  secret: string | readonly string[];
  /** For `mode`: the URL as it is configured in Fleethook. */
  url?: string;
  /** 0 takes any free port. */
  port: number;
  host?: string;
  print: (line: string) => void;
  /** Your work: with every verified request, once for each `webhook-id`. When it throws, the sender tries again. */
  receive?: (body: Buffer, request: IncomingMessage) => Promise<void> | void;
};

export type Receiver = { url: string; close: () => Promise<void> };

/** Resolves when it listens. */
export async function startReceiver(options: ReceiverOptions): Promise<Receiver> {
  const { port, host = '127.0.0.1' } = options;
  const done = createKeptIds();
  const server = createServer((request, response) => {
    answer(options, done, request, response).catch((error: unknown) => {
      options.print(`${request.method} ${shown(request.url)} failed: ${shown(String(error))}`);
      if (!response.headersSent) response.writeHead(500).end();
    });
  });
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(port, host, resolve);
  });
  const address = server.address() as AddressInfo;
  return {
    url: `http://${host.includes(':') ? `[${host}]` : host}:${address.port}`,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

async function answer(
  { scheme, secret, url = '', print, receive }: ReceiverOptions,
  done: KeptIds,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const say = (status: number, what: string) => {
    print(`${request.method} ${shown(request.url)} ${status} ${shown(what)}`);
    const isRefusal = status >= 400;
    response.writeHead(status, isRefusal ? { 'content-type': 'text/plain' } : {});
    response.end(isRefusal ? `${what}\n` : undefined);
  };
  if (request.method !== 'POST') return say(405, 'only POST');
  const body = await readBody(request);
  if (!body) return say(413, `more than ${bodyBytesMax} bytes`);
  const verdict: Verdict = verifyWebhook({ scheme, secret, url, headers: request.headers, body });
  if (!verdict.ok) return say(401, verdict.reason);
  const { id } = verdict;
  if (id !== null && done.has(id)) return say(204, `${id} again`);
  await receive?.(body, request);
  if (id !== null) done.add(id);
  say(204, `${id ?? '-'} ${body.length} bytes ${body.toString('utf8', 0, 200)}`);
}

/** The raw bytes: a signature is over them, not over what a parser makes of them. Null when they are too many. */
async function readBody(request: IncomingMessage): Promise<Buffer | null> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of request.iterator({ destroyOnReturn: false }) as AsyncIterable<Buffer>) {
    bytes += chunk.length;
    if (bytes > bodyBytesMax) {
      request.resume(); // thrown away, so that the sender comes to reading the answer
      return null;
    }
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}

type KeptIds = ReturnType<typeof createKeptIds>;

/** The latest ids; a set gives them back in the order they came in. */
function createKeptIds() {
  const ids = new Set<string>();
  return {
    has: (id: string) => ids.has(id),
    add: (id: string) => {
      ids.add(id);
      const [oldest] = ids;
      if (ids.size > keptIdsMax && oldest !== undefined) ids.delete(oldest);
    },
  };
}

/** What comes from outside must not write lines of its own. */
function shown(text = ''): string {
  return text.replace(/[\p{Cc}\u2028\u2029]/gu, ' ').slice(0, 300);
}

if (import.meta.main) {
  const { SCHEME = 'standard', SECRET = '', URL: url = '', PORT = '4000' } = process.env;
  const print = (line: string) => process.stdout.write(`${line}\n`);
  // Several secrets, as during a rotation, with a space between.
  const secret = SECRET.split(' ');
  const receiver = await startReceiver({
    scheme: SCHEME as WebhookRequest['scheme'],
    secret,
    url,
    port: Number(PORT),
    print,
  });
  print(`listening on ${receiver.url}, scheme ${SCHEME}`);
  for (const signal of ['SIGINT', 'SIGTERM']) process.once(signal, () => void receiver.close());
}
