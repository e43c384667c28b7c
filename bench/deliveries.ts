/**
 * Outgoing deliveries: how many a second and what one costs, beside plain loops that keep nothing; and how long the
 * others wait while fifty receivers hang.
 */
import { DatabaseSync } from 'node:sqlite';
import { setTimeout as sleep } from 'node:timers/promises';
import type { SenderName } from './senders.ts';
import {
  type ColumnName,
  cpuOf,
  type Fleet,
  type FleethookServer,
  type Profile,
  type Round,
  startLoad,
  startSender,
} from './servers.ts';

export const deliveryColumns = [
  'undici.request',
  'undici fetch',
  'Fleethook',
] as const satisfies ColumnName[];
export const hangColumns = ['without them', 'Fleethook'] as const satisfies ColumnName[];

/** As many requests in flight as Fleethook has for one webhook. */
const atOnce = 16;
const warmUpRounds = 1;
/** What was delivered last is written down a moment later: that belongs to its cost. */
const settleMs = 500;
/** Events that the webhooks ask for, and such as are stored and go nowhere. */
const wanted = 'motion';
const unwanted = 'calm';

type Options = {
  fleet: Fleet;
  profile: ((phase: string) => Profile) | null;
  say: (line: string) => void;
};
type Load = Awaited<ReturnType<typeof startLoad>>;

function connect({ url }: FleethookServer, load: Load, { fleet }: Options, devices: number): Promise<number> {
  return load.ask('connect', { url, dialect: 'state', tokens: fleet.tokens.slice(0, devices) });
}

/** Answers its secret. */
async function subscribe(server: FleethookServer, url: string): Promise<string> {
  const webhook = { name: url, url, signature: 'standard', filter: { event_types: [wanted] } };
  return String((await server.create('webhooks', webhook)).secret);
}

// ---------------------------------------------------------------------------------------------- how many

/** `events` from each device in each round, all at once. */
export async function measureDeliveries(
  options: Options & { rounds: number; devices: number; events: number },
): Promise<{ rounds: Round[]; checks: string[] }> {
  const { fleet, say, devices, events } = options;
  await using started = new AsyncDisposableStack();
  const load = started.use(await startLoad());
  const server = started.use(await fleet.start());
  const [url = ''] = await load.ask('openReceivers', 1);
  const secret = await subscribe(server, url);
  await connect(server, load, options, devices);
  const total = devices * events;

  const loop = async (name: SenderName) => {
    const child = started.use(await startSender(name));
    return async () => {
      const { cpu, answer } = await cpuOf({ child }, () => child.ask('send', { url, total, atOnce }));
      await load.ask('heardOf', total);
      return { seconds: answer, cpu };
    };
  };
  const flood = async (eventType: string, profile: Profile | null) => {
    const receivers = eventType === wanted ? 1 : 0;
    const work = async () => {
      const seconds = await load.ask('flood', { eventType, each: events, receivers });
      await sleep(settleMs);
      return seconds;
    };
    const { cpu, answer } = await cpuOf(server, work, profile);
    return { seconds: answer, cpu };
  };
  const figuresOf = ({ seconds, cpu }: { seconds: number; cpu: number }) => ({
    perSecond: total / seconds,
    cpu: cpu / total,
    busy: cpu / 10_000 / seconds,
  });

  const [plain, fetching] = [await loop('undici.request'), await loop('undici fetch')];
  const rounds: Round[] = [];
  for (let round = 1 - warmUpRounds; round <= options.rounds; round += 1) {
    say(round < 1 ? 'deliveries: all warm up' : `deliveries: round ${round} of ${options.rounds}`);
    const profileOf = (phase: string) =>
      round === options.rounds ? (options.profile?.(phase) ?? null) : null;
    const figures: Round = new Map([
      ['undici.request', figuresOf(await plain())],
      ['undici fetch', figuresOf(await fetching())],
    ]);
    const { cpu } = await flood(unwanted, profileOf('events without a webhook'));
    const delivered = figuresOf(await flood(wanted, profileOf('deliveries')));
    await load.ask('verifyLast', secret);
    figures.set('Fleethook', { ...delivered, eventCpu: cpu / total });
    if (round >= 1) rounds.push(figures);
  }

  const sent = total * (options.rounds + warmUpRounds);
  const settled = countDelivered(server.databaseFile);
  if (settled !== sent) throw new Error(`${sent} deliveries were heard, ${settled} are settled on disk`);
  return {
    rounds,
    checks: [
      `Deliveries: all ${sent} events were heard, each once; its database holds them, with a delivery each, settled` +
        ` at the first attempt. The last signature of every round was verified.`,
    ],
  };
}

function countDelivered(databaseFile: string): number {
  using database = new DatabaseSync(databaseFile, { readOnly: true });
  const row = database
    .prepare("select count(*) as total from deliveries where status = 'delivered' and attempts = 1")
    .get();
  return Number(row?.total);
}

// ---------------------------------------------------------------------------------------------- while others hang

/** A new server for each measurement: what hangs would go on hanging into the next. */
export async function measureHanging(
  options: Options & {
    rounds: number;
    devices: number;
    receivers: number;
    hanging: number;
    perSecond: number;
    seconds: number;
    warmUpSeconds: number;
  },
): Promise<{ rounds: Round[]; checks: string[] }> {
  const { fleet, say, receivers, perSecond } = options;
  let attempts = 0;

  async function talk(hanging: number, profile: Profile | null) {
    await using load = await startLoad();
    await using server = await fleet.start();
    const urls = await load.ask('openReceivers', receivers);
    const hung = await load.ask('openHangingReceivers', hanging);
    for (const url of [...urls, ...hung]) await subscribe(server, url);
    await connect(server, load, options, options.devices);
    const listen = (seconds: number) =>
      load.ask('talk', { eventType: wanted, perSecond, seconds, receivers });
    await listen(options.warmUpSeconds);
    const start = performance.now();
    const { cpu, answer } = await cpuOf(server, () => listen(options.seconds), profile);
    const busy = cpu / 10 / (performance.now() - start);
    await sleep(settleMs);
    const delivered = countDelivered(server.databaseFile);
    const expected = perSecond * (options.seconds + options.warmUpSeconds) * receivers;
    if (delivered !== expected) throw new Error(`${expected} were heard, ${delivered} are settled`);
    attempts += countFailed(server.databaseFile);
    return { ...answer, busy, cpu: cpu / (perSecond * options.seconds * receivers) };
  }

  const rounds: Round[] = [];
  for (let round = 1; round <= options.rounds; round += 1) {
    const figures: Round = new Map();
    for (const [column, hanging] of [
      ['without them', 0],
      ['Fleethook', options.hanging],
    ] as const) {
      say(`${receivers} receivers, ${hanging} hang: round ${round} of ${options.rounds}`);
      const isProfiled = round === options.rounds && hanging > 0;
      const profile = isProfiled ? (options.profile?.('deliveries beside some that hang') ?? null) : null;
      figures.set(column, await talk(hanging, profile));
    }
    rounds.push(figures);
  }
  return {
    rounds,
    checks: [
      `Hanging: every event reached all ${receivers} others once, at the first attempt; ${attempts} attempts at the` +
        ` ${options.hanging} ended in vain meanwhile.`,
    ],
  };
}

function countFailed(databaseFile: string): number {
  using database = new DatabaseSync(databaseFile, { readOnly: true });
  return Number(
    database.prepare("select count(*) as total from webhook_logs where level <> 'INFO'").get()?.total,
  );
}
