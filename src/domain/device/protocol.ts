/** What passes between a device and us, whichever door it comes in by. */

/** A pulse on its way to a device. Instants are RFC 3339. */
export type CommandMessage = {
  id: string;
  function: string;
  params: Record<string, unknown>;
  issued_at: string;
  expires_at: string;
  trigger_id: string | null;
  /** What the server's clock showed when it was sent. A server that is older does not say it. */
  at?: string;
};

export type ReceiptStatus = 'received' | 'applied' | 'failed';
export type ReceiptMessage = { id: string; status: ReceiptStatus; detail?: string };
