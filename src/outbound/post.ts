/** One attempt of an outgoing request: a POST over undici, within limits, to addresses the guard lets through. */
import { Buffer } from 'node:buffer';
import type { LookupAddress, LookupAllOptions } from 'node:dns';
import { lookup } from 'node:dns/promises';
import { isIP, type LookupFunction, type Socket } from 'node:net';
import type { Readable } from 'node:stream';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { Agent, buildConnector, errors, request as send } from 'undici';
import type { Outcome, OutgoingRequest } from '../domain/delivery/attempt.ts';
import { createGuard, type Guard } from './address.ts';
import { retryAfterOf } from './retry-after.ts';

/** For all of it: name, connection, request and answer. */
const attemptMsMax = 15_000;
/** One address of several may be dead; the next one still needs its time within the attempt. */
const addressMsMax = 1_000;
const answerBytesMax = 16 * 1024;
const headerBytesMax = 16 * 1024;
/** Shorter than the five seconds after which many servers close an idle connection. */
const idleMs = 4_000;
/** What a server may prolong that to, by its Keep-Alive header. */
const idleMsMax = 60_000;
const errorCharsMax = 300;
const calledOff = 'called off before it was answered';

export type Poster = {
  /** Never throws. No redirect is followed: a 3xx is an answer like any other. */
  post(request: OutgoingRequest, signal: AbortSignal): Promise<Outcome>;
  /** Ends what is still under way; its outcomes say so. */
  close(): Promise<void>;
};

export type PosterOptions = {
  /** Addresses or CIDR blocks that the guard lets through although it would refuse them. */
  allowNetworks: readonly string[];
  userAgent?: string;
  /** For tests. */
  attemptMs?: number;
  /** For tests. */
  resolve?: Resolve;
};

type Resolve = (hostname: string, options: LookupAllOptions) => Promise<LookupAddress[]>;

/** What an attempt has seen so far. */
type Seen = { status: number | null; retryAfterMs: number | null; chunks: Buffer[]; bytes: number };

export function createPoster(options: PosterOptions): Poster {
  const { userAgent, attemptMs = attemptMsMax, resolve = lookup } = options;
  const sockets = new Set<Socket>();
  const agent = new Agent({
    connect: guardedConnector(createGuard(options.allowNetworks), resolve, attemptMs, sockets),
    // As many connections as requests under way: a receiver that hangs holds up nobody else at its origin.
    connections: null,
    pipelining: 1,
    allowH2: false,
    keepAliveTimeout: idleMs,
    keepAliveMaxTimeout: idleMsMax,
    maxHeaderSize: headerBytesMax,
    // The deadline of the attempt is stricter than both.
    headersTimeout: 0,
    bodyTimeout: 0,
  });

  async function post(request: OutgoingRequest, signal: AbortSignal): Promise<Outcome> {
    const startedAt = performance.now();
    const seen: Seen = { status: null, retryAfterMs: null, chunks: [], bytes: 0 };
    const cut = cutShort(attemptMs, signal);
    let error: string | null = null;
    try {
      // undici looks at its signal only once there is a connection, hence the race.
      await Promise.race([exchange(agent, request, userAgent, cut.signal, seen), cut.promise]);
    } catch (thrown) {
      error = cut.reason() ?? describeError(thrown, request.url, seen.status !== null);
    } finally {
      cut.end();
    }
    return {
      status: seen.status,
      retryAfterMs: seen.retryAfterMs,
      error,
      answer: decodeAnswer(seen),
      durationMs: Math.round(performance.now() - startedAt),
    };
  }

  return {
    post,
    async close() {
      await agent.destroy();
      for (const socket of sockets) socket.destroy(); // undici leaves those that are still connecting
    },
  };
}

/** Rejects when the time is up or the caller's signal says so, and aborts its own signal; `end` it in any case. */
function cutShort(attemptMs: number, signal: AbortSignal) {
  const controller = new AbortController();
  const { promise, reject } = Promise.withResolvers<never>();
  promise.catch(() => undefined); // it may reject before anybody waits for it
  let reason: string | null = null;
  const cut = (why: string) => {
    reason ??= why;
    controller.abort();
    reject(new Error(reason));
  };
  const onAbort = () => cut(calledOff);
  const timer = setTimeout(cut, attemptMs, `timed out after ${attemptMs / 1_000} s`);
  signal.addEventListener('abort', onAbort, { once: true });
  if (signal.aborted) onAbort();
  return {
    signal: controller.signal,
    promise,
    reason: () => reason,
    end: () => {
      clearTimeout(timer);
      signal.removeEventListener('abort', onAbort);
    },
  };
}

async function exchange(
  agent: Agent,
  request: OutgoingRequest,
  userAgent: string | undefined,
  signal: AbortSignal,
  seen: Seen,
): Promise<void> {
  signal.throwIfAborted();
  const { url, headers, body, bodyBytes } = request;
  const { protocol } = new URL(url);
  if (protocol !== 'http:' && protocol !== 'https:')
    throw faultOf(`the URL is not http or https: ${protocol}`);
  const namesAgent = Object.keys(headers).some((name) => name.toLowerCase() === 'user-agent');
  const response = await send(url, {
    dispatcher: agent,
    method: 'POST',
    headers: {
      ...(userAgent === undefined || namesAgent ? {} : { 'user-agent': userAgent }),
      ...headers,
      'content-length': String(bodyBytes),
    },
    // undici takes any iterable, its types don't say so. A stream would throw a lost connection into the source.
    body: typeof body === 'function' ? (readBody(body) as unknown as Readable) : body,
    signal,
  });
  seen.status = response.statusCode;
  const retryAfter = response.headers['retry-after'];
  seen.retryAfterMs = retryAfterOf(typeof retryAfter === 'string' ? retryAfter : undefined, Date.now());
  // Leaving the loop destroys the body and with it the connection: an endless answer costs nothing more.
  for await (const chunk of response.body as AsyncIterable<Buffer>) {
    seen.chunks.push(chunk);
    seen.bytes += chunk.length;
    if (seen.bytes >= answerBytesMax) break;
  }
  // undici takes until then to free the connection: a post that follows at once would open another.
  await nextTurn();
}

async function* readBody(open: () => AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array, void> {
  try {
    yield* open();
  } catch (error) {
    throw faultOf('the body could not be read', error);
  }
}

function decodeAnswer({ chunks, bytes }: Seen): string {
  const read = Buffer.concat(chunks).subarray(0, answerBytesMax);
  // `stream` leaves out a character that our own cut has split.
  return new TextDecoder().decode(read, { stream: bytes > answerBytesMax }).replaceAll('\0', '');
}

// ---------------------------------------------------------------------------------------------- connection

/**
 * Connects to what the guard has checked and to nothing else. The look-up is the connection's own, so a name that
 * answers otherwise the next time gains nothing; an address in the URL is never looked up and is checked first; and
 * what the connection has ended up with is checked once more.
 */
function guardedConnector(
  guard: Guard,
  resolve: Resolve,
  attemptMs: number,
  sockets: Set<Socket>,
): buildConnector.connector {
  const connect = buildConnector({
    allowH2: false,
    timeout: attemptMs,
    autoSelectFamily: true,
    autoSelectFamilyAttemptTimeout: addressMsMax,
    lookup: guardedLookup(guard, resolve),
  });
  return (target, callback) => {
    const refused = isIP(target.hostname) === 0 ? null : guard.check(target.hostname);
    if (refused) return callback(faultOf(refused), null);
    // It answers the socket, as Node's own do; its types don't say so.
    const connecting = connect(target, (...[error, socket]) => {
      if (error) return callback(error, null);
      const { remoteAddress } = socket;
      const reason = remoteAddress ? guard.check(remoteAddress) : 'the connection was reset';
      if (!reason) return callback(null, socket);
      socket.destroy();
      callback(faultOf(reason), null);
    }) as unknown as Socket;
    sockets.add(connecting);
    connecting.once('close', () => sockets.delete(connecting));
  };
}

function guardedLookup(guard: Guard, resolve: Resolve): LookupFunction {
  return (hostname, options, callback) => {
    resolve(hostname, { ...options, all: true }).then(
      (found) => {
        // A name that leads to an exception means that one: localhost is often an address of both families.
        const exceptions = found.filter(({ address }) => guard.isException(address));
        const addresses = exceptions.length > 0 ? exceptions : found;
        const [first] = addresses;
        const refused = addresses
          .map(({ address }) => guard.check(address))
          .find((reason) => reason !== null);
        if (refused) callback(faultOf(`${hostname} leads to a refused address: ${refused}`), []);
        else if (!first) callback(faultOf(`the name ${hostname} has no address`), []);
        else if (options.all) callback(null, addresses);
        else callback(null, first.address, first.family);
      },
      (error: unknown) =>
        callback(faultOf(`the name ${hostname} could not be resolved (${codeOf(error)})`, error), []),
    );
  };
}

// ---------------------------------------------------------------------------------------------- errors

/** Marks errors whose message is made for users. */
const ownCode = 'OUTBOUND';

function faultOf(message: string, cause?: unknown): NodeJS.ErrnoException {
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

function describeError(error: unknown, url: string, answered: boolean): string {
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

function codeOf(error: unknown): string {
  return error instanceof Error && 'code' in error ? String(error.code) : 'unknown';
}

function oneLine(text: string): string {
  return text.replace(/\s+/g, ' ').trim().slice(0, errorCharsMax);
}
