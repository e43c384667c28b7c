/** The words of deliveries: what leaves through the outgoing door, what came of it, and how that is kept. */

/** Tries in vain stay `pending`; `waiting` is for one before it, of the same device, of an ordered webhook. */
export const deliveryStatuses = [
  'waiting',
  'pending',
  'sending',
  'delivered',
  'exhausted',
  'failed',
  'canceled',
] as const;
export type DeliveryStatus = (typeof deliveryStatuses)[number];

/** From harmless to bad. */
export const logLevels = ['INFO', 'WARN', 'ERROR'] as const;
export type LogLevel = (typeof logLevels)[number];

export type OutgoingRequest = {
  /** The URL as the webhook had it: what comes of the request says nothing about another one. */
  receiver: string;
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
  /** Why there was no answer, or none to the whole of the request; one line for people. */
  error: string | null;
  /** It failed here, which says nothing about the receiver. */
  isOurs: boolean;
  /** What is to be said of an answer that counts all the same: that it broke off. */
  remark: string | null;
  /** The first 16 KiB of the answer. */
  answer: string;
  durationMs: number;
};

/** What went wrong with an attempt that was not delivered, in one line. */
export function problemOf({ status, error, remark }: Outcome): string {
  return error ?? `the receiver answered ${status}${remark === null ? '' : ` (${remark})`}`;
}

export function isDelivered({ status, error }: Outcome): boolean {
  return error === null && status !== null && status >= 200 && status < 300;
}
