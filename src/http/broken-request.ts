/** What is no HTTP, or not what may be sent as such: Express never sees it, so it is told, logged and counted here. */
import { type Server, STATUS_CODES } from 'node:http';
import type { Socket } from 'node:net';
import type { FaultCode } from '../domain/fault.ts';
import type { Log } from '../log.ts';
import { plainAddress } from '../network.ts';
import type { Metrics } from './metrics.ts';

/** One line a second says how many there were: strangers must not fill the log. */
const logEveryMs = 1_000;

type BrokenRequest = Error & { code?: string; rawPacket?: Buffer };
type Told = { status: number; code: FaultCode; detail: string };

type Options = { log: Log; metrics: Metrics; headerBytesMax: number };

export function answerBrokenRequests(server: Server, { log, metrics, headerBytesMax }: Options): void {
  let loggedAt = Number.NEGATIVE_INFINITY;
  let unlogged = 0;

  /** The request itself stays out of it: addresses hold keys. */
  function report(reason: string, socket: Socket): void {
    metrics.countBrokenRequest(reason);
    const now = performance.now();
    if (now - loggedAt < logEveryMs) {
      unlogged += 1;
      return;
    }
    const address = plainAddress(socket.remoteAddress);
    log.warn({ reason, address, ...(unlogged > 0 ? { more: unlogged } : {}) }, 'a request could not be read');
    loggedAt = now;
    unlogged = 0;
  }

  server.on('clientError', (error: BrokenRequest, socket: Socket) => {
    // Callers hang up all the time, and there is nobody left to tell.
    if (error.code === 'ECONNRESET' || error.code === 'EPIPE') return void socket.destroy();
    report(error.code ?? 'unknown', socket);
    if (!socket.writable || hasAnswered(socket)) return void socket.destroy();
    socket.end(answerOf(toldOf(error, headerBytesMax), error.rawPacket));
  });
}

function toldOf({ code, message }: BrokenRequest, headerBytesMax: number): Told {
  if (code === 'HPE_HEADER_OVERFLOW')
    return {
      status: 431,
      code: 'too_large',
      detail: `the address and headers have more than ${headerBytesMax} bytes`,
    };
  if (code === 'ERR_HTTP_REQUEST_TIMEOUT')
    return { status: 408, code: 'bad_request', detail: 'the request took too long to come' };
  // After a blank the parser looks for what ends the line.
  const isCutShort = code === 'HPE_INVALID_CONSTANT' && message.includes('Expected HTTP/');
  if (code === 'HPE_INVALID_URL' || isCutShort)
    return {
      status: 400,
      code: 'bad_request',
      detail:
        'the address holds letters that have to be URL-encoded, such as %C3%9C for "\u00dc" and %20 for a blank' +
        ' (curl: --get --data-urlencode "message=...")',
    };
  return { status: 400, code: 'bad_request', detail: `this is not HTTP as it may be sent: ${message}` };
}

/** In the form of triggers where one was meant, and in the form of everything else besides. */
function answerOf({ status, code, detail }: Told, request: Buffer | undefined): string {
  const isTrigger = /^[A-Z]+ \/(?:public-api|l)\//.test(request?.toString('latin1', 0, 40) ?? '');
  const title = STATUS_CODES[status] ?? '';
  const body = JSON.stringify(
    isTrigger
      ? { message: 'Error', error: { code, detail } }
      : { type: 'about:blank', title: code.replaceAll('_', ' '), status, code, detail },
  );
  return [
    `HTTP/1.1 ${status} ${title}`,
    `content-type: application/${isTrigger ? 'json; charset=utf-8' : 'problem+json; charset=utf-8'}`,
    `content-length: ${Buffer.byteLength(body)}`,
    'connection: close',
    '',
    body,
  ].join('\r\n');
}

/** Whether an answer is under way on this connection: another one in the middle of it would be taken for its rest. */
function hasAnswered(socket: Socket): boolean {
  return (socket as { _httpMessage?: { headersSent?: boolean } })._httpMessage?.headersSent === true;
}
