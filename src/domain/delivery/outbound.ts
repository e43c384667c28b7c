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

/** A pause that a receiver is given. */
export type Hold = {
  until: number;
  /** One line for people. */
  reason: string;
};

/** The outgoing door as rooms see it. */
export type Outbound = {
  /** How many deliveries it takes at once for the webhook. */
  capacity(webhookId: string): number;
  /** Takes deliveries that this node has claimed. */
  take(deliveries: readonly ClaimedDelivery[]): void;
  /** There is due work in the database for these webhooks. */
  wake(webhookIds: Iterable<string>): void;
  /** As `wake`, and what was learnt about the receivers is forgotten: they are others now, or mended. */
  renew(webhookIds: Iterable<string>): void;
  /** Why nothing is sent to the webhook for a while; null when it is sent to. */
  holdOf(webhookId: string): Hold | null;
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
  renew: () => undefined,
  holdOf: () => null,
  post: async () => ({
    status: null,
    retryAfterMs: null,
    error: 'nothing is sent from here',
    isOurs: true,
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
    renew: (webhookIds) => door.renew(webhookIds),
    holdOf: (webhookId) => door.holdOf(webhookId),
    post: (request) => door.post(request),
  };
}
