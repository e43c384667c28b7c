/** What this machine says about names: its hosts file, and how it completes short ones. Pure but for reading the files. */
import { readFileSync, statSync } from 'node:fs';
import { isIP } from 'node:net';

/** How often a file is looked at for changes. */
const lookEveryMs = 1_000;
const ndotsMax = 15;
const commentPattern = /[#;].*/;

/** How names are completed: which domains are tried, and from how many dots on a name is tried as it is first. */
export type Search = { domains: readonly string[]; ndots: number };

/** Addresses by name, in the order of the file; names in small letters. */
export function readHosts(text: string): Map<string, string[]> {
  const hosts = new Map<string, string[]>();
  for (const line of text.split('\n')) {
    const [address = '', ...names] = line.replace(/#.*/, '').trim().split(/\s+/);
    if (isIP(address) === 0) continue;
    for (const name of names) {
      const known = hosts.get(name.toLowerCase());
      if (known) known.push(address);
      else hosts.set(name.toLowerCase(), [address]);
    }
  }
  return hosts;
}

/** Of resolv.conf: the last `search` or `domain` counts. */
export function readSearch(text: string): Search {
  let domains: string[] = [];
  let ndots = 1;
  for (const line of text.split('\n')) {
    const [word, ...values] = line.replace(commentPattern, '').trim().split(/\s+/);
    if (word === 'search' || word === 'domain')
      domains = values.map((value) => value.replace(/\.$/, '')).filter(Boolean);
    const given = word === 'options' ? values.find((value) => /^ndots:\d+$/.test(value)) : undefined;
    if (given !== undefined) ndots = Math.min(Number(given.slice('ndots:'.length)), ndotsMax);
  }
  return { domains, ndots };
}

/** The names to ask for, in order, as the system's own look-ups have it. A dot at the end says that it is complete. */
export function completionsOf(name: string, { domains, ndots }: Search): string[] {
  if (name.endsWith('.')) return [name.slice(0, -1)];
  const completed = domains.map((domain) => `${name}.${domain}`);
  return name.split('.').length - 1 >= ndots ? [name, ...completed] : [...completed, name];
}

/**
 * A file that is read again when it was changed; it counts as empty while it can't be read. The reads are small and
 * don't wait for a thread, since those may all be busy.
 */
export function watchFile<T>(path: string, parse: (text: string) => T): () => T {
  let value = parse('');
  let version = '';
  let lookAt = 0;
  return () => {
    const now = performance.now();
    if (now < lookAt) return value;
    lookAt = now + lookEveryMs;
    try {
      const { mtimeMs, size, ino } = statSync(path);
      const found = `${mtimeMs} ${size} ${ino}`;
      if (found !== version) value = parse(readFileSync(path, 'utf8'));
      version = found;
    } catch {
      value = parse('');
      version = '';
    }
    return value;
  };
}
