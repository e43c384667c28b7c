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

/**
 * What a device may do once too seldom rather than once too often: such a pulse is not sent again once it was received,
 * whatever became of it. A device that restarts forgets what it was about to say.
 */
export const finalWhenReceived: readonly string[] = ['restart_device'];

export type ReceiptStatus = 'received' | 'applied' | 'failed';
export type ReceiptMessage = { id: string; status: ReceiptStatus; detail?: string };
