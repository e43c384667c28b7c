/** How values stand in columns: instants are integers already, a flag is 0 or 1, anything else is JSON text. */
import { parseJsonExactly } from '../domain/json.ts';

/** A change to some members of a noun: what is undefined stays as it is. */
export type Change<T> = { [K in keyof T]?: T[K] | undefined };

/** The columns that a change names; those it leaves out are gone from the answer. */
export function defined<T extends object>(columns: { [K in keyof T]?: T[K] | undefined }): Partial<T> {
  return Object.fromEntries(Object.entries(columns).filter(([, value]) => value !== undefined)) as Partial<T>;
}

export function isEmpty(change: object): boolean {
  return Object.values(change).every((value) => value === undefined);
}

/** What is undefined stays so, for a change that leaves it out. */
export function toFlag(value: boolean): number;
export function toFlag(value: boolean | undefined): number | undefined;
export function toFlag(value: boolean | undefined): number | undefined {
  return value === undefined ? undefined : Number(value);
}

export function fromFlag(value: number): boolean {
  return value === 1;
}

/** JSON text; null and undefined stay what they are, for columns that may be empty and changes that leave them out. */
export function toJson<T extends object | string | number | boolean | null | undefined>(
  value: T,
): string | Extract<T, null | undefined>;
export function toJson(value: unknown): string | null | undefined {
  return value === undefined || value === null ? value : JSON.stringify(value);
}

/**
 * Reads what `toJson` wrote, its numbers as they were: the store trusts its own rows, so the caller names the type.
 */
export function fromJson<T>(text: string): T;
export function fromJson<T>(text: string | null): T | null;
export function fromJson<T>(text: string | null): T | null {
  return text === null ? null : (parseJsonExactly(text) as T);
}
