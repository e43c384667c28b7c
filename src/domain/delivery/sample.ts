/** Made-up events for tests of webhooks, each in the shape that the real ones of its kind have. */
import { z } from 'zod';
import type { Caller } from '../access/caller.ts';
import { bodyOfAlarm } from '../alarm/body.ts';
import { payloadOfCoverage } from '../command/coverage.ts';
import type { Context } from '../context.ts';
import { eventKinds, type Origin, type StoredEvent } from '../event/event.ts';
import { originOf, senderOf } from '../event/origin.ts';
import { eventOfFact, payloadOfSystem, type SystemEventType, systemEventTypes } from '../fact.ts';
import { Fault } from '../fault.ts';
import { newId } from '../id.ts';
import { idSchema, nameSchema } from '../input.ts';

const jsonType = 'application/json';
const alarmTypes = ['alarm.raised', 'alarm.cleared'] as const;
const message = { message: 'This is a test.' };
const observation = { temperature: 95 };
/** Seems to say it where no device is named and the real event would have one. */
const device: NonNullable<Origin['device']> = {
  id: 1,
  name: 'sample device',
  class: null,
  type_id: null,
  type: null,
  group_id: null,
  group_path: [],
  tags: [],
  ip: null,
};

export const sampleSchema = z.strictObject({
  kind: z.enum(eventKinds).default('event'),
  type: nameSchema.optional(),
  label: nameSchema.optional(),
  /** What is said; for bulk data a text, of an alarm the message that raises it. */
  data: z.unknown().optional(),
  device_id: idSchema.optional(),
});
type Sample = z.output<typeof sampleSchema>;

/** What differs from kind to kind. */
type Said = Pick<StoredEvent, 'type' | 'label' | 'origin' | 'mediaType'> & { body: Buffer };
type Making = { ctx: Pick<Context, 'now'>; caller: Caller; given: Sample; origin: Origin };

/** A sample as the caller wants it. Throws `not_found` for a device that is not the project's. */
export async function sampleEvent(ctx: Context, caller: Caller, given: Sample): Promise<StoredEvent> {
  const { kind, device_id } = given;
  const origin =
    device_id === undefined
      ? {}
      : await originOf(ctx, { ...(await senderOf(ctx, caller, device_id)), key: undefined });
  const said = samples[kind]({ ctx, caller, given, origin });
  return {
    id: newId(ctx.now()),
    projectId: caller.projectId,
    kind,
    deviceId: device_id ?? null,
    bodyBytes: said.body.length,
    problem: null,
    at: ctx.now(),
    ...said,
  };
}

const samples = {
  event: saidByDevice,
  message: saidByDevice,
  bulk({ given: { type, label, data = message }, origin }) {
    const body = Buffer.from(typeof data === 'string' ? data : JSON.stringify(data));
    return {
      type: type ?? null,
      label: label ?? 'test',
      origin,
      mediaType: 'application/octet-stream',
      body,
    };
  },
  alarm: alarmSample,
  system: systemSample,
  command({ given: { type, label, data = {} }, origin }) {
    const { action, parameters } = (isObject(data) ? data : {}) as Record<string, unknown>;
    const said =
      typeof action === 'string'
        ? { action, parameters: isObject(parameters) ? parameters : {} }
        : { action: type ?? 'test', parameters: isObject(data) ? data : {} };
    return { ...json(said), type: said.action, label: label ?? null, origin };
  },
} satisfies Record<StoredEvent['kind'], (making: Making) => Said>;

const isObject = (value: unknown) => typeof value === 'object' && value !== null && !Array.isArray(value);
const json = (said: unknown) => ({ mediaType: jsonType, body: Buffer.from(JSON.stringify(said)) });

function saidByDevice({ given: { type, label, data = message }, origin }: Making): Said {
  return { ...json(data), type: type ?? 'test', label: label ?? null, origin };
}

function alarmSample({ ctx, caller, given, origin }: Making): Said {
  const type = oneOf(alarmTypes, given.type);
  const now = ctx.now();
  const about = origin.device ?? device;
  const isActive = type === 'alarm.raised';
  const seen = JSON.stringify(given.data ?? observation);
  const alarm = {
    id: newId(now),
    projectId: caller.projectId,
    ruleId: newId(now),
    ruleName: 'sample rule',
    level: 'warning' as const,
    deviceId: about.id,
    device: { id: about.id, name: about.name, type: about.type, group_id: about.group_id },
    messageType: 'sample',
    eventId: null,
    observation: seen,
    active: isActive,
    firstSeen: now,
    lastSeen: now,
    notified: true,
    quietUntil: now,
    note: null,
    notedBy: null,
    notedAt: null,
    clearedBy: null,
    clearedAt: isActive ? null : now,
    clearedReason: isActive ? null : ('condition' as const),
    element: null,
    webhookIds: null,
  };
  return {
    type,
    label: null,
    origin: { ...origin, device: about, rule_id: alarm.ruleId },
    mediaType: jsonType,
    body: bodyOfAlarm(isActive ? 'raised' : 'cleared', alarm, Buffer.from(seen)),
  };
}

function systemSample({ ctx, caller, given, origin }: Making): Said {
  const type = oneOf(systemEventTypes, given.type);
  const now = ctx.now();
  const about = type.startsWith('device.') ? (origin.device ?? device) : origin.device;
  const data = isObject(given.data) ? (given.data as object) : systemData(type, caller, now);
  return {
    ...json(payloadOfSystem(data, about, now)),
    type,
    label: null,
    origin: about ? { ...origin, device: about } : origin,
  };
}

/** What such an event tells besides device and time, from a fact where it is made from one. */
function systemData(type: SystemEventType, { projectId }: Caller, now: number): object {
  const command = { id: newId(now), triggerId: newId(now), function: 'enable_emergency' };
  const none = { online: 1, received: 0, applied: 0, failed: 0, expired: 0, missing: 0 };
  const { id, name } = device;
  const late = { id, name, online: true, status: 'expired' as const, detail: null, at: null };
  const about = { projectId, deviceId: device.id, door: 'socket' };
  switch (type) {
    case 'command.covered':
      return payloadOfCoverage(command, { targeted: 1, ...none, applied: 1, devices: [] }).covered;
    case 'command.missed':
      return payloadOfCoverage(command, { targeted: 1, ...none, expired: 1, devices: [late] }).missed;
    case 'device.online':
      return eventOfFact({ kind: 'online', ...about })?.data ?? {};
    case 'device.offline':
      return eventOfFact({ kind: 'offline', ...about })?.data ?? {};
    case 'device.shared': {
      const shared = { projectId, deviceId: device.id, addresses: ['192.0.2.7', '198.51.100.7'] };
      return eventOfFact({ kind: 'shared', ...shared })?.data ?? {};
    }
    case 'trigger.fired': {
      const fired = { triggerId: newId(now), actionEventId: 'sample', source: 'post', commands: 1 };
      return eventOfFact({ kind: 'trigger', projectId, ...fired })?.data ?? {};
    }
    case 'webhook.orphaned':
      return { webhook_id: newId(now), name: 'sample webhook', problem: 'this is a test' };
    case 'alarm_rule.orphaned':
      return { rule_id: newId(now), name: 'sample rule', problem: 'this is a test' };
    case 'webhook.disabled': {
      const disabled = { webhookId: newId(now), reason: 'this is a test' };
      return eventOfFact({ kind: 'webhook-disabled', projectId, ...disabled })?.data ?? {};
    }
  }
}

/** The type that is asked for, or the first one; throws `bad_request` for one that such events don't have. */
function oneOf<T extends string>(types: readonly [T, ...T[]], given: string | undefined): T {
  const found = given === undefined ? types[0] : types.find((type) => type === given);
  if (found === undefined) throw new Fault('bad_request', `type: of these events it is ${types.join(', ')}`);
  return found;
}
