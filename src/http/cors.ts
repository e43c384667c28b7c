/** Which pages of other origins may speak to us from a browser. Nothing here travels by itself: keys and tokens are sent. */
import cors from 'cors';
import type { RequestHandler } from 'express';

const maxAgeSeconds = 600;
const exposed = ['retry-after', 'idempotent-replay', 'ratelimit', 'ratelimit-policy'];

export type Cors = {
  /** For pages that `CORS_ORIGINS` names. */
  ofTriggers: RequestHandler;
  /** For any page: a device may be one, as over Socket.IO. */
  ofDevices: RequestHandler;
  isTrusted(origin: string): boolean;
};

/** `origins` as browsers write them; "*" is every one. */
export function createCors(origins: readonly string[]): Cors {
  const isTrusted = (origin: string) => origins.includes('*') || origins.includes(origin);
  const settings = { maxAge: maxAgeSeconds, exposedHeaders: exposed };
  return {
    // Where it answers no, nothing is said: the request goes on as any other does.
    ofTriggers: cors({
      ...settings,
      origin: (origin, answer) => answer(null, origin !== undefined && isTrusted(origin)),
    }),
    ofDevices: cors({ ...settings, origin: '*' }),
    isTrusted,
  };
}
