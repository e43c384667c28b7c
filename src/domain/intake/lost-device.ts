/**
 * Devices that were online at a node which died, and that have not come back since: once a grace is over they are told
 * to be offline, and their wills are said. Each is claimed in the commit that tells it, so that one node tells it, once.
 */
import { type Device, selectDevice, updateDeviceOffline } from '../../store/device.ts';
import { selectOnlineDevices, selectOnlineNodes } from '../../store/device-online.ts';
import { selectNodes } from '../../store/node.ts';
import type { Db } from '../../store/schema.ts';
import { deleteWills, deleteWillsOfNode, selectWills, type Will } from '../../store/will.ts';
import type { Context } from '../context.ts';
import { factsOf } from '../device/presence.ts';
import { originOf } from '../event/origin.ts';
import { instant } from '../input.ts';
import { knownOf } from './known.ts';
import { addServerEvent } from './server-event.ts';
import { tell } from './tell.ts';
import { publishWill } from './will.ts';

/** Devices have so long to come back. */
const graceMs = 60_000;
/** Longer than nodes take from one beat to the next: one that is alive has beaten in between. */
const lookEveryMs = 5_000;
const devicesPerRound = 100;

export type LostDevices = {
  /** Tells those that are lost; answers the milliseconds until it wants to look again. */
  look(): Promise<number>;
};

/** `passed` are milliseconds that nobody sets: the clock of a node may be wrong, and that of another as well. */
export function createLostDevices(ctx: Context, passed = () => performance.now()): LostDevices {
  /** Nodes of devices, with the last beat that was seen of each and when it was seen. */
  const noticed = new Map<string, { beatAt: number | undefined; at: number }>();

  /** Since when nothing was seen of a node. */
  function silentSince(nodeId: string, beatAt: number | undefined): number {
    const before = noticed.get(nodeId);
    const hasBeaten = beatAt !== undefined && beatAt !== before?.beatAt;
    if (before && !hasBeaten) return before.at;
    noticed.set(nodeId, { beatAt, at: passed() });
    return passed();
  }

  async function lookAt(nodeId: string, beatAt: number | undefined): Promise<void> {
    if (nodeId === ctx.process.nodeId || passed() - silentSince(nodeId, beatAt) < graceMs) return;
    await tellDevicesOf(ctx, nodeId);
    await deleteWillsOfNode(ctx.db, nodeId);
  }

  return {
    async look() {
      try {
        const beats = await selectNodes(ctx.db);
        const nodes = await selectOnlineNodes(ctx.db);
        for (const known of noticed.keys()) if (!nodes.includes(known)) noticed.delete(known);
        for (const nodeId of nodes) await lookAt(nodeId, beats.get(nodeId));
      } catch (error) {
        // While the database is away no node can beat.
        noticed.clear();
        throw error;
      }
      return lookEveryMs;
    },
  };
}

async function tellDevicesOf(ctx: Context, nodeId: string): Promise<void> {
  for (;;) {
    const devices = await selectOnlineDevices(ctx.db, nodeId, devicesPerRound);
    for (const { id, projectId } of devices) {
      const device = await selectDevice(ctx.db, projectId, id);
      if (device?.onlineNode === nodeId) await tellDevice(ctx, nodeId, device);
    }
    if (devices.length < devicesPerRound) return;
  }
}

async function tellDevice(ctx: Context, nodeId: string, device: Device): Promise<void> {
  const { id: deviceId, projectId } = device;
  const known = await knownOf(ctx, projectId);
  const origin = await originOf(ctx, { device: factsOf(device), address: device.address });
  const { onlineDoor: door, lastSeenAt } = device;
  const data = { door, last_seen_at: instant(lastSeenAt) };
  let wills = null as Will[] | null;
  await tell(ctx, async (tx, outbox) => {
    wills = await claimDevice(tx, nodeId, deviceId);
    if (wills) addServerEvent(ctx, outbox, known, { type: 'device.offline', projectId, origin, data });
    return [];
  });
  // Back meanwhile, or told by another node.
  if (!wills) return;
  ctx.feed.publish({ kind: 'lost', projectId, deviceId, nodeId });
  for (const will of wills) await publishWill(ctx, factsOf(device), device.address, will);
}

/** Takes it upon this node to tell the device and to say its wills; null when it is not lost. */
async function claimDevice(tx: Db, nodeId: string, deviceId: number): Promise<Will[] | null> {
  if (!(await updateDeviceOffline(tx, deviceId, nodeId))) return null;
  const wills = await selectWills(tx, nodeId, deviceId);
  await deleteWills(
    tx,
    wills.map(({ id }) => id),
  );
  return wills;
}
