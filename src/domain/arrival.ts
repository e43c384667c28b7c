/**
 * The way of an event: written down with its deliveries and alarms in one commit, and sent when the commit is done.
 * What arrives in the same turn shares a commit. An event that was answered is on disk, and so is what it causes.
 */
import { createBatch } from '../batch.ts';
import { inTransaction } from '../store/open.ts';
import type { Db, NewRow, Row } from '../store/schema.ts';
import { type AlarmChange, alarmJson, observe } from './alarm.ts';
import { type ReadyRule, readyRules } from './alarm-rule.ts';
import type { BaseContext } from './context.ts';
import { type ReadyType, readyTypes } from './device-type.ts';
import { payloadOf, type StoredEvent } from './event.ts';
import { Fault } from './fault.ts';
import { newId } from './id.ts';
import { checkedCharactersMax } from './message-schema.ts';
import { createOutbox, type EventWithBody, type Outbox } from './outbox.ts';
import type { Arrivals, EventJob } from './queue.ts';
import { type Filterable, passesFilter } from './webhook-filter.ts';
import { type ReadyWebhook, readyWebhooks } from './webhook-ready.ts';

const jobsPerCommit = 500;
/** What waits for its commit is in memory: a flood of large bodies is told to come again. */
const waitingBytesMax = 256 * 1_024 * 1_024;
const problemMax = 500;

export function createArrivals(ctx: BaseContext): Arrivals {
  let waitingBytes = 0;
  const batch = createBatch<EventJob, string>((jobs) => commit(ctx, jobs), jobsPerCommit);
  return {
    async add(job) {
      if (waitingBytes + job.body.length > waitingBytesMax)
        throw new Fault('unavailable', 'too much is waiting to be stored: try again', { retryAfter: 1 });
      waitingBytes += job.body.length;
      try {
        return await batch.add(job);
      } finally {
        waitingBytes -= job.body.length;
      }
    },
    drain: batch.drain,
  };
}

/** What events of a project are held against. */
type Known = {
  webhooks: ReadonlyMap<string, ReadyWebhook>;
  rules: readonly ReadyRule[];
  types: ReadonlyMap<string, ReadyType>;
};

async function known(ctx: BaseContext, projectId: number): Promise<Known> {
  return {
    webhooks: await readyWebhooks(ctx, projectId),
    rules: await readyRules(ctx, projectId),
    types: await readyTypes(ctx, projectId),
  };
}

/** An event with what was looked up for it, worked out once however often the transaction is tried. */
type Ready = { event: EventWithBody; payload: () => unknown; known: Known; to: ReadyWebhook[] };

async function commit(ctx: BaseContext, jobs: readonly EventJob[]): Promise<string[]> {
  const byProject = new Map<number, Known>();
  for (const { projectId } of jobs) {
    if (!byProject.has(projectId)) byProject.set(projectId, await known(ctx, projectId));
  }
  const ready = jobs.map((job): Ready => {
    const of = byProject.get(job.projectId) ?? { webhooks: new Map(), rules: [], types: new Map() };
    return prepare(ctx, job, of);
  });
  const outbox = await inTransaction(ctx.db, async (tx) => {
    const filled = createOutbox(ctx);
    for (const each of ready) {
      filled.add(each.event, each.to);
      await raiseAlarms(tx, filled, each);
    }
    await filled.write(tx);
    return filled;
  });
  finish(ctx, outbox);
  return ready.map(({ event }) => event.id);
}

function finish(ctx: BaseContext, outbox: Outbox): void {
  outbox.send();
  for (const { event, deliveries } of outbox.events) {
    const { id: eventId, projectId, kind, type, deviceId, problem } = event;
    ctx.feed.publish({ kind: 'event', projectId, eventId, event: kind, type, deviceId, deliveries, problem });
  }
  if (outbox.firings > 0) ctx.feed.publish({ kind: 'firings', count: outbox.firings });
}

function prepare(ctx: BaseContext, job: EventJob, of: Known): Ready {
  const { device } = job.origin;
  const event: EventWithBody = {
    id: newId(ctx.now()),
    projectId: job.projectId,
    kind: job.kind,
    type: job.type,
    label: job.label,
    deviceId: device?.id ?? null,
    origin: job.origin,
    mediaType: job.mediaType,
    body: job.body,
    bodyBytes: job.body.length,
    problem: null,
    at: ctx.now(),
  };
  const payload = once(() => job.payload ?? payloadOf(job, job.body));
  if (job.kind === 'message') event.problem = problemOf(ctx, event, payload, of.types);
  if (event.problem !== null) {
    ctx.log.warn(
      { project: job.projectId, device: device?.id, type: job.type, event: event.id, problem: event.problem },
      'a message does not fit the schema of its type: it was stored and not forwarded',
    );
    return { event, payload, known: of, to: [] };
  }
  return { event, payload, known: of, to: receiversOf(of, event, payload, job.to) };
}

/** The webhooks an event goes to: those that were named, and those whose filter lets it pass. */
function receiversOf(
  of: Known,
  event: StoredEvent,
  payload: () => unknown,
  named: readonly string[] = [],
): ReadyWebhook[] {
  const { device, rule_id } = event.origin;
  const about: Filterable = {
    kind: event.kind,
    type: event.type,
    label: event.label,
    device: device
      ? {
          id: device.id,
          groupPath: device.group_path,
          typeNames: [device.type_id, device.type].filter((name) => name !== null),
          tags: new Set(device.tags),
        }
      : null,
    ruleId: rule_id ?? null,
    payload,
  };
  return [...of.webhooks.values()].filter(
    (webhook) => webhook.enabled && (named.includes(webhook.id) || passesFilter(webhook.filter, about)),
  );
}

/** Would any webhook of the project get it? Asked before an event of the server is written at all. */
export async function isWanted(ctx: BaseContext, job: EventJob): Promise<boolean> {
  const { event, payload } = prepare(ctx, job, { webhooks: new Map(), rules: [], types: new Map() });
  const of = { webhooks: await readyWebhooks(ctx, job.projectId), rules: [], types: new Map() };
  return receiversOf(of, event, payload, job.to).length > 0;
}

/** The webhooks of a project that a past event goes to by their filters as they are now. */
export function passes(webhook: ReadyWebhook, event: StoredEvent, payload: () => unknown): boolean {
  const of = {
    webhooks: new Map([[webhook.id, { ...webhook, enabled: true }]]),
    rules: [],
    types: new Map(),
  };
  return event.problem === null && receiversOf(of, event, payload).length > 0;
}

/** Why a message does not fit the schema of its type, null when it does or when there is none. */
function problemOf(
  ctx: BaseContext,
  event: EventWithBody,
  payload: () => unknown,
  types: ReadonlyMap<string, ReadyType>,
): string | null {
  const { device } = event.origin;
  const schema = types.get(device?.type_id ?? '')?.schemas.get(event.type ?? '');
  if (schema === undefined) return null;
  if (event.bodyBytes > checkedCharactersMax)
    return `more than ${checkedCharactersMax} bytes cannot be checked`;
  const value = payload();
  if (value === undefined) return 'it is not JSON';
  return ctx.schemas.of(schema)(value)?.slice(0, problemMax) ?? null;
}

/** Holds a message against the rules of its type, and sends what became of alarms on the same way as the message. */
async function raiseAlarms(tx: Db, outbox: Outbox, { event, payload, known: of }: Ready): Promise<void> {
  const { device } = event.origin;
  if (event.kind !== 'message' || event.problem !== null || !device) return;
  for (const rule of of.rules) {
    if (rule.typeId !== device.type_id || rule.messageType !== event.type || payload() === undefined)
      continue;
    const json = Buffer.from(event.body).toString('utf8');
    for (const change of await observe(tx, rule, { device, payload: payload(), json, at: event.at })) {
      if (!change.isTold) continue;
      addAlarm(outbox, of, change, event.origin, rule.webhookIds);
      if (change.what === 'raised')
        outbox.addFirings(rule.actionEventIds.map((eventId) => firingOf(change.alarm, eventId)));
    }
  }
}

/** An alarm that was raised or cleared, as an event of its own. */
function addAlarm(
  outbox: Outbox,
  of: Known,
  { what, alarm }: AlarmChange,
  origin: EventWithBody['origin'],
  named: readonly string[],
): void {
  const at = what === 'raised' ? alarm.first_seen : (alarm.cleared_at ?? alarm.last_seen);
  const body = Buffer.from(alarmJson(alarm));
  const event: EventWithBody = {
    id: newId(at),
    projectId: alarm.project_id,
    kind: 'alarm',
    type: `alarm.${what}`,
    label: null,
    deviceId: alarm.device_id,
    origin: { ...origin, rule_id: alarm.rule_id },
    mediaType: 'application/json',
    body,
    bodyBytes: body.length,
    problem: null,
    at,
  };
  const payload = once(() => payloadOf(event, body));
  outbox.add(event, receiversOf(of, event, payload, named));
}

function firingOf(alarm: Row<'alarms'>, eventId: string): NewRow<'firings'> {
  return {
    id: newId(alarm.first_seen),
    project_id: alarm.project_id,
    event_id: eventId,
    alarm_id: alarm.id,
    payload_json: alarmJson(alarm),
  };
}

/**
 * Writes that a person has cleared an alarm, in a transaction of its own after the change: the alarm is over either
 * way, and what is told of it is a courtesy.
 */
export async function tellCleared(ctx: BaseContext, alarm: Row<'alarms'>, origin: EventWithBody['origin']) {
  const of = await known(ctx, alarm.project_id);
  const named = of.rules.find((rule) => rule.id === alarm.rule_id)?.webhookIds ?? [];
  const outbox = await inTransaction(ctx.db, async (tx) => {
    const filled = createOutbox(ctx);
    addAlarm(filled, of, { what: 'cleared', alarm, isTold: true }, origin, named);
    await filled.write(tx);
    return filled;
  });
  finish(ctx, outbox);
}

function once<T>(make: () => T): () => T {
  let made: { value: T } | undefined;
  return () => {
    made ??= { value: make() };
    return made.value;
  };
}
