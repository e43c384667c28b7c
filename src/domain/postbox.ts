/**
 * Where rooms leave what is to be delivered. The outgoing door hangs itself in when it opens; while it is closed
 * (the command line, the end of the process) everything stays in the database for whoever opens next.
 */
import type { StoredEvent } from './event.ts';
import type { Outcome, OutgoingRequest } from './outgoing.ts';

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

export type PostOffice = {
  /** How many deliveries it takes at once for the webhook. */
  room(webhookId: string): number;
  /** Takes deliveries that this node has claimed. */
  hand(deliveries: readonly ClaimedDelivery[]): void;
  /** There is due work in the database for these webhooks; whatever held them back before holds no more. */
  wake(webhookIds: Iterable<string>): void;
  /** One request at once, for a person who waits. */
  post(request: OutgoingRequest): Promise<Outcome>;
};

export type Postbox = PostOffice & {
  /** Answers the function that closes it again. */
  open(office: PostOffice): () => void;
};

const closed: PostOffice = {
  room: () => 0,
  hand: () => undefined,
  wake: () => undefined,
  post: async () => ({
    status: null,
    retryAfterMs: null,
    error: 'nothing is sent from here',
    answer: '',
    durationMs: 0,
  }),
};

export function createPostbox(): Postbox {
  let office = closed;
  return {
    open(opened) {
      office = opened;
      return () => {
        office = closed;
      };
    },
    room: (webhookId) => office.room(webhookId),
    hand: (deliveries) => office.hand(deliveries),
    wake: (webhookIds) => office.wake(webhookIds),
    post: (request) => office.post(request),
  };
}
