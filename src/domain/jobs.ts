/** Jobs that wait for the database: triggers with their commands, receipts, events. Each queue commits in groups. */

import type { Batch } from '../batch.ts';
import type { Command } from '../store/command.ts';
import type { Trigger } from '../store/trigger.ts';
import type { DeviceFacts } from './device/presence.ts';
import type { ReceiptStatus } from './device/protocol.ts';
import type { EventKind, Origin } from './event/event.ts';

export type IssueJob = {
  trigger: Trigger | null;
  commands: readonly Command[];
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
  device: DeviceFacts;
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
  /** Whom it is about, where the origin has no device: one that was deleted since. */
  deviceId?: number;
  /** Webhooks that get it whatever their filter. */
  to?: readonly string[];
};

export type Intake = {
  /** Answers the id of the event once it is stored. */
  add(job: EventJob): Promise<string>;
  /** The same, unless no webhook gets it: then nothing is stored, and the answer is null. */
  addIfWanted(job: EventJob): Promise<string | null>;
  drain(): Promise<void>;
};
