/**
 * A device comes, is caught up, and goes. On connect it learns its whole state and the pulses it has missed;
 * what is sent meanwhile waits, so that nothing overtakes and nothing is lost between the two.
 */

import { type Command, selectPendingPulses } from '../../store/command.ts';
import { selectDeviceByTokenHash, selectDevicesById } from '../../store/device.ts';
import { selectFinished } from '../../store/receipt.ts';
import { hashToken, isWellFormed } from '../access/token.ts';
import type { Context } from '../context.ts';
import { Fault } from '../fault.ts';
import { instant } from '../input.ts';
import { slots, stateOf } from './in-force.ts';
import { type ConnectedDevice, type Connection, factsOf, type Outgoing } from './presence.ts';
import { type CommandMessage, finalWhenReceived } from './protocol.ts';
import { matchesTarget, scopesOfDevice } from './target.ts';

type Heard = Outgoing['event'];
/** What a device needs that comes and goes. */
export type ConnectionContext = LeavingContext & Pick<Context, 'db' | 'cache'>;
type LeavingContext = Pick<Context, 'now' | 'feed' | 'live' | 'queues'>;
type BringContext = Pick<Context, 'db' | 'now' | 'live'>;

const everything: readonly Heard[] = ['state', 'command'];

/** The device whose token was presented; throws `bad_token`. */
export async function authenticateDevice(
  ctx: Pick<Context, 'db' | 'cache'>,
  token: unknown,
): Promise<ConnectedDevice> {
  const generation = ctx.cache.generation();
  const device =
    typeof token === 'string' && isWellFormed(token, 'fhd')
      ? await selectDeviceByTokenHash(ctx.db, hashToken(token))
      : undefined;
  if (!device) throw new Fault('bad_token', 'no valid device token was given');
  return { ...factsOf(device), generation };
}

/**
 * A device has come in by a door: it is online from now on and is caught up. By a door where devices subscribe,
 * `heard` is empty, and `catchUp` follows as they do.
 */
export async function openConnection(
  ctx: ConnectionContext,
  opened: Omit<Connection, 'backlog'>,
  heard: readonly Heard[] = everything,
): Promise<Connection> {
  const connection: Connection = { ...opened, backlog: [] };
  const { device, door, address } = opened;
  const isFirst = ctx.live.presence.add(connection);
  const now = ctx.now();
  const onlineDoor = isFirst ? { onlineDoor: door.name } : {};
  ctx.queues.sightings.deviceSeen(device.id, { connectedAt: now, lastSeenAt: now, address, ...onlineDoor });
  if (isFirst) {
    ctx.feed.publish({ kind: 'online', projectId: device.projectId, deviceId: device.id, door: door.name });
  }
  try {
    // Moved or retagged between the handshake and here: then it was not connected yet and nobody told it.
    if (device.generation !== ctx.cache.generation()) await reread(ctx, device.projectId, [connection]);
    await bring(ctx, connection, heard);
  } catch (error) {
    closeConnection(ctx, connection);
    throw error;
  }
  return connection;
}

/** The device has gone. Calling it twice does no harm. */
export function closeConnection(ctx: LeavingContext, connection: Connection): void {
  if (!ctx.live.presence.remove(connection)) return;
  const { device, door } = connection;
  ctx.queues.sightings.deviceSeen(device.id, { lastSeenAt: ctx.now(), onlineDoor: null });
  ctx.feed.publish({ kind: 'offline', projectId: device.projectId, deviceId: device.id, door: door.name });
}

/**
 * A device begins to hear state or commands: it is sent the whole state, or the pulses that are pending. The door
 * delivers what is sent from this call on.
 */
export async function catchUp(
  ctx: BringContext,
  connection: Connection,
  heard: readonly Heard[],
): Promise<void> {
  // What is under way is taken over: this one brings what that one was to bring as well.
  await bring(ctx, connection, connection.backlog === null ? heard : everything);
}

/**
 * Sends the whole state and the pulses that are pending, or one of them. The database is asked first and memory
 * last, in one go with the sending: a command that is committed in between is in memory by then or in the backlog.
 */
async function bring(ctx: BringContext, connection: Connection, heard: readonly Heard[]): Promise<void> {
  const backlog = [...(connection.backlog ?? [])];
  connection.backlog = backlog;
  let device: ConnectedDevice;
  let finished = new Set<string>();
  let pulses: Command[] = [];
  do {
    device = connection.device;
    if (heard.includes('state')) {
      const inForce = slots.flatMap((slot) => ctx.live.inForce.matching(connection.device, slot));
      const known = inForce.map((command) => command.id);
      finished = await selectFinished(ctx.db, device.id, known);
    }
    if (heard.includes('command')) {
      const scopes = scopesOfDevice(device);
      const about = { id: device.id, finalWhenReceived };
      pulses = await selectPendingPulses(ctx.db, device.projectId, scopes, about, ctx.now());
    }
    if (connection.backlog !== backlog) return;
    // Moved or retagged meanwhile: what was read is for the place it had.
  } while (connection.device !== device);

  connection.backlog = null;
  if (heard.includes('state')) sendWholeState(ctx, connection, finished);
  const sent = new Set<string>();
  for (const pulse of pulses) {
    if (pulse.canceledAt !== null || !matchesTarget(pulse.target, device)) continue;
    sent.add(pulse.id);
    ctx.live.presence.send([connection], { event: 'command', message: commandMessage(pulse, ctx.now()) });
  }
  for (const outgoing of backlog) {
    // What changed meanwhile is part of the whole state already.
    const isSent = outgoing.event === 'state' ? heard.includes('state') : sent.has(outgoing.message.id);
    if (!isSent) ctx.live.presence.send([connection], outgoing);
  }
}

function sendWholeState(
  ctx: Pick<Context, 'now' | 'live'>,
  connection: Connection,
  finished: ReadonlySet<string>,
): void {
  const { device } = connection;
  const now = ctx.now();
  const causes = slots
    .flatMap((slot) => ctx.live.inForce.matching(device, slot))
    .filter((command) => command.expiresAt === null || command.expiresAt > now)
    .map((command) => command.id)
    .filter((id) => !finished.has(id))
    .sort();
  ctx.live.presence.send([connection], {
    event: 'state',
    message: { ...stateOf(ctx.live.inForce, device, now), causes, at: instant(now) },
  });
}

/** A pulse as devices get it, at `now`: they hold its end against the server's clock, not against their own. */
export function commandMessage(pulse: Command, now: number): CommandMessage {
  return {
    id: pulse.id,
    function: pulse.function,
    params: pulse.params,
    issued_at: instant(pulse.issuedAt),
    expires_at: instant(pulse.expiresAt ?? pulse.issuedAt),
    trigger_id: pulse.triggerId,
    at: instant(now),
  };
}

/** The devices' groups or tags have changed: file them anew and tell each what holds in its new place. */
export async function refreshConnected(
  ctx: ConnectionContext & Pick<Context, 'log'>,
  projectId: number,
  connections: readonly Connection[],
): Promise<void> {
  await reread(ctx, projectId, connections);
  for (const connection of connections) {
    if (connection.backlog !== null) continue;
    try {
      await bring(ctx, connection, everything);
    } catch (error) {
      ctx.log.error(
        { err: error, device: connection.device.id },
        'a device could not be told of its new place',
      );
      hangUp(ctx, connection);
    }
  }
}

async function reread(
  ctx: Pick<Context, 'db' | 'cache' | 'live'>,
  projectId: number,
  connections: readonly Connection[],
): Promise<void> {
  const ids = [...new Set(connections.map((connection) => connection.device.id))];
  const generation = ctx.cache.generation();
  for (const device of await selectDevicesById(ctx.db, projectId, ids))
    ctx.live.presence.refile({ ...factsOf(device), generation });
}

/** Ends every connection of a device whose token is worth nothing any more. */
export function disconnectDevice(ctx: LeavingContext, deviceId: number): void {
  for (const connection of [...ctx.live.presence.connectionsOf(deviceId)]) {
    hangUp(ctx, connection);
  }
}

/** Sends a connection away: the device comes back and is caught up, if it still may. */
function hangUp(ctx: LeavingContext, connection: Connection): void {
  connection.door.disconnect(connection);
  closeConnection(ctx, connection);
}
