/** The HTTP door: one Express app, its order of stages read from top to bottom. */
import { createServer, type Server } from 'node:http';
import { join } from 'node:path';
import express, { type Express } from 'express';
import helmet from 'helmet';
import type { Config } from '../config.ts';
import type { Context } from '../domain/context.ts';
import { Fault } from '../domain/fault.ts';
import { useApi } from './api.ts';
import { createGate } from './auth.ts';
import { answerBrokenRequests } from './broken-request.ts';
import { useClient } from './client.ts';
import { useMainfluxWebhooks } from './compat/mainflux.ts';
import { useModeModules } from './compat/mode.ts';
import { createCors } from './cors.ts';
import { useDeviceDoor } from './device.ts';
import { useDocs } from './docs.ts';
import { answerFaults, sendProblem } from './fault.ts';
import { useHealth } from './health.ts';
import { createCountFailures, createRateLimit } from './limit.ts';
import { createMetrics, type Metrics } from './metrics.ts';
import { type AddressOf, createAddressOf, parseQuery } from './request.ts';
import { useSession } from './session.ts';
import { useTriggers } from './trigger.ts';

/** Room for a GET payload at its limit, Base64 and URL-encoded, beside the usual headers. */
const headerBytesMax = 32 * 1_024;
/** For the headers of a request, and for all of it; Node wants the first to be no longer. */
const headersMs = 15_000;
const requestMs = 300_000;
const openApiPath = join(import.meta.dirname, '../../openapi.yaml');

export type HttpDoor = { server: Server; app: Express; addressOf: AddressOf };

export function openHttp(options: { ctx: Context; config: Config; checkAnswers: boolean }): HttpDoor {
  const { ctx, config, checkAnswers } = options;
  const app = express();
  app
    .disable('x-powered-by')
    .disable('etag')
    .set('query parser', parseQuery)
    .set('trust proxy', config.trustProxy);
  const addressOf = createAddressOf(app.get('trust proxy fn'));
  const metrics = createMetrics(ctx);
  const cors = createCors(config.corsOrigins);
  const countFailures = createCountFailures(createRateLimit(config.limits.failedKeys), addressOf);
  const gate = createGate({ ctx, addressOf, apiLimit: createRateLimit(config.limits.api), countFailures });

  observe(app, metrics, ctx);
  app.use(protect(config));
  const triggerLimit = createRateLimit(config.limits.triggers);
  useTriggers(app, { ctx, addressOf, triggerLimit, countFailures, cors });
  useHealth(app, { ctx, metrics });
  useDocs(app, openApiPath);
  useClient(app, { log: ctx.log, cors });
  app.get('/', (_request, response) => response.redirect('/docs'));
  useSession(app, { ctx, addressOf, signInLimit: createRateLimit(config.limits.failedKeys) });
  useDeviceDoor(app, { ctx, addressOf, countFailures, cors });
  useModeModules(app, { ctx, gate });
  useMainfluxWebhooks(app, { ctx, gate });
  useApi(app, { ctx, gate, openApiPath, checkAnswers });
  app.use(() => {
    throw new Fault('not_found', 'there is no such route');
  });
  app.use(answerFaults(ctx.log, sendProblem));

  const keepAliveTimeout = config.keepAliveSeconds * 1_000;
  const server = createServer(
    {
      maxHeaderSize: headerBytesMax,
      keepAliveTimeout,
      // A request that begins in the last moment of the wait gets its whole time.
      headersTimeout: Math.min(keepAliveTimeout + headersMs, requestMs),
      requestTimeout: requestMs,
    },
    app,
  );
  answerBrokenRequests(server, { log: ctx.log, metrics, headerBytesMax });
  return { server, app, addressOf };
}

function observe(app: Express, metrics: Metrics, ctx: Context): void {
  app.use((request, response, next) => {
    const start = performance.now();
    // A connection that is kept alive would hold up the end.
    if (ctx.process.stopping.aborted) response.setHeader('connection', 'close');
    response.once('finish', () => {
      const route = request.route ? String(request.route.path) : 'none';
      const milliseconds = performance.now() - start;
      metrics.observeRequest(request.method, route, response.statusCode, milliseconds / 1_000);
      if (ctx.log.isLevelEnabled('debug')) {
        ctx.log.debug(
          { method: request.method, route, status: response.statusCode, milliseconds },
          'request',
        );
      }
    });
    next();
  });
}

/** Helmet's defaults, but for what would force HTTPS on a server that is reached by plain HTTP. */
function protect(config: Config) {
  const isHttps = config.publicUrl?.startsWith('https:') ?? false;
  return helmet({
    strictTransportSecurity: isHttps,
    contentSecurityPolicy: { directives: isHttps ? {} : { upgradeInsecureRequests: null } },
  });
}
