/**
 * The life of one connected device, whichever door it came in by: it is opened, heard, caught up, and goes. Doors
 * keep bytes and acknowledgements.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Context } from '../context.ts';
import { Fault } from '../fault.ts';
import { withoutDatabase } from '../readiness.ts';
import { type ConnectionContext, catchUp, closeConnection, openConnection } from './connection.ts';
import { createFlood } from './flood.ts';
import type { ConnectedDevice, Connection, DeviceFacts, Door, Outgoing } from './presence.ts';
import { noticeSharing } from './sharing.ts';

/** A device that sends too fast is looked after so often. */
const floodPollMs = 20;

/** The device that speaks, as it is now: it may be moved while it is connected. */
export type Speaker = { device: DeviceFacts; address: string | null };

export type SessionOptions = {
  door: Door;
  /** The door's own name for the connection. */
  handle: unknown;
  address: string | null;
  /** What tells this machine from others that hold the same token, null when the door has nothing that does. */
  instance: string | null;
  /** What is said too fast is refused, or waits for its turn: then it also begins in the order in which it was said. */
  tooFast: 'refuse' | 'wait';
  /** Ends the connection of a device that could not be caught up: it comes back and asks again. */
  drop(): void;
};

export type Session = {
  /** The device is online from now on; by a door where devices subscribe, `catchUp` follows. */
  open(device: ConnectedDevice): Promise<void>;
  /** The device is online from now on and is sent all that it has missed. */
  welcome(device: ConnectedDevice): void;
  /** The device begins to hear this. */
  catchUp(heard: readonly Outgoing['event'][]): void;
  /** Null before it was opened. */
  speaker(): Speaker | null;
  /** Does the work for something that the device has said. What it throws is in the log unless it is a `Fault`. */
  hear<T>(bytes: number, work: (speaker: Speaker) => Promise<T>): Promise<T>;
  /** The connection is gone, opened or not. */
  gone(): void;
};

type SessionContext = ConnectionContext & Pick<Context, 'log' | 'process'>;

export function createSession(ctx: SessionContext, options: SessionOptions): Session {
  const { door, handle, address, instance } = options;
  const flood = createFlood(() => performance.now());
  let entered: ConnectedDevice | null = null;
  let connection: Connection | null = null;
  let isGone = false;
  let begun: Promise<void> = Promise.resolve();

  async function open(device: ConnectedDevice, heard?: readonly Outgoing['event'][]): Promise<void> {
    entered = device;
    connection = await openConnection(ctx, { door, handle, address, instance, device }, heard);
    if (isGone) closeConnection(ctx, connection);
    else noticeSharing(ctx, connection);
  }

  async function orDrop(work: Promise<void>): Promise<void> {
    try {
      await work;
    } catch (error) {
      // Without its state a device must not believe that it is up to date.
      ctx.log.error({ err: error, device: entered?.id }, 'a device could not be caught up');
      options.drop();
    }
  }

  function speaker(): Speaker | null {
    const device = connection?.device ?? entered;
    return device && { device, address };
  }

  function requireTurn(bytes: number): void {
    if (!flood.take(bytes)) throw new Fault('too_many', 'the device sends too fast', { retryAfter: 1 });
  }

  async function waitForTurn(bytes: number): Promise<void> {
    while (!flood.take(bytes)) {
      if (ctx.process.stopping.aborted) throw new Fault('unavailable', 'the server is going down');
      await sleep(floodPollMs);
    }
  }

  return {
    open: (device) => open(device, []),
    welcome: (device) => void orDrop(open(device)),
    catchUp(heard) {
      if (connection) void orDrop(catchUp(ctx, connection, heard));
    },
    speaker,
    async hear(bytes, work) {
      try {
        if (options.tooFast === 'refuse') requireTurn(bytes);
        else {
          begun = begun.then(() => waitForTurn(bytes));
          await begun;
        }
        const speaking = speaker();
        if (!speaking) throw new Fault('not_allowed', 'the device has not come in');
        return await work(speaking);
      } catch (error) {
        throw explained(ctx, error, 'a message of a device failed');
      }
    },
    gone() {
      isGone = true;
      if (connection) closeConnection(ctx, connection);
    },
  };
}

/** An error as a door may tell it; when it is nothing that the device can do something about, the log says `what`. */
export function explained(ctx: Pick<Context, 'log'>, thrown: unknown, what: string): unknown {
  const error = withoutDatabase(thrown);
  if (!(error instanceof Fault)) ctx.log.error({ err: error }, what);
  return error;
}
