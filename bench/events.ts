/** The load's part in deliveries: devices that say something, and the receivers of webhooks that hear of it. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { WebSocket } from 'ws';
import { verifyWebhook } from '../src/client/verify.ts';
import { bodyOf, headerOf, openHangingReceiver, openReceiver } from './receiver.ts';
import { createTally, type Tally } from './tally.ts';

/** As many events as one turn of the event loop would send. */
const eventsPerTurn = 250;
const sentMember = '"sent":';

/** `answers` counts the acknowledgements, of which the devices tell it. */
export function createEventAsks(devices: () => readonly { socket: WebSocket }[], answers: Tally) {
  const deliveries = createTally('deliveries');
  /** Of one ask. */
  const heardIds = new Set<string>();
  let latencies: number[] = [];
  let lastRequest = '';
  let lastAckId = 0;

  function hear(request: string): void {
    const at = request.lastIndexOf(sentMember);
    latencies.push(performance.now() - Number.parseFloat(request.slice(at + sentMember.length)));
    const id = headerOf(request, 'webhook-id');
    if (id !== null) heardIds.add(id);
    lastRequest = request;
    deliveries.add();
  }

  function say(place: number, eventType: string): void {
    const all = devices();
    lastAckId += 1;
    const event = { eventType, eventData: { sent: performance.now(), place } };
    all[place % all.length]?.socket.send(`42/devices,${lastAckId}${JSON.stringify(['event', event])}`);
  }

  /** Waits until all that was said is acknowledged and delivered, each once. */
  async function hearAll(said: number, delivered: number, sayAll: () => Promise<void>): Promise<void> {
    heardIds.clear();
    latencies = [];
    await answers.more(said, () => deliveries.more(delivered, sayAll));
    if (heardIds.size !== delivered)
      throw new Error(`${delivered} deliveries with ${heardIds.size} ids: some came twice`);
  }

  return {
    /** Each on a port of its own, as other people's would be; answers their URLs. */
    openReceivers: (count: number): Promise<string[]> =>
      Promise.all(Array.from({ length: count }, () => openReceiver(hear))),
    openHangingReceivers: (count: number): Promise<string[]> =>
      Promise.all(Array.from({ length: count }, openHangingReceiver)),

    /** What a plain loop has sent, and was answered; throws unless it was heard. */
    heardOf: (total: number): void => deliveries.took(total),

    /** Every device says so much, as fast as it goes out; answers the seconds until all was acknowledged and delivered. */
    async flood(of: { eventType: string; each: number; receivers: number }): Promise<number> {
      const total = devices().length * of.each;
      const start = performance.now();
      await hearAll(total, total * of.receivers, async () => {
        for (let place = 0; place < total; place += 1) {
          say(place, of.eventType);
          if (place % eventsPerTurn === 0) await new Promise((resolve) => setImmediate(resolve));
        }
      });
      return (performance.now() - start) / 1_000;
    },

    /** One event at a time, evenly; answers the milliseconds from its being sent to its arrival, over all receivers. */
    async talk(of: {
      eventType: string;
      perSecond: number;
      seconds: number;
      receivers: number;
    }): Promise<{ p50: number; p99: number; max: number }> {
      const total = of.perSecond * of.seconds;
      await hearAll(total, total * of.receivers, async () => {
        const start = performance.now();
        for (let place = 0; place < total; place += 1) {
          await sleep(Math.max(0, start + (place * 1_000) / of.perSecond - performance.now()));
          say(place, of.eventType);
        }
      });
      const sorted = Float64Array.from(latencies).sort();
      const at = (share: number) => sorted[Math.ceil(share * sorted.length) - 1] ?? Number.NaN;
      return { p50: at(0.5), p99: at(0.99), max: at(1) };
    },

    /** Throws unless the last request that was heard is signed with the secret. */
    verifyLast(secret: string): void {
      const headers = Object.fromEntries(
        ['webhook-id', 'webhook-timestamp', 'webhook-signature'].map((name) => [
          name,
          headerOf(lastRequest, name) ?? undefined,
        ]),
      );
      const body = Buffer.from(bodyOf(lastRequest), 'latin1');
      const verdict = verifyWebhook({ scheme: 'standard', secret, headers, body });
      if (!verdict.ok) throw new Error(`the signature is not good: ${verdict.reason}`);
    },
  };
}
