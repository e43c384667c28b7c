/** A connected fleet: what it costs a server to take it in, to keep it, to tell all of it something, and to hear back. */
import { DatabaseSync } from 'node:sqlite';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Dialect } from './load.ts';
import {
  cpuOf,
  type Fleet,
  type Profile,
  type Round,
  type ServerName,
  startLoad,
  startServer,
} from './servers.ts';

export const fleetServers = ['raw ws', 'Socket.IO', 'Fleethook'] as const satisfies ServerName[];
type FleetServer = (typeof fleetServers)[number];

const dialects: Record<FleetServer, Dialect> = {
  'raw ws': 'open',
  'Socket.IO': 'namespace',
  Fleethook: 'state',
};
/** Connect first and go, so that the connections that count meet a server that has seen some. */
const warmUpDevices = 500;
/** Fleethook writes down once a second who was seen: that belongs to the cost of a connection. */
const settleMs = 1_500;
const commandsPerRound = 10_000;
const warmUpRounds = 2;

type Options = {
  fleet: Fleet;
  devices: number;
  rounds: number;
  profile: ((phase: string) => Profile) | null;
  say: (line: string) => void;
};

/** A server and its load, alone on their cores as long as nobody asks the others for anything. */
async function startPair(name: FleetServer, { fleet, devices }: Options) {
  await using started = new AsyncDisposableStack();
  const [server, load] = await Promise.all([
    startServer(name, fleet).then((server) => started.use(server)),
    startLoad().then((load) => started.use(load)),
  ]);
  const parts = started.move();
  return {
    name,
    server,
    load,
    connect: (count = devices) =>
      load.ask('connect', { url: server.url, dialect: dialects[name], tokens: fleet.tokens.slice(0, count) }),
    [Symbol.asyncDispose]: () => parts.disposeAsync(),
  };
}

// ---------------------------------------------------------------------------------------------- connecting

/** Every server starts anew in every round: a heap that was larger before would hide what a device adds. */
export async function measureConnects(options: Options): Promise<Round[]> {
  const { devices, say } = options;
  const rounds: Round[] = [];
  for (let round = 1; round <= options.rounds; round += 1) {
    const figures: Round = new Map();
    for (const name of fleetServers) {
      say(`${devices} devices connect: round ${round} of ${options.rounds}, ${name}`);
      const isProfiled = round === options.rounds && name === 'Fleethook';
      figures.set(name, await connectOnce(name, options, isProfiled));
    }
    rounds.push(figures);
  }
  return rounds;
}

async function connectOnce(name: FleetServer, options: Options, isProfiled: boolean) {
  const { devices, profile } = options;
  await using pair = await startPair(name, options);
  const { child } = pair.server;
  await pair.connect(Math.min(warmUpDevices, devices));
  await pair.load.ask('disconnect');
  await sleep(settleMs);
  const before = await child.ask('memory');
  const work = async () => {
    const took = await pair.connect();
    await sleep(settleMs);
    return took;
  };
  const { cpu, answer: seconds } = await cpuOf(pair.server, work, isProfiled ? profile?.('connect') : null);
  const after = await child.ask('memory');
  return {
    seconds,
    connectCpu: cpu / devices,
    resident: (after.resident - before.resident) / devices / 1_024,
    heap: (after.heap - before.heap) / devices / 1_024,
  };
}

// ---------------------------------------------------------------------------------------------- telling and hearing

/** All servers keep their fleet connected and take turns; first all the commands, then all the receipts. */
export async function measureCommands(
  options: Options & { receipts: boolean },
): Promise<{ rounds: Round[]; checks: string[] }> {
  const { devices, say } = options;
  await using started = new AsyncDisposableStack();
  const pairs: Awaited<ReturnType<typeof startPair>>[] = [];
  for (const name of fleetServers) {
    say(`${devices} devices connect to ${name}`);
    const pair = started.use(await startPair(name, options));
    await pair.connect();
    pairs.push(pair);
  }
  await sleep(settleMs);

  const times = Math.ceil(commandsPerRound / devices);
  const rounds: Round[] = Array.from({ length: options.rounds }, () => new Map());

  /** Does it on every server in every round, and files what it cost, divided by how much was done. */
  async function takeTurns(
    figure: string,
    done: number,
    phase: string,
    work: (pair: (typeof pairs)[number]) => Promise<void>,
    prepare: (pair: (typeof pairs)[number]) => Promise<void> = async () => undefined,
  ) {
    for (let round = -warmUpRounds; round < options.rounds; round += 1) {
      for (const pair of pairs) {
        await prepare(pair);
        const isProfiled = round === options.rounds - 1 && pair.name === 'Fleethook';
        const profile = isProfiled ? options.profile?.(phase) : null;
        const { cpu } = await cpuOf(pair.server, () => work(pair), profile);
        const figures = rounds[round]?.get(pair.name) ?? {};
        rounds[round]?.set(pair.name, { ...figures, [figure]: cpu / done });
      }
    }
  }

  const tell = (pair: (typeof pairs)[number], often: number) =>
    pair.load.ask('broadcast', pair.server.post, often);
  say(`${devices} devices: ${options.rounds} rounds of commands`);
  await takeTurns('command', times * devices, `commands to ${devices}`, (pair) => tell(pair, times));
  if (options.receipts) {
    say(`${devices} devices: ${options.rounds} rounds of receipts`);
    const give = (pair: (typeof pairs)[number]) => pair.load.ask('receipts');
    await takeTurns('receipt', devices, 'receipts', give, (pair) => tell(pair, 1));
  }

  const checks = [];
  for (const { name, server, load } of pairs) {
    const { commands, answers, refusals } = await load.ask('heard');
    if (refusals > 0) throw new Error(`${name} refused ${refusals} receipts`);
    if (server.databaseFile === null) continue;
    const stored = countReceipts(server.databaseFile);
    if (stored !== answers) throw new Error(`${answers} receipts were acknowledged, ${stored} are on disk`);
    const receipts = options.receipts ? ` All ${stored} receipts are in its database.` : '';
    checks.push(`${devices} devices: all ${commands} commands of ${name} were heard, each once.${receipts}`);
  }
  return { rounds, checks };
}

function countReceipts(databaseFile: string): number {
  using database = new DatabaseSync(databaseFile, { readOnly: true });
  const row = database.prepare("select count(*) as total from receipts where status = 'applied'").get();
  return Number(row?.total);
}
