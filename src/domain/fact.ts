/**
 * What becomes of a fact, decided once for every kind: its line in the log, what it adds to the figures, and the event
 * that the server says about it. A new kind of fact does not compile until it stands here.
 */
import type { Context } from './context.ts';
import type { Fact } from './feed.ts';
import { instant } from './input.ts';

/** What the server says of itself. */
export const systemEventTypes = [
  'device.online',
  'device.offline',
  'device.shared',
  'trigger.fired',
  'command.covered',
  'command.missed',
  'webhook.disabled',
  'webhook.orphaned',
  'alarm_rule.orphaned',
] as const;
export type SystemEventType = (typeof systemEventTypes)[number];
/** An event of the server, as it is said. */
export type SystemEvent = { type: SystemEventType; projectId: number; data: object; deviceId?: number };

/** What it says: about which device, if about one that is there, and when. */
export function payloadOfSystem(
  data: object,
  device: { id: number; name: string } | undefined,
  at: number,
): Record<string, unknown> {
  const about = device ? { device: { id: device.id, name: device.name } } : {};
  return { ...about, ...data, at: instant(at) };
}

export type Figure =
  | 'triggers'
  | 'commands'
  | 'commandsSent'
  | 'receipts'
  | 'events'
  | 'attempts'
  | 'webhooksDisabled'
  | 'alarms'
  | 'firings'
  | 'changes';
/** One more unless `value` says otherwise. */
export type Count = { figure: Figure; labels?: Record<string, string>; value?: number };

type OfKind<F extends Fact, Kind> = F extends Fact ? (Kind extends F['kind'] ? F : never) : never;

type Fate<F extends Fact> = {
  /** The members of the fact go with it. Null for what happens too often. */
  log: { level: 'debug' | 'info' | 'warn'; text: string } | null;
  counts(fact: F): Count[];
  event(fact: F): SystemEvent | null;
};

const none = () => null;

const fates = {
  trigger: {
    log: { level: 'info', text: 'trigger' },
    counts: ({ source }) => [{ figure: 'triggers', labels: { source, outcome: 'fired' } }],
    event: ({ projectId, triggerId, actionEventId, source, commands }) => ({
      type: 'trigger.fired',
      projectId,
      data: { trigger_id: triggerId, event_id: actionEventId, source, commands },
    }),
  },
  'trigger-refused': {
    log: { level: 'info', text: 'trigger refused' },
    counts: ({ code }) => [{ figure: 'triggers', labels: { source: 'any', outcome: code } }],
    event: none,
  },
  command: {
    log: null,
    counts: ({ function: name, connections }) => [
      { figure: 'commands', labels: { function: name } },
      { figure: 'commandsSent', value: connections },
    ],
    // Whoever watches it says later whether every device has applied it.
    event: none,
  },
  receipt: {
    log: null,
    counts: ({ status }) => [{ figure: 'receipts', labels: { status } }],
    event: none,
  },
  online: {
    log: { level: 'debug', text: 'device online' },
    counts: () => [],
    event: ({ projectId, deviceId, door }) => ({
      type: 'device.online',
      projectId,
      data: { door },
      deviceId,
    }),
  },
  offline: {
    log: { level: 'debug', text: 'device offline' },
    counts: () => [],
    event: ({ projectId, deviceId, door }) => ({
      type: 'device.offline',
      projectId,
      data: { door },
      deviceId,
    }),
  },
  lost: {
    log: { level: 'info', text: 'a device did not come back after its server was gone' },
    counts: () => [],
    // It was written down with the fact.
    event: none,
  },
  shared: {
    log: { level: 'warn', text: 'two machines use the token of one device' },
    counts: () => [],
    event: ({ projectId, deviceId, addresses }) => ({
      type: 'device.shared',
      projectId,
      data: { addresses },
      deviceId,
    }),
  },
  event: {
    log: { level: 'debug', text: 'event' },
    counts: ({ event, problem }) => [
      { figure: 'events', labels: { kind: event, outcome: problem === null ? 'taken' : 'refused' } },
    ],
    event: none,
  },
  attempt: {
    log: { level: 'debug', text: 'attempt' },
    counts: ({ outcome, milliseconds }) => [
      { figure: 'attempts', labels: { outcome }, value: milliseconds / 1_000 },
    ],
    event: none,
  },
  'webhook-disabled': {
    log: { level: 'warn', text: 'a webhook was switched off' },
    counts: () => [{ figure: 'webhooksDisabled' }],
    event: ({ projectId, webhookId, reason }) => ({
      type: 'webhook.disabled',
      projectId,
      data: { webhook_id: webhookId, reason },
    }),
  },
  orphaned: {
    log: { level: 'warn', text: 'nothing is left of what a webhook or an alarm rule names' },
    counts: () => [],
    // It was written down with the mark.
    event: none,
  },
  alarm: {
    log: { level: 'debug', text: 'alarm' },
    counts: ({ change, isTold }) => [{ figure: 'alarms', labels: { change, told: String(isTold) } }],
    // It is an event of its own.
    event: none,
  },
  firings: {
    log: { level: 'debug', text: 'actions of alarms' },
    counts: ({ count }) => [{ figure: 'firings', value: count }],
    // Each of them is a trigger, and says so when it has fired.
    event: none,
  },
  change: {
    log: { level: 'info', text: 'change' },
    counts: () => [{ figure: 'changes' }],
    event: none,
  },
} satisfies { [Kind in Fact['kind']]: Fate<OfKind<Fact, Kind>> };

function fateOf(fact: Fact): Fate<Fact> {
  return fates[fact.kind];
}

/** What a fact adds to the figures. */
export function countsOf(fact: Fact): Count[] {
  return fateOf(fact).counts(fact);
}

/** What the server says about a fact by itself, null when it says nothing. */
export function eventOfFact(fact: Fact): SystemEvent | null {
  return fateOf(fact).event(fact);
}

/** Writes a line for every fact that has one; answers the function that ends it. */
export function logFacts({ feed, log }: Pick<Context, 'feed' | 'log'>): () => void {
  return feed.subscribe((fact) => {
    const line = fateOf(fact).log;
    if (line === null || !log.isLevelEnabled(line.level)) return;
    const { kind, ...members } = fact;
    log[line.level](members, line.text);
  });
}
