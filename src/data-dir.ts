/** The two files of a first start, in the data folder: the secret that seals what must be read again, and the first admin key. */
import { randomBytes } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Log } from './log.ts';

type Told = Pick<Log, 'info'>;

/** Made on first start, kept beside the database. */
export function ownSecret(dataDir: string, log: Told): string {
  const path = join(dataDir, 'secret');
  if (!existsSync(path)) {
    writePrivately(dataDir, path, randomBytes(32).toString('base64url'), 'wx');
    log.info({ path }, 'a secret was made to seal keys with: keep it with your backups');
  }
  return readFileSync(path, 'utf8').trim();
}

/** The first admin key goes into a file that only the owner can read, never into the log. */
export function keepFirstKey(dataDir: string, key: string, log: Told): void {
  const path = join(dataDir, 'admin-key');
  writePrivately(dataDir, path, key, 'w');
  log.info({ path }, `first start: your admin key is in ${path}; send it as "Authorization: Bearer <it>"`);
}

function writePrivately(dataDir: string, path: string, line: string, flag: 'w' | 'wx'): void {
  mkdirSync(dataDir, { recursive: true, mode: 0o700 });
  writeFileSync(path, `${line}\n`, { mode: 0o600, flag });
}
