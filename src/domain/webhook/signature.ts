/**
 * How an outgoing request proves where it comes from: Standard Webhooks, the signatures of MODE and
 * of Biotz, or nothing. The receiver's side is client/verify.ts, which signs with this file and compares.
 */
import { createHmac, createSecretKey, randomBytes, randomInt } from 'node:crypto';

export const signatureSchemes = ['standard', 'mode', 'biotz', 'none'] as const;
export type SignatureScheme = (typeof signatureSchemes)[number];

const secretPrefix = 'whsec_';
const madeSecretBytes = 32;
const standardKeyBytesMin = 24;
const standardKeyBytesMax = 64;
const secretCharactersMax = 200;
/** As long as the keys that MODE's console makes. */
const modeSecretCharacters = 24;
const lettersAndDigits = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789';

export type Signing = {
  scheme: SignatureScheme;
  /** Newest first. `standard` and `biotz` sign with each, so that a receiver may know either; `mode` with the first. */
  secrets: readonly string[];
  /** What the header `webhook-id` says; signed in `standard`. */
  id: string;
  /** Unix time; signed in `standard` and `biotz`. */
  timestampSeconds: number;
  /** As it was configured, to the letter; signed in `mode`. */
  url: string;
};

export type Signer = {
  /** The next part of the body; a text stands for its UTF-8 bytes. */
  update: (chunk: Uint8Array | string) => void;
  /** Once, after the last part: the headers of the scheme, without `webhook-id`. */
  headers: () => Record<string, string>;
};

/** Signs a body that comes in parts. Throws a plain error when there is no secret, or one without a key in it. */
export function createSigner({ scheme, secrets, id, timestampSeconds, url }: Signing): Signer {
  if (scheme === 'none') return { update: () => undefined, headers: () => ({}) };
  const first = { standard: `${id}.${timestampSeconds}.`, mode: url, biotz: `${timestampSeconds}.` }[scheme];
  const hmacs = (scheme === 'mode' ? secrets.slice(0, 1) : secrets).map((secret) => {
    const key = keyOf(scheme, secret);
    if (key.length === 0) throw new Error(`a secret of scheme "${scheme}" is empty`);
    // A key of bytes would be looked at for what else it might be, which takes longer than the rest.
    return createHmac('sha256', createSecretKey(key)).update(first);
  });
  if (hmacs.length === 0) throw new Error(`scheme "${scheme}" needs a secret`);
  return {
    update: (chunk) => {
      for (const hmac of hmacs) hmac.update(chunk);
    },
    headers: () => {
      if (scheme === 'standard') {
        const signatures = hmacs.map((hmac) => `v1,${hmac.digest('base64')}`);
        return { 'webhook-timestamp': String(timestampSeconds), 'webhook-signature': signatures.join(' ') };
      }
      const signatures = hmacs.map((hmac) => hmac.digest('hex'));
      if (scheme === 'mode') return { 'X-Mode-Signature': signatures.join() };
      const parts = signatures.map((signature) => `v1=${signature}`);
      return { 'Biotz-IoT-Signature': [`t=${timestampSeconds}`, ...parts].join() };
    },
  };
}

/** Signs a body that is there as a whole. */
export function signRequest(request: Signing & { body: Uint8Array | string }): Record<string, string> {
  const signer = createSigner(request);
  signer.update(request.body);
  return signer.headers();
}

/**
 * The bytes that sign. A secret of `standard` is Base64 behind `whsec_`, which may be missing: as the libraries of
 * Standard Webhooks read it. In `mode` and `biotz` it is the text as it was shown, prefix included.
 */
function keyOf(scheme: Exclude<SignatureScheme, 'none'>, secret: string): Buffer {
  return scheme === 'standard' ? Buffer.from(withoutPrefix(secret), 'base64') : Buffer.from(secret, 'utf8');
}

function withoutPrefix(secret: string): string {
  return secret.startsWith(secretPrefix) ? secret.slice(secretPrefix.length) : secret;
}

/** A new secret in the form its scheme knows. */
export function makeWebhookSecret(scheme: Exclude<SignatureScheme, 'none'>): string {
  if (scheme !== 'mode') return secretPrefix + randomBytes(madeSecretBytes).toString('base64');
  return Array.from(
    { length: modeSecretCharacters },
    () => lettersAndDigits[randomInt(lettersAndDigits.length)],
  ).join('');
}

/** Why a secret that a user brings can't be one of this scheme; null when it can. */
export function secretProblem(scheme: SignatureScheme, secret: string): string | null {
  if (scheme === 'none') return 'scheme "none" has no secret';
  if (!/^[\x20-\x7e]+$/.test(secret) || secret.length > secretCharactersMax) {
    return `must be 1 to ${secretCharactersMax} printable ASCII characters`;
  }
  if (scheme !== 'standard') return null;
  const encoded = withoutPrefix(secret);
  const key = Buffer.from(encoded, 'base64');
  if (key.length === 0 || key.toString('base64') !== encoded) {
    return 'must be Base64 with its padding, behind "whsec_" or bare';
  }
  if (encoded !== secret && (key.length < standardKeyBytesMin || key.length > standardKeyBytesMax)) {
    return `must hold ${standardKeyBytesMin} to ${standardKeyBytesMax} bytes behind "whsec_"`;
  }
  return null;
}
