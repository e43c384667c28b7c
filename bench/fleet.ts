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

const dialects: Record<(typeof fleetServers)[number], Dialect> = {
  'raw ws': 'open',
  'Socket.IO': 'namespace',
  Fleethook: 'state',
};
/** Connect once and go, so that the connections that count meet a server that has seen some. */
const warmUpDevices = 500;
/** Fleethook writes down once a second who was seen: that belongs to the cost of a connection. */
const settleMs = 1_500;
const warmUpCommands = 15_000;
const measuredCommands = 50_000;
const warmUpReceiptRounds = 2;
const measuredReceiptRounds = 5;

export type FleetParts = { connect: boolean; fanout: boolean; receipts: boolean };

type Options = {
  fleet: Fleet;
  rounds: number;
  devices: number;
  parts: FleetParts;
  profile: ((phase: string) => Profile) | null;
  say: (line: string) => void;
};

export async function measureFleet(options: Options): Promise<{ rounds: Round[]; checks: string[] }> {
  const { devices, say } = options;
  const rounds: Round[] = [];
  const heard = { commands: 0, receipts: 0 };
  for (let round = 1; round <= options.rounds; round += 1) {
    const figures: Round = new Map();
    for (const name of fleetServers) {
      say(`${devices} devices: round ${round} of ${options.rounds}, ${name}`);
      const isProfiled = round === options.rounds && name === 'Fleethook';
      const visit = await visitServer(name, { ...options, profile: isProfiled ? options.profile : null });
      figures.set(name, visit.figures);
      heard.commands += visit.commands;
      heard.receipts += visit.stored;
    }
    rounds.push(figures);
  }
  const { fanout, receipts } = options.parts;
  return {
    rounds,
    checks: [
      ...(fanout ? [`${devices} devices: all ${heard.commands} commands were heard, each once.`] : []),
      ...(receipts
        ? [`${devices} devices: all ${heard.receipts} receipts are in Fleethook's database.`]
        : []),
    ],
  };
}

/** One server from its start to its end. */
async function visitServer(name: (typeof fleetServers)[number], options: Options) {
  const { fleet, devices, parts, profile } = options;
  await using started = new AsyncDisposableStack();
  const [server, load] = await Promise.all([
    startServer(name, fleet).then((server) => started.use(server)),
    startLoad().then((load) => started.use(load)),
  ]);
  const connect = (count: number) =>
    load.ask('connect', { url: server.url, dialect: dialects[name], tokens: fleet.tokens.slice(0, count) });
  const broadcast = (commands: number) => load.ask('broadcast', server.post, Math.ceil(commands / devices));
  const figures: Record<string, number> = {};

  if (parts.connect) {
    await connect(Math.min(warmUpDevices, devices));
    await load.ask('disconnect');
    await sleep(settleMs);
    const before = await server.child.ask('memory');
    const taken = await cpuOf(
      server,
      async () => {
        const took = await connect(devices);
        await sleep(settleMs);
        return took;
      },
      profile?.('connect'),
    );
    const after = await server.child.ask('memory');
    figures.seconds = taken.answer;
    figures.connectCpu = taken.cpu / devices;
    figures.resident = (after.resident - before.resident) / devices / 1_024;
    figures.heap = (after.heap - before.heap) / devices / 1_024;
  } else {
    await connect(devices);
    await sleep(settleMs);
  }

  if (parts.fanout) {
    await broadcast(warmUpCommands);
    const times = Math.ceil(measuredCommands / devices);
    const told = await cpuOf(server, () => broadcast(measuredCommands), profile?.(`fan-out to ${devices}`));
    figures.fanout = told.cpu / (times * devices);
  }

  let stored = 0;
  if (parts.receipts) {
    let spent = 0;
    const receiptProfile = profile?.('receipts') ?? null;
    for (let round = 1; round <= warmUpReceiptRounds + measuredReceiptRounds; round += 1) {
      await broadcast(devices);
      const isLast = round === warmUpReceiptRounds + measuredReceiptRounds;
      const given = await cpuOf(server, () => load.ask('receipts'), isLast ? receiptProfile : null);
      if (round > warmUpReceiptRounds) spent += given.cpu;
    }
    figures.receipt = spent / (measuredReceiptRounds * devices);
    const { answers, refusals } = await load.ask('heard');
    if (refusals > 0) throw new Error(`${name} refused ${refusals} receipts`);
    if (server.databaseFile !== null) {
      stored = countReceipts(server.databaseFile);
      if (stored !== answers) throw new Error(`${answers} receipts were acknowledged, ${stored} are on disk`);
    }
  }
  return { figures, commands: (await load.ask('heard')).commands, stored };
}

function countReceipts(databaseFile: string): number {
  using database = new DatabaseSync(databaseFile, { readOnly: true });
  const row = database.prepare("select count(*) as total from receipts where status = 'applied'").get();
  return Number(row?.total);
}
