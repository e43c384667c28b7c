/** One token on two machines: both are served, and whoever runs the fleet is told. */
import type { Context } from '../context.ts';
import { type Connection, isSameMachine } from './presence.ts';

/**
 * Looks whether the device is connected from another machine already. A machine that comes back before its old
 * connection is known to be dead is none, so that one has to show that somebody is there.
 */
export function noticeSharing(ctx: Pick<Context, 'feed' | 'live' | 'log'>, connection: Connection): void {
  const { presence } = ctx.live;
  const { id, projectId } = connection.device;
  const isThere = (one: Connection) => presence.connectionsOf(id).includes(one);

  async function look(other: Connection): Promise<void> {
    if (!(await other.door.isAlive(other)) || !isThere(other) || !isThere(connection)) return;
    if (!presence.share(id)) return;
    const addresses = [...new Set(presence.connectionsOf(id).flatMap(({ address }) => address ?? []))];
    ctx.feed.publish({ kind: 'shared', projectId, deviceId: id, addresses });
  }

  for (const other of presence.connectionsOf(id)) {
    if (other === connection || isSameMachine(other, connection)) continue;
    look(other).catch((error: unknown) =>
      ctx.log.error({ err: error, device: id }, 'whether a device is shared could not be found out'),
    );
  }
}
