/**
 * When a key was last used and a device last seen, which devices are online at this node, and what they want said if
 * they go without a word. These are gathered and written in the background: no trigger and no connection waits for them.
 */

import { setImmediate as turnOfLoop } from 'node:timers/promises';
import { updateDevice, updateDeviceOffline } from '../../store/device.ts';
import { updateKey } from '../../store/key.ts';
import { inTransaction } from '../../store/open.ts';
import type { Db } from '../../store/schema.ts';
import { deleteWills, insertWills, type Will } from '../../store/will.ts';

type DeviceSighting = {
  connectedAt?: number;
  lastSeenAt: number;
  address?: string | null;
  /** The door by which it is online from now on; null when it has gone. */
  onlineDoor?: string | null;
};

export type Sightings = {
  keyUsed(id: string, at: number): void;
  deviceSeen(id: number, sighting: DeviceSighting): void;
  /** The device leaves a will, until `willDone`. */
  willLeft(will: Omit<Will, 'nodeId'>): void;
  willDone(id: string): void;
  /** Writes what was gathered since the last time. */
  flush(db: Db): Promise<void>;
};

const rowsPerFlush = 1_000;
const willsPerFlush = 100;

export function createSightings(nodeId: string): Sightings {
  const keys = new Map<string, number>();
  const devices = new Map<number, DeviceSighting>();
  /** Null for those that are done. */
  const wills = new Map<string, Omit<Will, 'nodeId'> | null>();
  const written = new Set<string>();

  async function writeDevice(tx: Db, id: number, { onlineDoor, ...seen }: DeviceSighting): Promise<void> {
    const online = onlineDoor ? { onlineNode: nodeId, onlineDoor } : {};
    await updateDevice(tx, id, { ...seen, ...online });
    if (onlineDoor === null) await updateDeviceOffline(tx, id, nodeId);
  }

  return {
    keyUsed: (id, at) => keys.set(id, at),
    deviceSeen: (id, sighting) => devices.set(id, { ...devices.get(id), ...sighting }),
    willLeft: (will) => void wills.set(will.id, will),
    willDone: (id) => void wills.set(id, null),
    async flush(db) {
      while (keys.size + devices.size + wills.size > 0) {
        const usedKeys = [...keys].slice(0, rowsPerFlush);
        const seenDevices = [...devices].slice(0, rowsPerFlush);
        const changedWills = [...wills].slice(0, willsPerFlush);
        const left = changedWills.flatMap(([, will]) => (will ? [{ ...will, nodeId }] : []));
        const done = changedWills.filter(([id, will]) => will === null && written.has(id)).map(([id]) => id);
        for (const { id } of left) written.add(id);
        await inTransaction(db, async (tx) => {
          for (const [id, at] of usedKeys) await updateKey(tx, id, { lastUsedAt: at });
          for (const [id, sighting] of seenDevices) await writeDevice(tx, id, sighting);
          await insertWills(tx, left);
          await deleteWills(tx, done);
        });
        for (const id of done) written.delete(id);
        for (const [id, at] of usedKeys) if (keys.get(id) === at) keys.delete(id);
        for (const [id, sighting] of seenDevices) if (devices.get(id) === sighting) devices.delete(id);
        for (const [id, will] of changedWills) if (wills.get(id) === will) wills.delete(id);
        // On SQLite nothing above gave others a turn.
        await turnOfLoop();
      }
    },
  };
}
