/** Maps what went wrong to HTTP, once. Anything that is no `Fault` is logged and told as `internal`. */
import type { ErrorRequestHandler, Response } from 'express';
import { describeFault, Fault, type FaultCode, type Problem } from '../domain/fault.ts';
import { withoutDatabase } from '../domain/readiness.ts';
import type { Log } from '../log.ts';

const statuses: Readonly<Record<FaultCode, number>> = {
  bad_request: 400,
  bad_key: 401,
  bad_session: 401,
  bad_token: 401,
  not_allowed: 403,
  not_found: 404,
  unknown_event: 404,
  unknown_link: 404,
  unknown_command: 404,
  method_not_allowed: 405,
  conflict: 409,
  name_taken: 409,
  in_use: 409,
  idempotency_conflict: 409,
  link_ended: 410,
  too_large: 413,
  unsupported_media_type: 415,
  bad_params: 422,
  bad_template: 422,
  bad_schema: 422,
  unknown_function: 422,
  unknown_target: 422,
  too_many: 429,
  unavailable: 503,
};

/** The codes of refusals that libraries (body parser, router, validator) speak as a status alone. */
const codesOfStatus: Readonly<Record<number, FaultCode>> = {
  400: 'bad_request',
  404: 'not_found',
  405: 'method_not_allowed',
  406: 'bad_request',
  413: 'too_large',
  415: 'unsupported_media_type',
};

export function statusOf(code: FaultCode | 'internal'): number {
  return code === 'internal' ? 500 : statuses[code];
}

/** Turns what a library threw at a request into a `Fault`, where it is one. */
export function faultOf(thrown: unknown): unknown {
  const error = withoutDatabase(thrown);
  if (error instanceof Fault || typeof error !== 'object' || error === null) return error;
  const { status, message, errors, type } = error as {
    status?: unknown;
    message?: unknown;
    errors?: unknown;
    type?: unknown;
  };
  if (typeof status !== 'number' || status < 400 || status >= 500) return error;
  const problems = Array.isArray(errors)
    ? errors.map((each: { path?: unknown; message?: unknown }) => ({
        path: String(each.path ?? ''),
        detail: String(each.message ?? ''),
      }))
    : [];
  const detail =
    type === 'entity.parse.failed' ? `the body is not JSON: ${String(message)}` : String(message);
  return new Fault(codesOfStatus[status] ?? 'bad_request', detail, { problems });
}

/** What a caller is told, before a door has given it its form. */
export type ToldFault = {
  status: number;
  code: FaultCode | 'internal';
  detail: string;
  problems: readonly Problem[];
};

/** Writes the answer in the form of a door; whom it answers is `response.req`. */
export type FaultForm = (response: Response, told: ToldFault) => void;

/** The last handler of a door: everything that was thrown is logged where it is not the caller's doing, and told in the door's form. */
export function answerFaults(log: Log, form: FaultForm): ErrorRequestHandler {
  return (thrown, request, response, next) => {
    const error = faultOf(thrown);
    const fault = error instanceof Fault ? error : null;
    const route = `${request.method} ${request.route?.path ?? ''}`;
    if (fault === null) log.error({ err: error, route }, 'a request failed');
    if (response.headersSent) return next(thrown);
    if (fault?.retryAfter !== undefined)
      response.setHeader('retry-after', String(Math.ceil(fault.retryAfter)));
    const told = describeFault(error);
    const status = statusOf(told.code);
    if (status === 401) response.setHeader('www-authenticate', 'Bearer');
    form(response, { status, ...told, problems: fault?.problems ?? [] });
  };
}

/** Errors as `application/problem+json` (RFC 9457) with our stable `code`: the form of everything that has none of its own. */
export function sendProblem(response: Response, { status, code, detail, problems }: ToldFault): void {
  response
    .status(status)
    .type('application/problem+json')
    .send(
      JSON.stringify({
        type: 'about:blank',
        title: code.replaceAll('_', ' '),
        status,
        code,
        detail,
        ...(problems.length > 0 ? { errors: problems } : {}),
      }),
    );
}
