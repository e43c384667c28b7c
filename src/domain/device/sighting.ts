/**
 * When a key was last used and a device last seen. These are hints for people, so they are gathered and written
 * in the background: no trigger and no connection waits for them.
 */

import { setImmediate as turnOfLoop } from 'node:timers/promises';
import { updateDevice } from '../../store/device.ts';
import { updateKey } from '../../store/key.ts';
import { inTransaction } from '../../store/open.ts';
import type { Db } from '../../store/schema.ts';

type DeviceSighting = { connectedAt?: number; lastSeenAt: number; address?: string | null };

export type Sightings = {
  keyUsed(id: string, at: number): void;
  deviceSeen(id: number, sighting: DeviceSighting): void;
  /** Writes what was gathered since the last time. */
  flush(db: Db): Promise<void>;
};

const rowsPerFlush = 1_000;

export function createSightings(): Sightings {
  const keys = new Map<string, number>();
  const devices = new Map<number, DeviceSighting>();
  return {
    keyUsed: (id, at) => keys.set(id, at),
    deviceSeen: (id, sighting) => devices.set(id, { ...devices.get(id), ...sighting }),
    async flush(db) {
      while (keys.size + devices.size > 0) {
        const usedKeys = [...keys].slice(0, rowsPerFlush);
        const seenDevices = [...devices].slice(0, rowsPerFlush);
        await inTransaction(db, async (tx) => {
          for (const [id, at] of usedKeys) await updateKey(tx, id, { lastUsedAt: at });
          for (const [id, sighting] of seenDevices) await updateDevice(tx, id, sighting);
        });
        for (const [id, at] of usedKeys) if (keys.get(id) === at) keys.delete(id);
        for (const [id, sighting] of seenDevices) if (devices.get(id) === sighting) devices.delete(id);
        // On SQLite nothing above gave others a turn.
        await turnOfLoop();
      }
    },
  };
}
