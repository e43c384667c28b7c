/** For receivers of webhooks: is this request from the Fleethook server that shares a secret with us? */
import { timingSafeEqual } from 'node:crypto';
import { type SignatureScheme, signatureSchemes, signRequest } from '../domain/webhook/signature.ts';

const toleranceSecondsDefault = 5 * 60;
/** Senders write one for each secret in force; more are only work. */
const signaturesMax = 20;

export type WebhookRequest = {
  scheme: SignatureScheme;
  /** All that are in force: while a secret is rotated, the new one and the old one. */
  secret: string | readonly string[];
  /** Of `fetch` or of `node:http`; names in any case. */
  headers: Headers | Readonly<Record<string, string | readonly string[] | undefined>>;
  /** As it came, before anything parsed it. */
  body: Uint8Array | string;
  /** For `mode`: the URL as it is configured in Fleethook, to the letter. */
  url?: string;
  /** How far the sender's clock and ours may be apart, in either direction; for `standard` and `biotz`. */
  toleranceSeconds?: number;
  /** Milliseconds. */
  now?: number;
};

export type Verdict =
  | {
      ok: true;
      /**
       * `webhook-id`, the same at every attempt: a receiver that keeps it does nothing twice. It is signed in
       * `standard` alone, so in the others it helps against repetition by the sender, and not against a replay.
       */
      id: string | null;
      /** When it was signed; null in `mode` and `none`. */
      timestamp: Date | null;
    }
  | { ok: false; reason: string };

/**
 * Checks a request in constant time. Never throws: whatever is wrong with it is the `reason`.
 *
 * @example
 * const server = createServer(async (request, response) => {
 *   const body = Buffer.concat(await Array.fromAsync(request)); // the bytes as they came
 *   const verdict = verifyWebhook({ scheme: 'standard', secret: 'whsec_…', headers: request.headers, body });
 *   response.writeHead(verdict.ok ? 204 : 401).end();
 * });
 */
export function verifyWebhook(request: WebhookRequest): Verdict {
  const { scheme, headers, body, url = '', toleranceSeconds = toleranceSecondsDefault } = request;
  const id = headerOf(headers, 'webhook-id');
  if (!signatureSchemes.includes(scheme)) return refuse(`there is no scheme "${String(scheme)}"`);
  if (scheme === 'none') return { ok: true, id, timestamp: null };
  if (typeof body !== 'string' && !(body instanceof Uint8Array)) {
    return refuse('the body must be the bytes or the text of the request, not what was parsed from it');
  }
  if (scheme === 'mode' && !url) return refuse('scheme "mode" needs the URL that is configured in Fleethook');
  const claim = readClaim(scheme, headers);
  if ('reason' in claim) return refuse(claim.reason);
  if (scheme === 'standard' && !id) return refuse('the header webhook-id is missing');
  const { seconds, signatures } = claim;
  const apart = Math.abs((request.now ?? Date.now()) / 1000 - (seconds ?? 0));
  // Written so that a tolerance that is no number accepts nothing.
  if (seconds !== null && !(apart <= toleranceSeconds)) {
    return refuse(`the request was signed more than ${toleranceSeconds} seconds from now`);
  }
  const secrets = [request.secret].flat().filter((secret) => typeof secret === 'string' && secret !== '');
  if (secrets.length === 0) return refuse('there is no secret to verify with');
  for (const secret of secrets) {
    const expected = signatureOf({ scheme, secret, id: id ?? '', seconds: seconds ?? 0, url, body });
    if (expected !== null && signatures.some((signature) => isSame(signature, expected))) {
      return { ok: true, id, timestamp: seconds === null ? null : new Date(seconds * 1000) };
    }
  }
  return refuse('no signature matches');
}

function refuse(reason: string): Verdict {
  return { ok: false, reason };
}

type Claim = { seconds: number | null; signatures: string[] };
type Refusal = { reason: string };

/** What the headers say: when it was signed, and the signatures. */
function readClaim(
  scheme: Exclude<SignatureScheme, 'none'>,
  headers: WebhookRequest['headers'],
): Claim | Refusal {
  const name = { standard: 'webhook-signature', mode: 'x-mode-signature', biotz: 'biotz-iot-signature' }[
    scheme
  ];
  const text = headerOf(headers, name);
  if (!text) return { reason: `the header ${name} is missing` };
  if (scheme === 'mode') return { seconds: null, signatures: [text.toLowerCase()] };
  const parts = text.split(scheme === 'standard' ? ' ' : ',').map((part) => part.trim());
  const valuesOf = (prefix: string) =>
    parts.filter((part) => part.startsWith(prefix)).map((part) => part.slice(prefix.length));
  const time = scheme === 'standard' ? headerOf(headers, 'webhook-timestamp') : valuesOf('t=')[0];
  // Written in one way only, since the signature is over the text.
  if (!time || !/^[1-9]\d{0,11}$/.test(time))
    return { reason: 'the timestamp is missing or is not Unix seconds' };
  const signatures =
    scheme === 'standard' ? valuesOf('v1,') : valuesOf('v1=').map((hex) => hex.toLowerCase());
  return { seconds: Number(time), signatures: signatures.slice(0, signaturesMax) };
}

/** The signature alone, without what the header writes around it; null when the secret holds no key. */
function signatureOf(signing: {
  scheme: SignatureScheme;
  secret: string;
  id: string;
  seconds: number;
  url: string;
  body: Uint8Array | string;
}): string | null {
  const { secret, seconds, ...rest } = signing;
  try {
    const headers = signRequest({ ...rest, secrets: [secret], timestampSeconds: seconds });
    const text = Object.values(headers).at(-1) ?? '';
    return text.replace(/^(?:t=\d+,)?v1[,=]/, '');
  } catch {
    return null;
  }
}

/** How long a signature is, is no secret. */
function isSame(given: string, expected: string): boolean {
  const [a, b] = [Buffer.from(given), Buffer.from(expected)];
  return a.length === b.length && timingSafeEqual(a, b);
}

/** Of a header that came several times, the first. */
function headerOf(headers: WebhookRequest['headers'], name: string): string | null {
  if (isFetchHeaders(headers)) return headers.get(name);
  for (const [key, value] of Object.entries(headers ?? {})) {
    if (key.toLowerCase() !== name || value === undefined) continue;
    const text = typeof value === 'string' ? value : value[0];
    return typeof text === 'string' ? text : null;
  }
  return null;
}

/** By its method: there are other classes of that name than the global one. */
function isFetchHeaders(headers: WebhookRequest['headers']): headers is Headers {
  return typeof (headers as { get?: unknown } | undefined)?.get === 'function';
}
