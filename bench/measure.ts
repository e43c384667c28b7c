/** What every server that is measured tells about itself. */
import { writeFileSync } from 'node:fs';
import { type Profiler, Session } from 'node:inspector/promises';
import { setTimeout as sleep } from 'node:timers/promises';

const gcRounds = 4;
const gcPauseMs = 100;
const profileEveryMicroseconds = 200;

/** A function and its share of the samples, without what it calls. */
export type Hot = { name: string; place: string; share: number };

const session = new Session();

export const measures = {
  /** Microseconds of CPU, user and system, that this process has used so far, all its threads together. */
  cpu(): number {
    const { user, system } = process.cpuUsage();
    return user + system;
  },
  /** Bytes, after the garbage is gone. */
  async memory(): Promise<{ resident: number; heap: number }> {
    for (let round = 0; round < gcRounds; round += 1) {
      globalThis.gc?.();
      await sleep(gcPauseMs);
    }
    const { rss, heapUsed, external } = process.memoryUsage();
    return { resident: rss, heap: heapUsed + external };
  },
  async startProfile(): Promise<void> {
    session.connect();
    await session.post('Profiler.enable');
    await session.post('Profiler.setSamplingInterval', { interval: profileEveryMicroseconds });
    await session.post('Profiler.start');
  },
  /** Writes the profile, which browsers and editors open, and answers the functions that took the most. */
  async stopProfile(path: string): Promise<Hot[]> {
    const { profile } = await session.post('Profiler.stop');
    session.disconnect();
    writeFileSync(path, JSON.stringify(profile));
    return hottest(profile);
  },
};

const hotMax = 25;

function hottest({ nodes, samples = [], timeDeltas = [] }: Profiler.Profile): Hot[] {
  const known = new Map(nodes.map((node) => [node.id, node]));
  const callers = new Map(nodes.flatMap(({ id, children = [] }) => children.map((child) => [child, id])));
  const placeOf = (id: number | undefined): string => {
    const node = id === undefined ? undefined : known.get(id);
    if (!node) return '';
    const { url, lineNumber } = node.callFrame;
    // What is not JavaScript has no place: its caller's tells more.
    if (url === '') return placeOf(callers.get(node.id));
    return `${url.replace(/^.*?\/(?=node_modules\/|src\/|bench\/)/, '')}:${lineNumber + 1}`;
  };

  const found = new Map<string, { name: string; place: string; microseconds: number }>();
  let busy = 0;
  for (const [index, id] of samples.entries()) {
    const name = known.get(id)?.callFrame.functionName || '(anonymous)';
    const place = placeOf(id);
    if (name === '(idle)' || place.startsWith('node:inspector')) continue;
    const spent = timeDeltas[index] ?? 0;
    const hot = found.get(`${name} ${place}`) ?? { name, place, microseconds: 0 };
    hot.microseconds += spent;
    found.set(`${name} ${place}`, hot);
    busy += spent;
  }
  return [...found.values()]
    .sort((one, other) => other.microseconds - one.microseconds)
    .slice(0, hotMax)
    .map(({ name, place, microseconds }) => ({ name, place, share: microseconds / busy }));
}
