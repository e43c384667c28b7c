/** Why an attempt failed, in words for those who look after a webhook. */
import { errors } from 'undici';

const errorCharsMax = 300;
export const calledOff = 'called off before it was answered';

/** Marks errors whose message is made for users. */
const ownCode = 'OUTBOUND';
const bodyCode = 'OUTBOUND_BODY';

export function failureOf(message: string, cause?: unknown): NodeJS.ErrnoException {
  return Object.assign(new Error(message, { cause }), { code: ownCode });
}

const connectionErrors: Record<string, string> = {
  ECONNREFUSED: 'the connection was refused',
  ECONNRESET: 'the connection was reset',
  EPIPE: 'the connection was reset',
  ETIMEDOUT: 'the connection timed out',
  EHOSTUNREACH: 'the host cannot be reached',
  ENETUNREACH: 'the network cannot be reached',
  EADDRNOTAVAIL: 'there is no free port to connect from',
  EMFILE: 'too many files are open here',
  ENFILE: 'too many files are open here',
  UND_ERR_CLOSED: calledOff,
  UND_ERR_DESTROYED: calledOff,
  UND_ERR_CONNECT_TIMEOUT: 'the connection timed out',
  UND_ERR_HEADERS_OVERFLOW: 'the headers of the answer are too long',
  UND_ERR_REQ_CONTENT_LENGTH_MISMATCH: 'the body is not as long as announced',
  UND_ERR_RES_CONTENT_LENGTH_MISMATCH: 'the answer cannot be read: it contradicts itself about its length',
  UND_ERR_SOCKET: 'the connection was closed before an answer came',
  ERR_ASSERTION: 'the answer cannot be read: it is not HTTP/1.1',
  ERR_INVALID_URL: 'the URL is not valid',
};

/** Nobody that is trusted here vouches for the receiver's certificate. */
const unknownIssuer = new Set([
  'UNABLE_TO_VERIFY_LEAF_SIGNATURE',
  'UNABLE_TO_GET_ISSUER_CERT',
  'UNABLE_TO_GET_ISSUER_CERT_LOCALLY',
  'SELF_SIGNED_CERT_IN_CHAIN',
  'DEPTH_ZERO_SELF_SIGNED_CERT',
  'CERT_UNTRUSTED',
]);
const howToTrust =
  'set NODE_EXTRA_CA_CERTS to a PEM file with the certificate of its CA and start Fleethook again';

const ourCodes = new Set([
  'EMFILE',
  'ENFILE',
  'EADDRNOTAVAIL',
  'UND_ERR_INVALID_ARG',
  'UND_ERR_REQ_CONTENT_LENGTH_MISMATCH',
  bodyCode,
]);

/** It failed here: it can't be sent, or not in full. Says nothing about the receiver, whatever that has answered. */
export function isOurs(error: unknown): boolean {
  return ourCodes.has(codeOf(error));
}

/** Of a body that could not be read. */
export function bodyFailure(cause: unknown): NodeJS.ErrnoException {
  return Object.assign(new Error('the body could not be read', { cause }), { code: bodyCode });
}

/** Why there was no answer, in one line. */
export function describeFailure(error: unknown, url: string): string {
  const code = codeOf(error);
  const message = error instanceof Error ? error.message : String(error);
  if (code === ownCode || code === bodyCode) return oneLine(message);
  const known = connectionErrors[code];
  if (known) return known;
  if (error instanceof errors.HTTPParserError) {
    const [, reason = message] = /\((.+)\)$/.exec(message) ?? [];
    return oneLine(`the answer cannot be read: it is not HTTP/1.1 (${reason})`);
  }
  if (code.startsWith('UND_ERR_')) return oneLine(`the request cannot be sent: ${message}`);
  // Nothing else is left that an HTTPS connection can fail by; OpenSSL's reason is shorter than its message.
  const { reason = message } = error as { reason?: string };
  if (!/^https:/i.test(url)) return oneLine(message);
  const [said] = reason.split('; ', 1);
  return oneLine(unknownIssuer.has(code) ? `TLS failed: ${said}: ${howToTrust}` : `TLS failed: ${reason}`);
}

export function codeOf(error: unknown): string {
  return error instanceof Error && 'code' in error ? String(error.code) : 'unknown';
}

function oneLine(text: string): string {
  return text.replace(/\s+/g, ' ').trim().slice(0, errorCharsMax);
}
