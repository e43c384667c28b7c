/**
 * Where rooms hand over what is to be delivered. The outgoing door plugs itself in when it opens; while it is closed
 * (the command line, the end of the process) everything stays in the database for whoever opens next.
 */
import type { StoredEvent } from '../event/event.ts';
import type { Outcome, OutgoingRequest } from './attempt.ts';

/** A delivery this node has claimed and has to settle. `event` is null where it is still to be read. */
export type ClaimedDelivery = {
  id: string;
  projectId: number;
  webhookId: string;
  eventId: string;
  attempts: number;
  orderKey: string | null;
  event: StoredEvent | null;
};

/** The outgoing door as rooms see it. */
export type Outbound = {
  /** How many deliveries it takes at once for the webhook. */
  capacity(webhookId: string): number;
  /** Takes deliveries that this node has claimed. */
  take(deliveries: readonly ClaimedDelivery[]): void;
  /** There is due work in the database for these webhooks; whatever held them back before holds no more. */
  wake(webhookIds: Iterable<string>): void;
  /** One request at once, for a person who waits. */
  post(request: OutgoingRequest): Promise<Outcome>;
};

export type OutboundPort = Outbound & {
  /** Answers the function that closes it again. */
  open(door: Outbound): () => void;
};

const closed: Outbound = {
  capacity: () => 0,
  take: () => undefined,
  wake: () => undefined,
  post: async () => ({
    status: null,
    retryAfterMs: null,
    error: 'nothing is sent from here',
    remark: null,
    answer: '',
    durationMs: 0,
  }),
};

export function createOutboundPort(): OutboundPort {
  let door = closed;
  return {
    open(opened) {
      door = opened;
      return () => {
        door = closed;
      };
    },
    capacity: (webhookId) => door.capacity(webhookId),
    take: (deliveries) => door.take(deliveries),
    wake: (webhookIds) => door.wake(webhookIds),
    post: (request) => door.post(request),
  };
}
