/** A small set-up that most tests start from: groups, devices and a trigger key. */
import assert from 'node:assert/strict';
import type { TestServer } from './server.ts';

export type MadeDevice = { id: number; name: string; token: string };

export async function makeGroup(server: TestServer, name: string, parent_id?: number): Promise<number> {
  const { status, body } = await server.api('/groups', {
    body: { name, ...(parent_id ? { parent_id } : {}) },
  });
  assert.equal(status, 201);
  return body.id;
}

export async function makeDevice(
  server: TestServer,
  device: { name: string; group_id?: number; type?: string; tags?: string[] },
): Promise<MadeDevice> {
  const { status, body } = await server.api('/devices', { body: device });
  assert.equal(status, 201, JSON.stringify(body));
  return body;
}

export async function makeAction(
  server: TestServer,
  action: { event_id: string; steps: object[]; [setting: string]: unknown },
): Promise<void> {
  const { status, body } = await server.api('/actions', { body: action });
  assert.equal(status, 201, JSON.stringify(body));
}

/** An action of one step for all devices unless said otherwise. */
export function makeStep(
  server: TestServer,
  event_id: string,
  fn: string,
  params: object = {},
  target: object = { all: true },
) {
  return makeAction(server, { event_id, steps: [{ function: fn, params, target }] });
}

export async function makeTriggerKey(server: TestServer, extra: object = {}): Promise<string> {
  const { status, body } = await server.api('/keys', {
    body: { name: `key ${crypto.randomUUID()}`, scopes: ['trigger'], ...extra },
  });
  assert.equal(status, 201, JSON.stringify(body));
  return body.key;
}

/** Fires and expects success; answers the body. */
export async function fire(server: TestServer, event_id: string, payload: object = {}) {
  const { status, body } = await server.trigger({ event_id, ...payload });
  assert.equal(status, 200, JSON.stringify(body));
  return body;
}

export async function traceOf(server: TestServer, triggerId: string) {
  const { status, body } = await server.api(`/triggers/${triggerId}`);
  assert.equal(status, 200);
  return body;
}
