/**
 * A short memory of what triggers ask for again and again: keys, actions, counts. It is a hint: emptied by every
 * change made here, and believed for a second only, so that a change made by another process counts soon.
 */
export type Cache = {
  /** The remembered value, or what `load` brings. Loads of the same name that overlap are one. */
  get<T>(name: string, load: () => Promise<T>): T | Promise<T>;
  clear(): void;
  /** Forgets one name: what was written in the background has changed that alone. */
  forget(name: string): void;
  /** Grows with every `clear`: whoever has read before and asks after knows whether anything has changed since. */
  generation(): number;
};

const ageMsMax = 1_000;
const entriesMax = 10_000;

export function createCache(now: () => number): Cache {
  let entries = new Map<string, { until: number; value: unknown }>();
  let generation = 0;
  return {
    get<T>(name: string, load: () => Promise<T>): T | Promise<T> {
      const known = entries.get(name);
      if (known && known.until > now()) return known.value as T | Promise<T>;
      if (entries.size >= entriesMax) entries.clear();
      const current = entries;
      const loading = load();
      const entry: { until: number; value: unknown } = { until: now() + ageMsMax, value: loading };
      current.set(name, entry);
      loading.then(
        (value) => {
          entry.value = value;
        },
        () => current.delete(name),
      );
      return loading;
    },
    clear() {
      // A load that began before the change must not be remembered after it.
      entries = new Map();
      generation += 1;
    },
    // A load under way is not remembered either: its entry is no longer there.
    forget: (name) => void entries.delete(name),
    generation: () => generation,
  };
}
