/** What every room needs, made once by app.ts and handed to each call. */
import type { Log } from '../log.ts';
import type { Database } from '../store/schema.ts';
import type { Cache } from './cache.ts';
import type { Feed } from './feed.ts';
import type { Postbox } from './postbox.ts';
import type { Presence } from './presence.ts';
import type { Arrivals, Issues, Receipts } from './queue.ts';
import type { Schemas } from './schemas.ts';
import type { Seal } from './seal.ts';
import type { Sightings } from './sighting.ts';
import type { Standing } from './standing.ts';

/** What the queues of writes are made from. */
export type BaseContext = {
  db: Database;
  /** Who is connected. */
  presence: Presence;
  /** The state commands in force. */
  standing: Standing;
  /** What just happened. */
  feed: Feed;
  cache: Cache;
  sightings: Sightings;
  schemas: Schemas;
  /** Where deliveries are left to be sent. */
  postbox: Postbox;
  seal: Seal;
  /** SHA-256 of FLEETHOOK_ADMIN_KEY, null when there is none. */
  adminKeyHash: string | null;
  log: Log;
  /** This process, among those that share the database. */
  nodeId: string;
  /** Where people reach us, without a slash at the end. */
  publicUrl: () => string;
  /** Aborted when the server is told to end: whoever waits is answered with what there is. */
  stopping: AbortSignal;
  /** Milliseconds since the epoch. */
  now: () => number;
};

export type Context = BaseContext & {
  /** Triggers and commands on their way to the database, grouped. */
  issues: Issues;
  /** Receipts on their way to the database, grouped. */
  receipts: Receipts;
  /** What devices say, on its way to the database, grouped. */
  arrivals: Arrivals;
};
