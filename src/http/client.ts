/** The device library as one module, so that a page becomes a device with what this server gives it. */
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Express, Request, Response } from 'express';
import packageJson from '../../package.json' with { type: 'json' };
import { Fault } from '../domain/fault.ts';
import type { Log } from '../log.ts';
import type { Cors } from './cors.ts';

const path = '/client';
const name = 'fleethook.js';
/** Made by build.ts. */
const file = join(import.meta.dirname, '../../dist/client', name);
/** As long as anybody keeps anything: under a version stands one content. */
const versionSecondsMax = 365 * 24 * 60 * 60;

/**
 * Serves the module at `/client/fleethook.js`, where it is looked at anew each time, and at
 * `/client/<version>/fleethook.js`, which the first one names in `content-location`, for ever.
 */
export function useClient(app: Express, { log, cors }: { log: Log; cors: Cors }): void {
  const code = readModule(log);
  const hash = createHash('sha256')
    .update(code ?? '')
    .digest('hex');
  const version = `${packageJson.version}-${hash.slice(0, 8)}`;
  const etag = `"${version}"`;

  function send(request: Request, response: Response, caching: string): void {
    if (code === null) throw new Fault('not_found', 'the device library was not built: npm run setup');
    response
      .set({
        'cache-control': caching,
        etag,
        'cross-origin-resource-policy': 'cross-origin',
      })
      .type('text/javascript');
    // Express would send it whole to whoever also says that no cache is to answer, as `fetch` in Node does.
    const known = request.get('if-none-match')?.split(',') ?? [];
    if (known.some((tag) => tag.trim().replace(/^W\//, '') === etag)) response.status(304).end();
    else response.send(code);
  }

  app.get(`${path}/${name}`, cors.ofDevices, (request, response) => {
    response.set('content-location', `${version}/${name}`);
    send(request, response, 'no-cache');
  });

  app.get(`${path}/:version/${name}`, cors.ofDevices, (request, response) => {
    if (request.params.version !== version)
      throw new Fault('not_found', `this server has the version ${version} of the device library`);
    send(request, response, `public, max-age=${versionSecondsMax}, immutable`);
  });
}

/** Null when there is none, which keeps nobody from starting the server without a build. */
function readModule(log: Log): Buffer | null {
  try {
    return readFileSync(file);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
    log.warn('the device library for browsers was not built: npm run setup');
    return null;
  }
}
