/** Triggers per second: a POST with a key and one step, on disk before it is answered, against servers that keep nothing. */
import { DatabaseSync } from 'node:sqlite';
import { setTimeout as sleep } from 'node:timers/promises';
import {
  cpuOf,
  type Fleet,
  type Profile,
  type Round,
  type ServerName,
  startLoad,
  startServer,
} from './servers.ts';

export const triggerServers = [
  'node:http',
  'Express',
  'Express+',
  'Fleethook',
] as const satisfies ServerName[];

const settleMs = 200;

export async function measureTriggers(options: {
  fleet: Fleet;
  rounds: number;
  seconds: number;
  warmUpSeconds: number;
  profile: ((phase: string) => Profile) | null;
  say: (line: string) => void;
}): Promise<{ rounds: Round[]; checks: string[] }> {
  const { fleet, say } = options;
  await using started = new AsyncDisposableStack();
  const load = started.use(await startLoad());
  const servers = await Promise.all(
    triggerServers.map(async (name) => ({ name, server: started.use(await startServer(name, fleet)) })),
  );

  let answered = 0;
  async function hammer(
    { name, server }: (typeof servers)[number],
    seconds: number,
    profile: Profile | null = null,
  ) {
    await sleep(settleMs);
    const start = performance.now();
    const { cpu, answer } = await cpuOf(server, () => load.ask('hammer', server.post, seconds), profile);
    const milliseconds = performance.now() - start;
    if (answer.failed > 0) throw new Error(`${name} failed ${answer.failed} requests`);
    if (name === 'Fleethook') answered += answer.answered;
    const { perSecond, p50, p99 } = answer;
    return { perSecond, p50, p99, cpu: cpu / answer.answered, busy: cpu / 10 / milliseconds };
  }

  for (const started of servers) {
    say(`triggers: ${started.name} warms up`);
    await hammer(started, options.warmUpSeconds);
  }
  const rounds: Round[] = [];
  for (let round = 1; round <= options.rounds; round += 1) {
    const figures: Round = new Map();
    for (const started of servers) {
      say(`triggers: round ${round} of ${options.rounds}, ${started.name}`);
      const isProfiled = round === options.rounds && started.name === 'Fleethook';
      const profile = isProfiled ? (options.profile?.('triggers') ?? null) : null;
      figures.set(started.name, await hammer(started, options.seconds, profile));
    }
    rounds.push(figures);
  }

  const stored = countTriggers(servers.at(-1)?.server.databaseFile ?? '');
  if (stored < answered)
    throw new Error(`${answered} triggers were answered with success, ${stored} are on disk`);
  return {
    rounds,
    checks: [
      `Triggers: every answer was 200 "success". Fleethook answered ${answered} and its database holds ${stored}` +
        ` (what was under way when a round ended is stored, and answered to nobody).`,
    ],
  };
}

function countTriggers(databaseFile: string): number {
  using database = new DatabaseSync(databaseFile, { readOnly: true });
  const row = database.prepare("select count(*) as total from triggers where status = 'fired'").get();
  return Number(row?.total);
}
