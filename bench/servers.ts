/** Starts what is measured and what loads it, each on its core, and measures the CPU a phase costs a server. */
import { spawnSync } from 'node:child_process';
import { cpSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { availableParallelism, tmpdir } from 'node:os';
import { join } from 'node:path';
import { enrollDevices } from '../src/fleet/enroll.ts';
import { type Child, startChild } from './child.ts';
import type { LoadAsks, Post } from './load.ts';
import type { Hot, measures } from './measure.ts';
import type { PeerAsks, PeerName } from './peers.ts';
import type { SendAsks, SenderName } from './senders.ts';
import type { ServeAsks } from './serve.ts';

export type ServerName = PeerName | 'Fleethook';
/** What figures are of; some are Fleethook's own under other conditions. */
export type ColumnName = ServerName | SenderName | 'without them';
/** Figures by name, for each column, of one round. */
export type Round = Map<ColumnName, Record<string, number>>;

export type MeasuredServer = {
  child: Child<typeof measures>;
  url: string;
  /** What fires one trigger, or one broadcast to everyone. */
  post: Post;
  databaseFile: string | null;
} & AsyncDisposable;

export type FleethookServer = MeasuredServer & {
  databaseFile: string;
  /** POSTs to the management API; answers what was made. */
  create(path: string, what: object): Promise<Record<string, unknown>>;
};

const adminKey = 'bench-admin-key-of-40-characters-or-more';
const eventId = 'motion';
const body = JSON.stringify({ event_id: eventId, sensor_data: { id: 's1', event: 'motion', value: '1' } });

// ---------------------------------------------------------------------------------------------- cores

const serverCore = 0;
const loadCore = 1;

/** Null when this machine can't give the server and the load a core each. */
export const cores: { server: number; load: number } | null =
  availableParallelism() >= 2 && [serverCore, loadCore].every(canPin)
    ? { server: serverCore, load: loadCore }
    : null;

function canPin(core: number): boolean {
  return spawnSync('taskset', ['-c', String(core), 'true']).status === 0;
}

/** This process belongs to the load. */
export function pinThisProcess(): void {
  if (cores) spawnSync('taskset', ['-a', '-c', '-p', String(cores.load), String(process.pid)]);
}

// ---------------------------------------------------------------------------------------------- starting

export function startLoad(): Promise<Child<LoadAsks>> {
  return startChild<LoadAsks>('load.ts', { core: cores?.load ?? null });
}

/** A data folder with an enrolled fleet, an action for all of it and a key to fire it: every server starts on a copy. */
export type Fleet = { tokens: string[]; start(): Promise<FleethookServer> } & Disposable;

export async function prepareFleet(devices: number): Promise<Fleet> {
  using made = new DisposableStack();
  const folder = mkdtempSync(join(tmpdir(), 'fleethook-bench-'));
  const remove = () => rmSync(folder, { recursive: true, force: true });
  made.defer(remove);
  // Also when somebody has had enough of waiting.
  process.once('exit', remove);
  const first = join(folder, 'first');
  mkdirSync(first);
  const serve = (dataDir: string) =>
    startChild<ServeAsks>('serve.ts', {
      core: cores?.server ?? null,
      env: { DATA_DIR: dataDir, FLEETHOOK_ADMIN_KEY: adminKey, WEBHOOK_ALLOW_NETWORKS: '127.0.0.1' },
    });

  await using server = await serve(first);
  const url = await server.ask('url');
  const enrolled = await enrollDevices({ url, key: adminKey, count: devices, prefix: 'bench' });
  const params = { message: 'Motion at {{ sensor_data.id }}' };
  const steps = [{ function: 'show_toast', params, target: { all: true } }];
  await create(url, 'actions', { event_id: eventId, steps });
  const { key } = await create(url, 'keys', { name: 'bench', scopes: ['trigger'] });
  await server.ask('close');

  let copies = 0;
  const kept = made.move();
  return {
    tokens: enrolled.map((device) => device.token),
    async start() {
      copies += 1;
      const copy = join(folder, `copy-${copies}`);
      cpSync(first, copy, { recursive: true });
      const child = await serve(copy);
      const address = await child.ask('url');
      return {
        child,
        url: address,
        post: {
          url: `${address}/public-api/integration/webhooks`,
          headers: { 'content-type': 'application/json', 'x-webhook-apikey': String(key) },
          body,
        },
        databaseFile: join(copy, 'fleethook.db'),
        create: (path, what) => create(address, path, what),
        async [Symbol.asyncDispose]() {
          await child[Symbol.asyncDispose]();
          rmSync(copy, { recursive: true, force: true });
        },
      };
    },
    [Symbol.dispose]: () => kept.dispose(),
  };
}

async function create(url: string, path: string, what: object): Promise<Record<string, unknown>> {
  const response = await fetch(`${url}/api/v1/${path}`, {
    method: 'POST',
    headers: { authorization: `Bearer ${adminKey}`, 'content-type': 'application/json' },
    body: JSON.stringify(what),
  });
  if (response.status !== 201) throw new Error(`${path}: ${response.status} ${await response.text()}`);
  return (await response.json()) as Record<string, unknown>;
}

export async function startServer(name: ServerName, fleet: Fleet): Promise<MeasuredServer> {
  if (name === 'Fleethook') return fleet.start();
  const child = await startChild<PeerAsks>('peers.ts', { args: [name], core: cores?.server ?? null });
  const url = await child.ask('url');
  return {
    child,
    url,
    post: { url, headers: { 'content-type': 'application/json' }, body },
    databaseFile: null,
    [Symbol.asyncDispose]: () => child[Symbol.asyncDispose](),
  };
}

export function startSender(name: SenderName): Promise<Child<SendAsks>> {
  return startChild<SendAsks>('senders.ts', { args: [name], core: cores?.server ?? null });
}

// ---------------------------------------------------------------------------------------------- measuring

/** Where a profile goes, and the functions that it found. */
export type Profile = { path: string; take(hot: Hot[]): void };

/** What `work` answered, and the microseconds of CPU that the server used for it. A profile makes them more. */
export async function cpuOf<T>(
  { child }: Pick<MeasuredServer, 'child'>,
  work: () => Promise<T>,
  profile?: Profile | null,
): Promise<{ cpu: number; answer: T }> {
  if (profile) await child.ask('startProfile');
  const before = await child.ask('cpu');
  const answer = await work();
  const after = await child.ask('cpu');
  if (profile) profile.take(await child.ask('stopProfile', profile.path));
  return { cpu: after - before, answer };
}
