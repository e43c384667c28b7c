/**
 * What passes over the Socket.IO namespace `/devices`. Handshake: `auth: { token, instance? }`, where `instance` is any
 * text that tells this machine from others that hold the same token.
 * A refused handshake arrives as `connect_error` whose `data` is a `WireError`.
 */
import {
  type CommandMessage,
  finalWhenReceived,
  type ReceiptMessage,
  type ReceiptStatus,
} from '../domain/device/protocol.ts';
import type { StateMessage } from '../domain/device/state.ts';

export type WireError = { code: string; detail: string };
export type Refusal = { ok: false; error: WireError };
export type ReceiptAnswer = { ok: true } | Refusal;
export type StoredAnswer = { ok: true; id: string } | Refusal;

export { type CommandMessage, finalWhenReceived, type ReceiptMessage, type ReceiptStatus };

export type EventMessage = { eventType: string; eventData?: Record<string, unknown> };
export type DeviceMessage = { type?: string; payload: unknown };

export type ServerToDevice = {
  state: (message: StateMessage) => void;
  /** Those of `finalWhenReceived` ask for an acknowledgement, which counts as the receipt `received`. */
  command: (message: CommandMessage, ack?: () => void) => void;
};

/** Acknowledgements are optional: a device that asks for none is served all the same. */
export type DeviceToServer = {
  receipt: (receipts: ReceiptMessage | ReceiptMessage[], ack?: (answer: ReceiptAnswer) => void) => void;
  event: (event: EventMessage, ack?: (answer: StoredAnswer) => void) => void;
  message: (message: DeviceMessage, ack?: (answer: StoredAnswer) => void) => void;
  bulk: (label: string, bytes: Uint8Array, ack?: (answer: StoredAnswer) => void) => void;
};

export const devicesNamespace = '/devices';
