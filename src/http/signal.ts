import type { Request } from 'express';

/** Aborts when the caller hangs up before it was answered. */
export function signalOf(request: Request): AbortSignal {
  const controller = new AbortController();
  request.res?.once('close', () => controller.abort());
  return controller.signal;
}
