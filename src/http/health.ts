/** For load balancers and monitoring: is it alive, can it serve, how is it doing. */
import type { Express } from 'express';
import type { Context } from '../domain/context.ts';
import { isReady } from '../domain/readiness.ts';
import type { Metrics } from './metrics.ts';

export function useHealth(app: Express, { ctx, metrics }: { ctx: Context; metrics: Metrics }): void {
  app.get('/healthz', (_request, response) => {
    response.json({ status: 'ok' });
  });

  app.get('/readyz', async (_request, response) => {
    const detail = ctx.process.stopping.aborted
      ? 'shutting down'
      : (await isReady(ctx))
        ? null
        : 'the database cannot be reached';
    if (detail === null) response.json({ status: 'ready' });
    else response.status(503).json({ status: 'not ready', detail });
  });

  app.get('/metrics', async (_request, response) => {
    response.type(metrics.contentType).send(await metrics.text());
  });
}
