/** One attempt of an outgoing request: a POST over undici, within limits, to addresses the guard lets through. */
import { Buffer } from 'node:buffer';
import type { Socket } from 'node:net';
import type { Readable } from 'node:stream';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { Agent, request as send } from 'undici';
import type { Outcome, OutgoingRequest } from '../domain/delivery/attempt.ts';
import { createGuard } from './address.ts';
import { guardedConnector } from './connect.ts';
import { bodyFailure, calledOff, describeFailure, failureOf, isOurs } from './failure.ts';
import { createResolver, type Resolve, type ResolverOptions } from './resolve.ts';
import { retryAfterOf } from './retry-after.ts';

/** For all of it: name, connection, request and answer. */
const attemptMsMax = 15_000;
/** The part of it that a name may take, so that there is time left for its address. */
const lookupShare = 2 / 3;
/** Once the status is there, the rest of the answer is for the log, and nobody waits long for it. */
const answerMsMax = 3_000;
const answerBytesMax = 16 * 1024;
const headerBytesMax = 16 * 1024;
/** Shorter than the five seconds after which many servers close an idle connection. */
const idleMs = 4_000;
/** What a server may prolong that to, by its Keep-Alive header. */
const idleMsMax = 60_000;

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
  /** For tests: whom to ask for addresses, and how names of this machine are found. */
  names?: Omit<ResolverOptions, 'lookupMs'> | undefined;
  /** For tests. */
  resolve?: Resolve;
};

/** What an attempt has seen so far. */
type Seen = { status: number | null; retryAfterMs: number | null; chunks: Buffer[]; bytes: number };

export function createPoster(options: PosterOptions): Poster {
  const { userAgent, attemptMs = attemptMsMax } = options;
  const resolver = createResolver({ lookupMs: attemptMs * lookupShare, ...options.names });
  const { resolve = resolver.resolve } = options;
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
    let remark: string | null = null;
    let isOurFailure = false;
    try {
      // undici looks at its signal only once there is a connection, hence the race.
      await Promise.race([exchange(agent, request, userAgent, cut, seen), cut.promise]);
    } catch (thrown) {
      const reason = cut.reason();
      isOurFailure = reason === null && isOurs(thrown);
      // The status decides. What we failed to send is another matter, whatever was answered to it.
      if (seen.status === null || isOurFailure) error = reason ?? describeFailure(thrown, request.url);
      else remark = reason === null ? 'the answer broke off' : 'the answer did not end';
    } finally {
      cut.end();
    }
    return {
      status: seen.status,
      retryAfterMs: seen.retryAfterMs,
      error,
      isOurs: isOurFailure,
      remark,
      answer: decodeAnswer(seen),
      durationMs: Math.round(performance.now() - startedAt),
    };
  }

  return {
    post,
    async close() {
      resolver.close();
      await agent.destroy();
      for (const socket of sockets) socket.destroy(); // undici leaves those that are still connecting
    },
  };
}

type Cut = ReturnType<typeof cutShort>;

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
  const timeUp = `timed out after ${attemptMs / 1_000} s`;
  const timers = [setTimeout(cut, attemptMs, timeUp)];
  signal.addEventListener('abort', onAbort, { once: true });
  if (signal.aborted) onAbort();
  return {
    signal: controller.signal,
    promise,
    reason: () => reason,
    /** It ends earlier: so long from now. */
    within: (milliseconds: number) => void timers.push(setTimeout(cut, milliseconds, timeUp)),
    end: () => {
      for (const timer of timers) clearTimeout(timer);
      signal.removeEventListener('abort', onAbort);
    },
  };
}

async function exchange(
  agent: Agent,
  request: OutgoingRequest,
  userAgent: string | undefined,
  cut: Cut,
  seen: Seen,
): Promise<void> {
  const { signal } = cut;
  signal.throwIfAborted();
  const { url, headers, body, bodyBytes } = request;
  const { protocol } = new URL(url);
  if (protocol !== 'http:' && protocol !== 'https:')
    throw failureOf(`the URL is not http or https: ${protocol}`);
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
  cut.within(answerMsMax);
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
    throw bodyFailure(error);
  }
}

function decodeAnswer({ chunks, bytes }: Seen): string {
  const read = Buffer.concat(chunks).subarray(0, answerBytesMax);
  // `stream` leaves out a character that our own cut has split.
  return new TextDecoder().decode(read, { stream: bytes > answerBytesMax }).replaceAll('\0', '');
}
