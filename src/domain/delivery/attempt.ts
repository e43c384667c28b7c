/** What leaves through the outgoing door, and what came of it. */

export type OutgoingRequest = {
  url: string;
  headers: Record<string, string>;
  /** A large body comes a part at a time, from the database. */
  body: Uint8Array | string | (() => AsyncIterable<Uint8Array>);
  bodyBytes: number;
};

/** Delivered is a 2xx without an error. */
export type Outcome = {
  /** Null when no answer came. */
  status: number | null;
  retryAfterMs: number | null;
  /** One line for people. */
  error: string | null;
  /** The first 16 KiB of the answer. */
  answer: string;
  durationMs: number;
};

export function isDelivered({ status, error }: Outcome): boolean {
  return error === null && status !== null && status >= 200 && status < 300;
}
