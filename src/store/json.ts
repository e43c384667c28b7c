/** JSON columns are text in both databases; this is the one place where they are written and read. */
export function toJson(value: unknown): string {
  return JSON.stringify(value);
}

/** Reads what `toJson` wrote: the store trusts its own rows, so the caller names the type. */
export function fromJson<T>(text: string): T {
  return JSON.parse(text) as T;
}
