import type { StateMessage } from '../domain/state.ts';

/**
 * What passes over the Socket.IO namespace `/devices` (design §6.2). Handshake: `auth: { token }`.
 * A refused handshake arrives as `connect_error` whose `data` is a `WireError`.
 */

export type WireError = { code: string; detail: string };
export type Refusal = { ok: false; error: WireError };
export type ReceiptAnswer = { ok: true } | Refusal;
export type StoredAnswer = { ok: true; id: string } | Refusal;

/** A pulse on its way to a device. Instants are RFC 3339. */
export type CommandMessage = {
  id: string;
  function: string;
  params: Record<string, unknown>;
  issued_at: string;
  expires_at: string;
  trigger_id: string | null;
};

export type ReceiptStatus = 'received' | 'applied' | 'failed';
export type ReceiptMessage = { id: string; status: ReceiptStatus; detail?: string };
export type EventMessage = { eventType: string; eventData?: Record<string, unknown> };
export type DeviceMessage = { type?: string; payload: unknown };

export type ServerToDevice = {
  state: (message: StateMessage) => void;
  command: (message: CommandMessage) => void;
};

/** Acknowledgements are optional: a device that asks for none is served all the same. */
export type DeviceToServer = {
  receipt: (receipts: ReceiptMessage | ReceiptMessage[], ack?: (answer: ReceiptAnswer) => void) => void;
  event: (event: EventMessage, ack?: (answer: StoredAnswer) => void) => void;
  message: (message: DeviceMessage, ack?: (answer: StoredAnswer) => void) => void;
  bulk: (label: string, bytes: Uint8Array, ack?: (answer: StoredAnswer) => void) => void;
};

export const devicesNamespace = '/devices';
