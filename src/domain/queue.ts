/** What waits for the database: triggers with their commands, receipts, events. Each queue commits in groups. */
import type { Batch } from '../batch.ts';
import type { NewRow } from '../store/schema.ts';
import type { EventKind, Origin } from './event.ts';
import type { ReceiptStatus } from './message.ts';
import type { ConnectedDevice } from './presence.ts';
import type { Slot } from './state.ts';
import type { Target } from './target.ts';

/** A command that is about to be issued. Instants in milliseconds. */
export type NewCommand = {
  id: string;
  projectId: number;
  triggerId: string | null;
  source: string | null;
  function: string;
  slot: Slot | null;
  params: Record<string, unknown>;
  target: Target;
  issuedAt: number;
  expiresAt: number | null;
};

export type IssueJob = {
  trigger: NewRow<'triggers'> | null;
  commands: readonly NewCommand[];
  /** The link whose use this is: when it has ended or is used up, nothing is issued. */
  linkId?: string | undefined;
  /** The caller's own key for this call, and the answer to replay when it calls again. */
  idempotency?:
    | { caller: string; key: string; callHash: string; triggerId: string; answer: unknown }
    | undefined;
};

/** `replay` is the first answer to the same call, when there was one: then nothing was issued. */
export type IssueAnswer = { replay: unknown };
export type Issues = Batch<IssueJob, IssueAnswer>;

export type ReceiptJob = {
  device: Omit<ConnectedDevice, 'generation'>;
  receipts: { id: string; status: ReceiptStatus; detail?: string | null | undefined }[];
};
export type Receipts = Batch<ReceiptJob, true>;

/** Something that was said. `payload` spares parsing where the body was made from a value. */
export type EventJob = {
  projectId: number;
  kind: EventKind;
  type: string | null;
  label: string | null;
  origin: Origin;
  mediaType: string;
  body: Uint8Array;
  payload?: unknown;
  /** Webhooks that get it whatever their filter. */
  to?: readonly string[];
};
/** Answers the id of the event once it is stored. */
export type Arrivals = Batch<EventJob, string>;
