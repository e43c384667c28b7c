/**
 * Secrets that people copy around: API keys, device tokens, link tokens. The prefix says what it is, so that a
 * leak is recognised by a scanner; the checksum tells a typo from a wrong key without asking the database.
 */
import { createHash, randomBytes } from 'node:crypto';
import { crc32 } from 'node:zlib';

export type TokenPrefix = 'fhk' | 'fhd' | 'fhl' | 'fhs';

const secretLength = 32;
const checksumLength = 6;
const alphabet = '0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz';
const shownLength = 12;

/** `<prefix>_<32 random letters and digits><6 of checksum>`: 190 bits of randomness. */
export function makeToken(prefix: TokenPrefix): string {
  let secret = '';
  while (secret.length < secretLength) {
    for (const byte of randomBytes(secretLength)) {
      // 248 is the largest multiple of 62 in a byte: what is above would make some letters likelier.
      if (byte < 248 && secret.length < secretLength) secret += alphabet[byte % 62];
    }
  }
  return `${prefix}_${secret}${checksum(`${prefix}_${secret}`)}`;
}

/** False for what cannot be a token of ours: mistyped, cut off, or something else. */
export function isWellFormed(token: string, prefix: TokenPrefix): boolean {
  const body = token.slice(0, -checksumLength);
  return (
    token.startsWith(`${prefix}_`) &&
    token.length === prefix.length + 1 + secretLength + checksumLength &&
    token.slice(-checksumLength) === checksum(body)
  );
}

/** SHA-256 in hex. The tokens are random, so a slow hash would protect nothing. */
export function hashToken(token: string): string {
  return createHash('sha256').update(token).digest('hex');
}

/** The part that may be shown in lists and logs. */
export function shownPart(token: string): string {
  return token.slice(0, shownLength);
}

function checksum(text: string): string {
  let rest = crc32(text);
  let digits = '';
  for (let place = 0; place < checksumLength; place += 1) {
    digits = alphabet[rest % 62] + digits;
    rest = Math.floor(rest / 62);
  }
  return digits;
}
