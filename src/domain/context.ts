/** What rooms work with, made once by app.ts and handed to each call. A leaf asks for the members it uses: `Pick<Context, 'db' | 'now'>`. */
import type { Log } from '../log.ts';
import type { Database } from '../store/schema.ts';
import type { Seal } from './access/seal.ts';
import type { Cache } from './cache.ts';
import type { OutboundPort } from './delivery/outbound.ts';
import type { InForce } from './device/in-force.ts';
import type { Presence } from './device/presence.ts';
import type { Sightings } from './device/sighting.ts';
import type { Feed } from './feed.ts';
import type { Intake, Issues, Receipts } from './jobs.ts';

export type Context = {
  db: Database;
  log: Log;
  /** Milliseconds since the epoch. */
  now: () => number;
  cache: Cache;
  /** What just happened. */
  feed: Feed;
  seal: Seal;
  /** What is so at this moment, on this node. */
  live: {
    /** Who is connected. */
    presence: Presence;
    /** The state commands in force. */
    inForce: InForce;
    /** Where deliveries are handed over to be sent. */
    outbound: OutboundPort;
  };
  /** What is on its way to the database, grouped. */
  queues: {
    /** Triggers and their commands. */
    issues: Issues;
    receipts: Receipts;
    /** What devices say. */
    intake: Intake;
    sightings: Sightings;
  };
  process: {
    /** This process, among those that share the database. */
    nodeId: string;
    /** Aborted when the server is told to end: whoever waits is answered with what there is. */
    stopping: AbortSignal;
    /** Where people reach us, without a slash at the end. */
    publicUrl: () => string;
    /** SHA-256 of FLEETHOOK_ADMIN_KEY, null when there is none. */
    adminKeyHash: string | null;
  };
};
