/**
 * What Fleethook's deliveries are compared with: the same requests in a plain loop that stores nothing, signs nothing
 * and guards no address. `node bench/senders.ts <name>`
 */
import { Agent, fetch, request } from 'undici';
import { answerAsks } from './child.ts';
import { measures } from './measure.ts';

export type SenderName = 'undici.request' | 'undici fetch';
export type SendAsks = typeof asks;

const headers = { 'user-agent': 'bench', 'content-type': 'application/json' };
const dispatcher = new Agent();

/** Each sends one request, reads the answer and says its status. */
const senders: Record<SenderName, (url: string, body: string) => Promise<number>> = {
  async 'undici.request'(url, body) {
    const response = await request(url, { dispatcher, method: 'POST', headers, body });
    await response.body.dump();
    return response.statusCode;
  },
  async 'undici fetch'(url, body) {
    const response = await fetch(url, { dispatcher, method: 'POST', headers, body });
    await response.text();
    return response.status;
  },
};

/** As long as what Fleethook says of an event. */
function bodyOf(place: number): string {
  return JSON.stringify({
    eventType: 'motion',
    eventData: { sent: performance.now(), place },
    timestamp: new Date().toISOString(),
    homeId: 0,
    originDeviceId: 1_000,
    originDeviceIp: '127.0.0.1',
  });
}

const send = senders[process.argv[2] as SenderName];
const asks = {
  ...measures,
  /** Sends that many, so many at once; answers the seconds until the last was answered. */
  async send(of: { url: string; total: number; atOnce: number }): Promise<number> {
    let sent = 0;
    const start = performance.now();
    const lane = async () => {
      while (sent < of.total) {
        sent += 1;
        const status = await send(of.url, bodyOf(sent));
        if (status !== 200) throw new Error(`the receiver answered ${status}`);
      }
    };
    await Promise.all(Array.from({ length: of.atOnce }, lane));
    return (performance.now() - start) / 1_000;
  },
};
answerAsks(asks);
