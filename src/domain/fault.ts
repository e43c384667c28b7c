/**
 * What a caller can do something about. Rooms throw a `Fault`; each door maps its code to its own form once
 * (http/fault.ts to a status). The codes are part of the contract: texts may improve, codes may not change.
 */
export type FaultCode =
  | 'bad_request'
  | 'bad_key'
  | 'bad_session'
  | 'bad_token'
  | 'not_allowed'
  | 'not_found'
  | 'unknown_event'
  | 'unknown_link'
  | 'unknown_command'
  | 'method_not_allowed'
  | 'conflict'
  | 'name_taken'
  | 'in_use'
  | 'idempotency_conflict'
  | 'link_ended'
  | 'too_large'
  | 'unsupported_media_type'
  | 'bad_params'
  | 'bad_template'
  | 'bad_schema'
  | 'unknown_function'
  | 'unknown_target'
  | 'too_many'
  | 'unavailable';

/** One place in the input that is wrong: `path` as in `steps[0].params.url`. */
export type Problem = { path: string; detail: string };

export class Fault extends Error {
  readonly code: FaultCode;
  readonly problems: readonly Problem[];
  /** Seconds after which another try makes sense. */
  readonly retryAfter: number | undefined;

  constructor(
    code: FaultCode,
    detail: string,
    extra: { problems?: readonly Problem[]; retryAfter?: number; cause?: unknown } = {},
  ) {
    super(detail, { cause: extra.cause });
    this.name = 'Fault';
    this.code = code;
    this.problems = extra.problems ?? [];
    this.retryAfter = extra.retryAfter;
  }
}

/** What a device or a caller is told: the code and the text of a `Fault`, nothing of any other error. */
export function describeFault(error: unknown): { code: FaultCode | 'internal'; detail: string } {
  if (error instanceof Fault) return { code: error.code, detail: error.message };
  return { code: 'internal', detail: 'Something went wrong on our side; the log has the details.' };
}
