/** `fleethook demo`: a server with a fleet to play with. What it makes stays for the next start. */

import { once } from 'node:events';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type App, startApp } from '../app.ts';
import { connectDevice, type Device } from '../client/device.ts';
import type { Config } from '../config.ts';
import { type Caller, systemCaller } from '../domain/access/caller.ts';
import { getKey } from '../domain/access/key.ts';
import type { Fact } from '../domain/feed.ts';
import { revealSecret } from '../domain/webhook/secret.ts';
import { changeWebhook, createWebhook, listWebhooks } from '../domain/webhook/webhook.ts';
import { type DemoFleet, demoEvents, fillDemo } from './demo-fleet.ts';
import { startDemoReceiver } from './demo-receiver.ts';
import { createReporter } from './demo-report.ts';

const caller: Caller = systemCaller(1, 'demo');
const fileName = 'demo.json';
const webhookName = 'Demo receiver';

export type DemoOptions = { config: Config; signal: AbortSignal; say: (line: string) => void };

/** Runs until the signal. Rejects when the port is taken or the database is not the demo's. */
export async function runDemo({ config, signal, say }: DemoOptions): Promise<void> {
  const app = await startApp({ config });
  const devices: Device[] = [];
  let secret = '';
  const receiver = await startDemoReceiver(() => secret, say);
  try {
    const { fleet, isNew } = await fleetOf(app, config);
    secret = await pointWebhook(app, receiver.url);
    say(isNew ? 'A demo fleet was made.' : 'The demo fleet of last time is back.');
    for (const { token } of fleet.devices)
      devices.push(connectDevice({ url: app.url, token, onState, onCommand }));
    await allOnline(app, fleet.devices.length, signal);
    for (const line of introduction(app.url, fleet, config)) say(line);
    await devices.at(-1)?.event('gate.opened', { by: 'badge 12' });
    const unsubscribe = app.ctx.feed.subscribe(createReporter(app.ctx, caller, say, signal));
    if (!signal.aborted) await once(signal, 'abort');
    unsubscribe();
    say('\nEnding: the data stays for the next start.');
  } finally {
    await Promise.all(devices.map((device) => device.close()));
    await app.close();
    await receiver.close();
  }
}

/** The devices of the demo have nothing to show it on: that they could is all they report. */
function onState(): void {}
function onCommand(): void {}

async function fleetOf(app: App, config: Config): Promise<{ fleet: DemoFleet; isNew: boolean }> {
  const path = join(config.dataDir, fileName);
  const kept = readFleet(path);
  if (kept && (await isThere(app, kept))) return { fleet: kept, isNew: false };
  const fleet = await fillDemo(app.ctx, caller);
  writeFileSync(path, JSON.stringify(fleet, null, 2), { mode: 0o600 });
  return { fleet, isNew: true };
}

function readFleet(path: string): DemoFleet | null {
  try {
    return JSON.parse(readFileSync(path, 'utf8')) as DemoFleet;
  } catch {
    // The first start.
    return null;
  }
}

/** The file may be of another database than the one that was opened. */
async function isThere(app: App, fleet: DemoFleet): Promise<boolean> {
  return getKey(app.ctx, caller, fleet.keyId).then(
    () => true,
    () => false,
  );
}

/** Sends what the devices say to where the receiver listens this time; answers the secret it is signed with. */
async function pointWebhook(app: App, url: string): Promise<string> {
  const { ctx } = app;
  const { items } = await listWebhooks(ctx, caller, { q: webhookName });
  const known = items.find((webhook) => webhook.name === webhookName);
  if (known) await changeWebhook(ctx, caller, known.id, { url, enabled: true });
  const { id } = known ?? (await createWebhook(ctx, caller, { name: webhookName, url }));
  const { secret } = await revealSecret(ctx, caller, id);
  return secret ?? '';
}

async function allOnline(app: App, count: number, signal: AbortSignal): Promise<void> {
  if (app.ctx.live.presence.count() >= count) return;
  await new Promise<void>((resolve) => {
    const unsubscribe = app.ctx.feed.subscribe((fact: Fact) => {
      if (fact.kind === 'online' && app.ctx.live.presence.count() >= count) done();
    });
    const done = () => {
      unsubscribe();
      resolve();
    };
    signal.addEventListener('abort', done, { once: true });
  });
}

function introduction(url: string, { key, link, devices }: DemoFleet, config: Config): string[] {
  const gate = devices.at(-1);
  const hook = `${url}/public-api/integration/webhooks`;
  const payload = Buffer.from(JSON.stringify({ event_id: 'toast', message: 'Lunch is ready' })).toString(
    'base64',
  );
  const json = `-H 'content-type: application/json'`;
  return [
    '',
    `Fleethook is up at ${url} with ${devices.length} devices online. Paste one of these into another terminal:`,
    '',
    '  # a POST, as a fire panel would send it; it waits until every device has done it',
    `  curl '${hook}?wait=5s' -H 'x-webhook-apikey: ${key}' ${json} -d '{"event_id":"evacuate","message":"Leave by the stairs"}'`,
    '',
    '  # and its end',
    `  curl '${hook}' -H 'x-webhook-apikey: ${key}' ${json} -d '{"event_id":"all-clear"}'`,
    '',
    '  # a GET with a Base64 payload, as a link in a browser would',
    `  curl '${hook}?api_key=${key}&payload=${encodeURIComponent(payload)}'`,
    '',
    '  # a GET by event_id',
    `  curl '${hook}?event_id=pause-loop&api_key=${key}'`,
    '',
    '  # a safe link: open it in a browser and press the button, or',
    `  curl -X POST '${url}${link}'`,
    '',
    '  # the other way: a device says something, and the receiver of a webhook prints the signed request it got',
    `  curl -X PUT '${url}/devices/${gate?.id}/event' -H 'authorization: Bearer ${gate?.token}' -d '{"eventType":"gate.opened","eventData":{"by":"badge 7"}}'`,
    '',
    `All events: ${demoEvents.join(', ')}.`,
    `The contract is at ${url}/docs; the key for all of it is ${adminKeyPlace(config)}. Ctrl-C ends the demo.`,
    '',
  ];
}

function adminKeyPlace(config: Config): string {
  return config.adminKey === null ? `in ${join(config.dataDir, 'admin-key')}` : 'your FLEETHOOK_ADMIN_KEY';
}
