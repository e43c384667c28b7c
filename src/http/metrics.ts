/** Prometheus figures, fed by the feed: one fact, one count. */
import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from 'prom-client';
import type { Context } from '../domain/context.ts';
import { countsOf, type Figure } from '../domain/fact.ts';

export type Metrics = {
  /** Seconds that a request took, by route pattern, never by path: paths hold secrets. */
  observeRequest(method: string, route: string, status: number, seconds: number): void;
  /** A request that was none, by the parser's name for what was wrong with it. */
  countBrokenRequest(reason: string): void;
  text(): Promise<string>;
  contentType: string;
};

export function createMetrics(ctx: Context): Metrics {
  const registry = new Registry();
  collectDefaultMetrics({ register: registry });
  const registers = [registry];
  const counter = (name: string, help: string, labelNames: string[] = []) =>
    new Counter({ name: `fleethook_${name}_total`, help, labelNames, registers });
  const figures: Record<Figure, Counter | Histogram> = {
    triggers: counter('triggers', 'Calls by what became of them', ['source', 'outcome']),
    commands: counter('commands', 'Commands issued', ['function']),
    commandsSent: counter('commands_sent', 'Commands sent to connected devices as they were issued'),
    receipts: counter('receipts', 'Receipts stored', ['status']),
    events: counter('events', 'Events stored, by what said them', ['kind', 'outcome']),
    attempts: new Histogram({
      name: 'fleethook_delivery_attempt_seconds',
      help: 'Time of each attempt at a delivery, by what the delivery became by it',
      labelNames: ['outcome'],
      buckets: [0.005, 0.02, 0.1, 0.5, 2, 5, 15],
      registers,
    }),
    webhooksDisabled: counter('webhooks_disabled', 'Webhooks switched off because their receiver failed'),
    alarms: counter('alarms', 'Alarms by what became of them, and whether anybody was told', [
      'change',
      'told',
    ]),
    firings: counter('alarm_firings', 'Actions that alarms have asked for'),
    changes: counter('changes', 'Changes to the set-up'),
  };
  const requests = new Histogram({
    name: 'fleethook_http_request_seconds',
    help: 'Time from request to answer',
    labelNames: ['method', 'route', 'status'],
    buckets: [0.001, 0.005, 0.02, 0.1, 0.5, 2, 10],
    registers,
  });
  const broken = counter('http_broken_requests', 'Requests that could not be read at all', ['reason']);
  new Gauge({
    name: 'fleethook_devices_connected',
    help: 'Devices connected to this node',
    registers,
    collect() {
      this.set(ctx.live.presence.count());
    },
  });
  new Gauge({
    name: 'fleethook_commands_in_force',
    help: 'State commands that take part in what devices show',
    registers,
    collect() {
      this.set(ctx.live.inForce.size());
    },
  });

  ctx.feed.subscribe((fact) => {
    for (const { figure, labels = {}, value = 1 } of countsOf(fact)) {
      const counted = figures[figure];
      if (counted instanceof Counter) counted.inc(labels, value);
      else counted.observe(labels, value);
    }
  });

  return {
    observeRequest: (method, route, status, seconds) => requests.observe({ method, route, status }, seconds),
    countBrokenRequest: (reason) => broken.inc({ reason }),
    text: () => registry.metrics(),
    contentType: registry.contentType,
  };
}
