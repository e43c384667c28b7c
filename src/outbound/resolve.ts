/**
 * From names to addresses, by a resolver of our own (c-ares). The look-ups of the system share a few threads with files
 * and passwords: names that nobody answers would hold up everybody there. Here each name waits for itself alone.
 */
import { promises as dns, type LookupAddress } from 'node:dns';
import { isIP } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { codeOf } from './failure.ts';
import { completionsOf, readHosts, readSearch, watchFile } from './system-names.ts';

/** A server that does not answer is asked again after this, then after twice and four times as long. */
const askAgainMs = 1_000;
const asksMax = 4;
/** Some servers never answer about IPv6: a name that has one address waits no longer for others. */
const otherFamilyMs = 2_000;
/** A name that failed is not asked for again for so long; shorter than the wait for a second attempt. */
const failedMs = 3_000;
const failedMax = 10_000;
const hostsPath = '/etc/hosts';
const settingsPath = '/etc/resolv.conf';

const noSuchName = new Set(['ENOTFOUND', 'ENODATA']);

/** All addresses of a name; rejects with an error that has a code. */
export type Resolve = (hostname: string) => Promise<LookupAddress[]>;

export type ResolverOptions = {
  /** A look-up takes no longer. */
  lookupMs: number;
  /** Whom to ask in place of the servers of the system: addresses, with ports. For tests, as are the others. */
  servers?: readonly string[] | undefined;
  hostsFile?: string | undefined;
  settingsFile?: string | undefined;
};

export type Resolver = {
  resolve: Resolve;
  /** Ends the look-ups that are under way. */
  close(): void;
};

export function createResolver(options: ResolverOptions): Resolver {
  const { lookupMs, servers, hostsFile = hostsPath, settingsFile = settingsPath } = options;
  const hosts = watchFile(hostsFile, readHosts);
  const search = watchFile(settingsFile, readSearch);
  /** Whoever asks for a name that is being asked for gets the same answer. */
  const underWay = new Map<string, Promise<LookupAddress[]>>();
  const failed = new Map<string, { until: number; error: unknown }>();
  const ends = new Set<() => void>();

  async function lookUp(name: string): Promise<LookupAddress[]> {
    const written = addressesHere(name, hosts());
    if (written.length > 0) return written.map((address) => ({ address, family: isIP(address) }));
    // One for each look-up: they end each by itself, and ask from ports that nobody can guess.
    const resolver = new dns.Resolver({ timeout: askAgainMs, tries: asksMax });
    if (servers) resolver.setServers(servers);
    const { promise: ended, reject } = Promise.withResolvers<never>();
    const end = () => reject(Object.assign(new Error('the look-up was ended'), { code: 'ETIMEOUT' }));
    const timer = setTimeout(end, lookupMs);
    ends.add(end);
    try {
      return await Promise.race([ask(resolver, completionsOf(name, search())), ended]);
    } finally {
      clearTimeout(timer);
      ends.delete(end);
      resolver.cancel();
    }
  }

  function remember(name: string, error: unknown): void {
    if (failed.size >= failedMax) failed.clear();
    failed.set(name, { until: performance.now() + failedMs, error });
  }

  return {
    async resolve(hostname) {
      const name = hostname.toLowerCase();
      const known = underWay.get(name);
      if (known !== undefined) return known;
      const before = failed.get(name);
      if (before && before.until > performance.now()) throw before.error;
      failed.delete(name);
      const looking = lookUp(name);
      underWay.set(name, looking);
      try {
        return await looking;
      } catch (error) {
        remember(name, error);
        throw error;
      } finally {
        underWay.delete(name);
      }
    },
    close() {
      for (const end of ends) end();
    },
  };
}

/** What needs no server: the hosts file, and the names of this machine itself (RFC 6761 §6.3). */
function addressesHere(name: string, hosts: ReadonlyMap<string, string[]>): string[] {
  const bare = name.replace(/\.$/, '');
  const written = hosts.get(bare);
  if (written) return written;
  return bare === 'localhost' || bare.endsWith('.localhost') ? ['127.0.0.1', '::1'] : [];
}

/** The addresses of the first of the names that has any. */
async function ask(resolver: dns.Resolver, names: readonly string[]): Promise<LookupAddress[]> {
  let problem: unknown;
  for (const name of names) {
    try {
      const found = await askForBoth(resolver, name);
      if (found.length > 0) return found;
    } catch (error) {
      problem ??= error;
      if (!noSuchName.has(codeOf(error)) && codeOf(error) !== 'ESERVFAIL') break;
    }
  }
  if (problem !== undefined) throw problem;
  return [];
}

/** The addresses of both families, IPv4 first; empty for a name that is there and has none. */
async function askForBoth(resolver: dns.Resolver, name: string): Promise<LookupAddress[]> {
  const addresses: Record<4 | 6, string[]> = { 4: [], 6: [] };
  const problems: unknown[] = [];
  const take = async (family: 4 | 6, asking: Promise<string[]>) => {
    try {
      addresses[family] = await asking;
    } catch (error) {
      problems.push(error);
    }
  };
  const answers = [take(4, resolver.resolve4(name)), take(6, resolver.resolve6(name))];
  await Promise.race(answers);
  const isFound = addresses[4].length + addresses[6].length > 0;
  const both = Promise.all(answers);
  await (isFound ? Promise.race([both, sleep(otherFamilyMs, undefined, { ref: false })]) : both);
  const found = ([4, 6] as const).flatMap((family) =>
    addresses[family].map((address) => ({ address, family })),
  );
  const problem = problems.find((error) => codeOf(error) !== 'ENODATA');
  if (found.length === 0 && problem !== undefined) throw problem;
  return found;
}
