/** Prometheus figures, fed by the feed: one fact, one count. */
import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from 'prom-client';
import type { Context } from '../domain/context.ts';

export type Metrics = {
  /** Seconds that a request took, by route pattern, never by path: paths hold secrets. */
  observeRequest(method: string, route: string, status: number, seconds: number): void;
  text(): Promise<string>;
  contentType: string;
};

export function createMetrics(ctx: Context): Metrics {
  const registry = new Registry();
  collectDefaultMetrics({ register: registry });
  const registers = [registry];
  const triggers = new Counter({
    name: 'fleethook_triggers_total',
    help: 'Calls by what became of them',
    labelNames: ['source', 'outcome'],
    registers,
  });
  const commands = new Counter({
    name: 'fleethook_commands_total',
    help: 'Commands issued',
    labelNames: ['function'],
    registers,
  });
  const sent = new Counter({
    name: 'fleethook_commands_sent_total',
    help: 'Commands sent to connected devices as they were issued',
    registers,
  });
  const receipts = new Counter({
    name: 'fleethook_receipts_total',
    help: 'Receipts stored',
    labelNames: ['status'],
    registers,
  });
  const events = new Counter({
    name: 'fleethook_events_total',
    help: 'Events stored, by what said them',
    labelNames: ['kind', 'outcome'],
    registers,
  });
  const attempts = new Histogram({
    name: 'fleethook_delivery_attempt_seconds',
    help: 'Time of each attempt at a delivery, by what the delivery became by it',
    labelNames: ['outcome'],
    buckets: [0.005, 0.02, 0.1, 0.5, 2, 5, 15],
    registers,
  });
  const changes = new Counter({ name: 'fleethook_changes_total', help: 'Changes to the set-up', registers });
  const requests = new Histogram({
    name: 'fleethook_http_request_seconds',
    help: 'Time from request to answer',
    labelNames: ['method', 'route', 'status'],
    buckets: [0.001, 0.005, 0.02, 0.1, 0.5, 2, 10],
    registers,
  });
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
    if (fact.kind === 'trigger') triggers.inc({ source: fact.source, outcome: 'fired' });
    else if (fact.kind === 'trigger-refused') triggers.inc({ source: 'any', outcome: fact.code });
    else if (fact.kind === 'command') {
      commands.inc({ function: fact.function });
      sent.inc(fact.connections);
    } else if (fact.kind === 'receipt') receipts.inc({ status: fact.status });
    else if (fact.kind === 'event')
      events.inc({ kind: fact.event, outcome: fact.problem === null ? 'taken' : 'refused' });
    else if (fact.kind === 'attempt') attempts.observe({ outcome: fact.outcome }, fact.milliseconds / 1_000);
    else if (fact.kind === 'change') changes.inc();
  });

  return {
    observeRequest: (method, route, status, seconds) => requests.observe({ method, route, status }, seconds),
    text: () => registry.metrics(),
    contentType: registry.contentType,
  };
}
