/**
 * Secrets that must be read again are kept sealed: AES-256-GCM under a key derived from FLEETHOOK_SECRET. The
 * label ties a sealed text to its column, so that one can't be put in another's place.
 */

import { createCipheriv, createDecipheriv, hkdfSync, randomBytes } from 'node:crypto';
import type { Db } from '../../store/schema.ts';
import { keepSetting } from '../../store/setting.ts';
import { Fault } from '../fault.ts';

export type Seal = {
  close(label: string, text: string): string;
  /** Throws when the text was sealed under another secret or label, or was changed. */
  open(label: string, sealed: string): string;
};

const nonceBytes = 12;
const tagBytes = 16;
const version = 'v1';

export function createSeal(secret: string): Seal {
  const key = Buffer.from(hkdfSync('sha256', secret, '', 'fleethook seal v1', 32));
  return {
    close(label, text) {
      const nonce = randomBytes(nonceBytes);
      const cipher = createCipheriv('aes-256-gcm', key, nonce).setAAD(Buffer.from(label));
      const body = Buffer.concat([nonce, cipher.update(text, 'utf8'), cipher.final(), cipher.getAuthTag()]);
      return `${version}.${body.toString('base64url')}`;
    },
    open(label, sealed) {
      const [found, text = ''] = sealed.split('.');
      const body = Buffer.from(text, 'base64url');
      if (found !== version || body.length < nonceBytes + tagBytes) throw new Error('not a sealed text');
      const decipher = createDecipheriv('aes-256-gcm', key, body.subarray(0, nonceBytes))
        .setAAD(Buffer.from(label))
        .setAuthTag(body.subarray(-tagBytes));
      const opened = decipher.update(body.subarray(nonceBytes, -tagBytes));
      return Buffer.concat([opened, decipher.final()]).toString('utf8');
    },
  };
}

const checkName = 'seal check';

/** Throws when the database was sealed under another FLEETHOOK_SECRET: nothing in it could be read any more. */
export async function requireSameSecret(db: Db, seal: Seal): Promise<void> {
  const kept = await keepSetting(db, checkName, seal.close(checkName, checkName));
  try {
    seal.open(checkName, kept);
  } catch (error) {
    throw new Fault(
      'conflict',
      'FLEETHOOK_SECRET (or the file "secret" in DATA_DIR) is not the one this database was made with',
      {
        cause: error,
      },
    );
  }
}
