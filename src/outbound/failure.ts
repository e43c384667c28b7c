/** Why an attempt failed, in words for those who look after a webhook. */
import { errors } from 'undici';

const errorCharsMax = 300;
export const calledOff = 'called off before it was answered';

/** Marks errors whose message is made for users. */
const ownCode = 'OUTBOUND';

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
  UND_ERR_SOCKET: 'the connection was closed before an answer came',
  ERR_INVALID_URL: 'the URL is not valid',
};

/** Why an attempt failed, in one line; `answered` says that an answer had begun. */
export function describeFailure(error: unknown, url: string, answered: boolean): string {
  const code = codeOf(error);
  const message = error instanceof Error ? error.message : String(error);
  if (code === ownCode) return oneLine(message);
  if (answered) return 'the answer broke off';
  const known = connectionErrors[code];
  if (known) return known;
  if (error instanceof errors.HTTPParserError) return oneLine(`the answer cannot be read: ${message}`);
  if (code.startsWith('UND_ERR_')) return oneLine(`the request cannot be sent: ${message}`);
  // Nothing else is left that an HTTPS connection can fail by; OpenSSL's reason is shorter than its message.
  const { reason = message } = error as { reason?: string };
  return oneLine(/^https:/i.test(url) ? `TLS failed: ${reason}` : message);
}

export function codeOf(error: unknown): string {
  return error instanceof Error && 'code' in error ? String(error.code) : 'unknown';
}

function oneLine(text: string): string {
  return text.replace(/\s+/g, ' ').trim().slice(0, errorCharsMax);
}
