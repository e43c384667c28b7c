/** A receiver of webhooks that keeps every request and answers as the test says. */
import { createServer, type IncomingHttpHeaders, type RequestListener, type ServerResponse } from 'node:http';
import { createServer as createHttpsServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { certificate, key } from './certificate.ts';
import { waitFor } from './wait.ts';

export type Received = {
  url: string;
  headers: IncomingHttpHeaders;
  bytes: Buffer;
  /** The body as text. */
  text: string;
  /** The body as JSON; throws where it is none. */
  // biome-ignore lint/suspicious/noExplicitAny: tests look into bodies; a wrong path fails the test.
  json: any;
  at: number;
};

/** What the receiver answers: a status, or whatever it likes to do with the response. */
export type Behaviour = number | ((request: Received, response: ServerResponse, count: number) => void);

export type WebhookReceiver = Awaited<ReturnType<typeof startReceiver>>;

/** What a server needs in its environment to reach receivers of tests. */
export const reachReceivers = { WEBHOOK_ALLOW_NETWORKS: '127.0.0.1' };

export async function startReceiver(
  behaviour: Behaviour = 204,
  { https = false, pair = { key, cert: certificate } } = {},
) {
  const received: Received[] = [];
  let behave = behaviour;
  const listener: RequestListener = (request, response) => {
    const chunks: Buffer[] = [];
    request.on('data', (chunk: Buffer) => chunks.push(chunk));
    request.on('end', () => {
      const bytes = Buffer.concat(chunks);
      const text = bytes.toString('utf8');
      const got: Received = {
        url: request.url ?? '',
        headers: request.headers,
        bytes,
        text,
        get json() {
          return JSON.parse(text);
        },
        at: performance.now(),
      };
      received.push(got);
      if (typeof behave === 'number') response.writeHead(behave).end();
      else behave(got, response, received.length);
    });
  };
  const server = https ? createHttpsServer(pair, listener) : createServer(listener);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  return {
    url: `${https ? 'https' : 'http'}://127.0.0.1:${port}`,
    received,
    behave: (next: Behaviour) => {
      behave = next;
    },
    /** Waits until so many requests have come; answers all of them. */
    got: async (count: number, what = `${count} requests`) => {
      await waitFor(() => received.length >= count, {
        what: () => `${what}; there were ${received.length}`,
      });
      return received;
    },
    [Symbol.asyncDispose]: async () => {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
