/**
 * `npm run bench`: Fleethook beside its peers and its ceilings, in one run, as one table. The servers take turns,
 * round after round, and a ratio is always one of figures of the same round: machines differ, and so do minutes.
 */
import { closeSync, fsyncSync, mkdirSync, openSync, unlinkSync, writeSync } from 'node:fs';
import { cpus, loadavg, tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { deliveryColumns, hangColumns, measureDeliveries, measureHanging } from './deliveries.ts';
import { fleetServers, measureCommands, measureConnects } from './fleet.ts';
import type { Hot } from './measure.ts';
import { cores, type Profile, pinThisProcess, prepareFleet } from './servers.ts';
import { formatTable, type Row, type Section } from './table.ts';
import { measureTriggers, triggerServers } from './triggers.ts';

const usage = `node bench/main.ts [--only triggers|fanout|connect|deliveries] [--quick] [--profile <folder>]

  --only     triggers: triggers per second; fanout: commands and receipts; connect: connecting, and memory;
             deliveries: outgoing deliveries per second, and their latency while others hang
  --quick    one short round with 1,000 devices: to see that it runs, not to quote from
  --profile  also writes CPU profiles of Fleethook in the last round, and lists the functions that took the most
`;

type Part = 'triggers' | 'fanout' | 'connect' | 'deliveries';
const parts: readonly Part[] = ['triggers', 'fanout', 'connect', 'deliveries'];

type Size = {
  triggers: { rounds: number; seconds: number; warmUpSeconds: number };
  commandRounds: number;
  connectRounds: number;
  fewDevices: number;
  manyDevices: number;
  deliveries: { rounds: number; devices: number; events: number };
  hanging: {
    rounds: number;
    devices: number;
    receivers: number;
    hanging: number;
    perSecond: number;
    seconds: number;
    warmUpSeconds: number;
  };
};

/** Every device says so much at once: less than the flood limit lets pass. */
const deliverySize = { devices: 200, events: 100 };
const hangingSize = { devices: 16, receivers: 150, hanging: 50, perSecond: 5 };

const full: Size = {
  triggers: { rounds: 7, seconds: 1.5, warmUpSeconds: 2 },
  commandRounds: 9,
  connectRounds: 3,
  fewDevices: 1_000,
  manyDevices: 5_000,
  deliveries: { rounds: 5, ...deliverySize },
  // Attempts that hang end after fifteen seconds.
  hanging: { rounds: 3, ...hangingSize, seconds: 25, warmUpSeconds: 2 },
};
const quick: Size = {
  triggers: { rounds: 1, seconds: 1.5, warmUpSeconds: 1 },
  commandRounds: 1,
  connectRounds: 1,
  fewDevices: 200,
  manyDevices: 1_000,
  deliveries: { rounds: 1, ...deliverySize },
  hanging: { rounds: 1, ...hangingSize, seconds: 5, warmUpSeconds: 1 },
};

async function main(args: string[]): Promise<number> {
  const options = readOptions(args);
  if (options === null) {
    process.stderr.write(usage);
    return 2;
  }
  const { only, size } = options;
  const busyBefore = loadavg()[0] ?? 0;
  const isWanted = (part: Part) => only === null || only === part;
  const start = performance.now();
  const say = (line: string) =>
    process.stderr.write(`[${((performance.now() - start) / 1_000).toFixed(0).padStart(3)} s] ${line}\n`);

  const profiles: { phase: string; path: string; hot: Hot[] }[] = [];
  const profile = options.profile === null ? null : profileInto(options.profile, profiles);
  const sections: Section[] = [];
  const checks: string[] = [];

  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => process.exit(1));
  pinThisProcess();
  const { fewDevices, manyDevices, commandRounds, connectRounds } = size;
  say(`${manyDevices} devices are enrolled`);
  using fleet = await prepareFleet(manyDevices);
  const shared = { fleet, profile, say };
  if (isWanted('triggers')) {
    const measured = await measureTriggers({ ...shared, ...size.triggers });
    sections.push({ ...triggerSection, rounds: measured.rounds });
    checks.push(...measured.checks);
  }
  if (isWanted('fanout')) {
    for (const [devices, rows] of [
      [fewDevices, [commandRow]],
      [manyDevices, [commandRow, receiptRow]],
    ] as const) {
      const receipts = rows.length > 1;
      const measured = await measureCommands({ ...shared, devices, rounds: commandRounds, receipts });
      sections.push(fleetSection(`${devices} devices told`, rows, measured.rounds));
      checks.push(...measured.checks);
    }
  }
  if (isWanted('connect')) {
    const rounds = await measureConnects({ ...shared, devices: manyDevices, rounds: connectRounds });
    sections.push(fleetSection(`${manyDevices} devices connect`, connectRows, rounds));
  }
  if (isWanted('deliveries')) {
    const delivered = await measureDeliveries({ ...shared, ...size.deliveries });
    sections.push({ ...deliverySection, rounds: delivered.rounds });
    const beside = await measureHanging({ ...shared, ...size.hanging });
    sections.push({ ...hangSection, rounds: beside.rounds });
    checks.push(...delivered.checks, ...beside.checks);
  }

  const text = [
    ...machineLines(busyBefore),
    formatTable(sections),
    ...notes,
    ...checks,
    ...profiles.map(formatProfile),
  ];
  process.stdout.write(`\n${text.join('\n')}\n`);
  return 0;
}

function readOptions(args: string[]) {
  try {
    const { values } = parseArgs({
      args,
      options: {
        only: { type: 'string' },
        quick: { type: 'boolean', default: false },
        profile: { type: 'string' },
      },
    });
    const only = parts.find((part) => part === values.only) ?? null;
    if (values.only !== undefined && only === null) return null;
    return { only, size: values.quick ? quick : full, profile: values.profile ?? null };
  } catch {
    return null;
  }
}

// ---------------------------------------------------------------------------------------------- what is measured

const triggerSection: Omit<Section, 'rounds'> = {
  title: 'Triggers',
  ceiling: triggerServers[0],
  plain: triggerServers[1],
  peer: triggerServers[2],
  rows: [
    { label: 'triggers per second', figure: 'perSecond', digits: 0, ratios: true },
    { label: 'server CPU a trigger, µs', figure: 'cpu', digits: 1, ratios: true },
    { label: 'server core busy, %', figure: 'busy', digits: 0, ratios: false },
    { label: 'latency p50, ms', figure: 'p50', digits: 0, ratios: false },
    { label: 'latency p99, ms', figure: 'p99', digits: 0, ratios: false },
  ],
};

const commandRow: Row = {
  label: 'server CPU a command delivered, µs',
  figure: 'command',
  digits: 1,
  ratios: true,
};
const receiptRow: Row = { label: 'server CPU a receipt, µs', figure: 'receipt', digits: 1, ratios: true };
const connectRows: Row[] = [
  { label: 'all connected, s', figure: 'seconds', digits: 2, ratios: true },
  { label: 'server CPU a connection, µs', figure: 'connectCpu', digits: 0, ratios: true },
  { label: 'resident memory a device, KiB', figure: 'resident', digits: 1, ratios: true },
  { label: 'heap and buffers a device, KiB', figure: 'heap', digits: 1, ratios: true },
];

function fleetSection(title: string, rows: readonly Row[], rounds: Section['rounds']): Section {
  const [ceiling, peer] = fleetServers;
  return { title, ceiling, plain: null, peer, rows, rounds };
}

const deliverySection: Omit<Section, 'rounds'> = {
  title: 'Deliveries',
  ceiling: deliveryColumns[0],
  plain: null,
  peer: deliveryColumns[1],
  rows: [
    { label: 'deliveries per second', figure: 'perSecond', digits: 0, ratios: true },
    { label: 'server CPU a delivery, µs', figure: 'cpu', digits: 1, ratios: true },
    { label: 'of it for the event alone, µs', figure: 'eventCpu', digits: 1, ratios: false },
    { label: 'server core busy, %', figure: 'busy', digits: 0, ratios: false },
  ],
};

const hangSection: Omit<Section, 'rounds'> = {
  title: `${hangingSize.receivers} receivers, and ${hangingSize.hanging} that hang`,
  ceiling: hangColumns[0],
  plain: null,
  peer: null,
  rows: [
    { label: 'latency p50, ms', figure: 'p50', digits: 1, ratios: true },
    { label: 'latency p99, ms', figure: 'p99', digits: 1, ratios: true },
    { label: 'longest, ms', figure: 'max', digits: 1, ratios: false },
    { label: 'server CPU a delivery heard, µs', figure: 'cpu', digits: 1, ratios: true },
    { label: 'server core busy, %', figure: 'busy', digits: 0, ratios: false },
  ],
};

const notes = [
  'Medians over the rounds; in brackets the ratio to the first column, in the same round; the last columns are',
  'Fleethook against the first and the third, with the lowest and the highest of a round.',
  'Triggers    64 connections of autocannon. node:http, Express and Express+ parse the JSON and answer the same, and',
  '            keep nothing; Express+ is Express with helmet, express-rate-limit and express.json. Fleethook checks the',
  '            key, fills a template, and answers when trigger and command are on disk. A server whose core is not',
  '            busy was waiting: for the load, or for the disk.',
  'Command     one show_toast for all devices at a time, until each has it. raw ws sends one string to each,',
  '            Socket.IO emits to its namespace; neither stores it.',
  'Receipt     every device acknowledges the command: raw ws parses and answers, Socket.IO answers the',
  '            acknowledgement, Fleethook stores it first.',
  'Connected   200 at a time. raw ws opens, Socket.IO joins a namespace past an empty middleware, Fleethook checks the',
  '            token and sends the state. CPU counts until 1.5 s later. Memory is what a device adds, without garbage.',
  `Deliveries  ${deliverySize.devices} devices say ${deliverySize.events} events each, all at once, for one webhook; from the first to the last that was heard. The loops`,
  '            send as much, 16 at once like Fleethook, to the same receiver; they store and sign nothing, and nobody',
  '            tells them what to send. Fleethook stores the event, acknowledges it, signs the request, settles the delivery.',
  `Hanging     ${hangingSize.perSecond} events a second for ${hangingSize.receivers} webhooks; from the device's sending it to each arrival. The ${hangingSize.hanging} more take the`,
  '            connection and never answer.',
];

// ---------------------------------------------------------------------------------------------- the machine

/** More than this and somebody else was at work when we began. */
const quietLoad = 0.5;

function machineLines(busyBefore: number): string[] {
  const model = cpus()[0]?.model.trim() ?? 'unknown CPU';
  const pinned = cores
    ? `server on core ${cores.server}, load on core ${cores.load}`
    : 'server and load NOT pinned: taskset or a second core is missing';
  return [
    `${cpus().length} cores (${model}), ${process.platform}, Node ${process.version}; ${pinned}`,
    `SQLite ${process.versions.sqlite}, WAL, synchronous FULL, in ${tmpdir()}, where an fsync takes ${fsyncMs().toFixed(2)} ms`,
    ...(busyBefore > quietLoad
      ? [
          `Load average before: ${busyBefore.toFixed(1)}. The machine had other work, so figures per second say little; CPU says more.`,
        ]
      : []),
  ];
}

const fsyncs = 100;
const pageBytes = 4_096;

/** What a commit waits for at least. */
function fsyncMs(): number {
  const path = join(tmpdir(), `fleethook-bench-${process.pid}`);
  const file = openSync(path, 'w');
  const start = performance.now();
  for (let page = 0; page < fsyncs; page += 1) {
    writeSync(file, Buffer.alloc(pageBytes), 0, pageBytes, page * pageBytes);
    fsyncSync(file);
  }
  const milliseconds = (performance.now() - start) / fsyncs;
  closeSync(file);
  unlinkSync(path);
  return milliseconds;
}

// ---------------------------------------------------------------------------------------------- profiles

function profileInto(folder: string, profiles: { phase: string; path: string; hot: Hot[] }[]) {
  mkdirSync(folder, { recursive: true });
  return (phase: string): Profile => {
    const path = join(folder, `${phase.replaceAll(' ', '-')}.cpuprofile`);
    return { path, take: (hot) => profiles.push({ phase, path, hot }) };
  };
}

function formatProfile({ phase, path, hot }: { phase: string; path: string; hot: Hot[] }): string {
  const lines = hot.map(
    ({ name, place, share }) => `${(100 * share).toFixed(1).padStart(6)} %  ${name}  ${place}`,
  );
  return [`\nFleethook's CPU, ${phase} (${path}):`, ...lines].join('\n');
}

process.exitCode = await main(process.argv.slice(2));
