/** The other end of the demo's webhook: a receiver that verifies every request and prints what was said. */
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { verifyWebhook } from '../client/verify.ts';

export type DemoReceiver = { url: string; close: () => Promise<void> };

const host = '127.0.0.1';
const shownMax = 240;

/** `secret` is asked for with each request: the webhook is made once it is known where the receiver listens. */
export async function startDemoReceiver(
  secret: () => string,
  say: (line: string) => void,
): Promise<DemoReceiver> {
  const server = createServer(async (request, response) => {
    const chunks: Buffer[] = [];
    for await (const chunk of request as AsyncIterable<Buffer>) chunks.push(chunk);
    const body = Buffer.concat(chunks);
    const verdict = verifyWebhook({ scheme: 'standard', secret: secret(), headers: request.headers, body });
    const time = new Date().toISOString().slice(11, 19);
    const text = body.toString('utf8').slice(0, shownMax);
    say(
      verdict.ok
        ? `${time}  receiver: verified ${verdict.id}  ${text}`
        : `${time}  receiver: refused, ${verdict.reason}`,
    );
    response.writeHead(verdict.ok ? 204 : 401).end();
  });
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(0, host, resolve);
  });
  const { port } = server.address() as AddressInfo;
  return {
    url: `http://${host}:${port}`,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}
