/** `fleethook simulate`: a fleet of any size in this process, against a server that runs somewhere. */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { type EnrolledDevice, enrollDevices } from './enroll.ts';
import { type FleetStats, simulateFleet } from './simulated-fleet.ts';

const reportEveryMs = 1_000;
/** Devices tell their token once: kept here, a second run need not give thousands of them new ones. */
const tokensPath = './data/simulate.json';

export type SimulationOptions = {
  url: string;
  key: string;
  devices: number;
  prefix: string;
  chaos: boolean;
  applyMilliseconds: number;
  /** Null: until the signal. */
  seconds: number | null;
  signal: AbortSignal;
  say: (line: string) => void;
};

/** Runs until time is up or the signal; then every device is closed and the figures are said once more. */
export async function runSimulation(options: SimulationOptions): Promise<void> {
  const { say, signal, seconds } = options;
  const devices = await enroll(options);
  const over = seconds === null ? signal : AbortSignal.any([signal, AbortSignal.timeout(seconds * 1_000)]);
  say(`connecting ${devices.length} devices to ${options.url} (Ctrl-C ends)`);
  const fleet = simulateFleet({
    url: options.url,
    tokens: devices.map((device) => device.token),
    chaos: options.chaos,
    applyMilliseconds: options.applyMilliseconds,
    signal: over,
  });
  let said = '';
  while (!over.aborted) {
    await sleep(reportEveryMs, undefined, { signal: over }).catch(() => undefined);
    const line = describe(fleet.stats);
    if (line !== said) say(line);
    said = line;
  }
  await fleet.ended;
  say(`ended: ${describe(fleet.stats)}`);
}

async function enroll(options: SimulationOptions): Promise<EnrolledDevice[]> {
  const { url, key, devices: count, prefix, say, signal } = options;
  const kept = readTokens();
  const name = `${url} ${prefix}`;
  const known = kept[name] ?? [];
  if (known.length >= count) return known.slice(0, count);
  say(`enrolling ${count} devices`);
  const devices = await enrollDevices({ url, key, count, prefix, signal });
  mkdirSync(dirname(tokensPath), { recursive: true, mode: 0o700 });
  writeFileSync(tokensPath, JSON.stringify({ ...kept, [name]: devices }), { mode: 0o600 });
  return devices;
}

function readTokens(): Record<string, EnrolledDevice[]> {
  try {
    return JSON.parse(readFileSync(tokensPath, 'utf8')) as Record<string, EnrolledDevice[]>;
  } catch {
    // Not there, or not ours: then the devices get new tokens.
    return {};
  }
}

function describe(stats: Readonly<FleetStats>): string {
  const { devices, connected, states, pulses, applied, failed, reconnects, attemptsFailed, lastError } =
    stats;
  const trouble = attemptsFailed > 0 ? `, ${attemptsFailed} attempts failed (${lastError})` : '';
  return (
    `${connected}/${devices} connected, ${states} states, ${pulses} pulses, ${applied} applied, ` +
    `${failed} failed, ${reconnects} reconnects${trouble}`
  );
}
