/**
 * Keeps a device's memory in one file of mode 0600, for Node. It is written beside, synced and renamed: after
 * a power cut there is the old text or the new one. One file for each device, one process for each file.
 */
import { mkdir, open, readFile, rename } from 'node:fs/promises';
import { dirname } from 'node:path';
import { platform } from 'node:process';
import type { DeviceStorage } from './storage.ts';

export function fileStorage(path: string): DeviceStorage {
  const beside = `${path}.new`;
  return {
    async load() {
      try {
        return await readFile(path, 'utf8');
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null;
        throw error;
      }
    },
    async save(text) {
      const folder = dirname(path);
      await mkdir(folder, { recursive: true, mode: 0o700 });
      await synced(beside, 'w', (file) => file.writeFile(text));
      await rename(beside, path);
      // The new name must survive too. Windows can't open a folder, and needs no such care.
      if (platform !== 'win32') await synced(folder, 'r');
    },
  };
}

type OpenFile = Awaited<ReturnType<typeof open>>;

async function synced(path: string, flags: string, write?: (file: OpenFile) => Promise<void>): Promise<void> {
  const file = await open(path, flags, 0o600);
  try {
    await write?.(file);
    await file.sync();
  } finally {
    await file.close();
  }
}
