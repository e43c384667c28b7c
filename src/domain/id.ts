/** Text ids are UUIDv7 (RFC 9562 §5.7), so the order of ids is the order of time, also within a millisecond. */
import { v7 } from 'uuid';

export function newId(): string {
  return v7();
}

/** The lowest id that can have been made at `time` (milliseconds) or later. */
export function firstIdAt(time: number): string {
  const hex = Math.max(0, Math.floor(time)).toString(16).padStart(12, '0');
  return `${hex.slice(0, 8)}-${hex.slice(8)}-7000-8000-000000000000`;
}
