/** Webhooks and what is delivered to them, on a clock that a test puts forward. */
import assert from 'node:assert/strict';
import { makeDevice } from './fleet.ts';
import { bodyOf } from './management.ts';
import type { startServer, TestDevice, TestServer } from './server.ts';
import { waitFor } from './wait.ts';
import { reachReceivers, type WebhookReceiver } from './webhook-receiver.ts';

export const hourMs = 60 * 60 * 1_000;

/** A clock that a test can put forward. */
function clock() {
  let ahead = 0;
  return {
    now: () => Date.now() + ahead,
    forward: (milliseconds: number) => {
      ahead += milliseconds;
    },
  };
}

/** A server on such a clock, with one device. */
export async function setUpDeliveries(start: typeof startServer, env: Record<string, string> = {}) {
  const time = clock();
  const server = await start({ env: { ...reachReceivers, ...env }, now: time.now });
  const made = await makeDevice(server, { name: 'sensor' });
  const device = await server.device(made.token);
  return { time, server, made, device };
}

export async function makeWebhook(server: TestServer, webhook: object) {
  return bodyOf(await server.api('/webhooks', { body: { name: crypto.randomUUID(), ...webhook } }), 201);
}

export async function webhookOf(server: TestServer, id: string) {
  return bodyOf(await server.api(`/webhooks/${id}`), 200);
}

export async function changeWebhook(server: TestServer, id: string, body: object) {
  return bodyOf(await server.api(`/webhooks/${id}`, { method: 'PATCH', body }), 200);
}

export async function say(device: TestDevice, eventType: string, eventData: object = {}): Promise<string> {
  const answer = await device.socket.timeout(5_000).emitWithAck('event', { eventType, eventData });
  assert.equal(answer.ok, true, JSON.stringify(answer));
  return answer.id;
}

export async function onlyDelivery(server: TestServer, webhookId: string) {
  const { items } = bodyOf(await server.api(`/webhooks/${webhookId}/deliveries`), 200);
  assert.equal(items.length, 1);
  return items[0];
}

/** Waits until the only delivery of the webhook has the status. */
export async function becomes(server: TestServer, webhookId: string, status: string) {
  return waitFor(
    async () => {
      const delivery = await onlyDelivery(server, webhookId);
      return delivery.status === status && delivery;
    },
    { what: `a delivery that is ${status}` },
  );
}

/** Waits until what came of so many requests is written down, and of all that have come. */
export async function settled(
  server: TestServer,
  webhookId: string,
  receiver: WebhookReceiver,
  count: number,
): Promise<void> {
  const written = async () =>
    bodyOf(await server.api(`/webhooks/${webhookId}/logs?limit=200`), 200).items.length;
  await waitFor(
    async () => receiver.received.length >= count && (await written()) === receiver.received.length,
    { what: () => `${count} attempts to be written down, there were ${receiver.received.length}` },
  );
}
