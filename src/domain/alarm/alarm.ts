/**
 * An alarm is one occurrence of a rule: raised when a message meets `when`, cleared when one meets `clear_when` or by a
 * person. What a message does to it is decided here and written in the transaction that stores the message.
 */

import { z } from 'zod';
import {
  type Alarm,
  insertAlarm,
  selectAlarm,
  selectAlarms,
  selectLatestAlarm,
  updateAlarm,
} from '../../store/alarm.ts';
import type { AlarmRule } from '../../store/alarm-rule.ts';
import { selectDevice } from '../../store/device.ts';
import { pageQuery } from '../../store/page.ts';
import type { Db } from '../../store/schema.ts';
import { makeChange } from '../access/audit.ts';
import type { Caller } from '../access/caller.ts';
import { holds } from '../condition.ts';
import type { Context } from '../context.ts';
import { factsOf } from '../device/presence.ts';
import type { EventWithBody, Origin } from '../event/event.ts';
import { originOf } from '../event/origin.ts';
import { Fault } from '../fault.ts';
import { newId } from '../id.ts';
import { flagSchema, idSchema, instant, parseInput, timedPageSchema } from '../input.ts';
import { parseJsonExactly } from '../json.ts';
import { readyRules } from './alarm-rule.ts';
import { alarmLevels } from './level.ts';
import { keptOf, shortObservation, wholeObservation } from './observation.ts';

/** A message with the device that said it. */
export type Observed = { event: EventWithBody; device: NonNullable<Origin['device']>; payload: unknown };

export type AlarmChange = {
  what: 'raised' | 'cleared';
  alarm: Alarm;
  /** Whether anybody is told: false while the rule cools down. */
  isTold: boolean;
};

/**
 * Holds a message against a rule and writes what follows. With a `clear_when` one alarm at a time is active for each
 * device: a message that meets `when` again only renews it, one that meets both ends it and raises the next. Without,
 * every message that meets `when` raises an alarm of its own.
 */
export async function observe(tx: Db, rule: AlarmRule, seen: Observed): Promise<AlarmChange[]> {
  const { at } = seen.event;
  const meets = holds(rule.when, seen.payload);
  const clears = rule.clearWhen !== null && holds(rule.clearWhen, seen.payload);
  if (!meets && !clears) return [];
  const latest = await selectLatestAlarm(tx, rule.id, seen.device.id);
  const active = rule.clearWhen !== null && latest?.active ? latest : null;
  const changes: AlarmChange[] = [];

  if (meets && !clears && active) {
    await updateAlarm(tx, active.id, { lastSeen: at });
    return [];
  }
  if (clears && active) {
    const cleared = { active: false, lastSeen: at, clearedAt: at, clearedBy: null };
    await updateAlarm(tx, active.id, cleared);
    changes.push({ what: 'cleared', alarm: { ...active, ...cleared }, isTold: active.notified });
  }
  if (meets) {
    const isQuiet = latest !== undefined && latest.quietUntil > at;
    const quietUntil = isQuiet ? latest.quietUntil : at + rule.cooldownSeconds * 1_000;
    // What meets both without an active one before is over as it begins.
    const isActive = !clears || active !== null;
    const alarm = newAlarm(rule, seen, { isActive, isTold: !isQuiet, quietUntil });
    await insertAlarm(tx, alarm);
    changes.push({ what: 'raised', alarm, isTold: !isQuiet });
  }
  return changes;
}

function newAlarm(
  rule: AlarmRule,
  { event, device }: Observed,
  { isActive, isTold, quietUntil }: { isActive: boolean; isTold: boolean; quietUntil: number },
): Alarm {
  const { at } = event;
  const { id, name, type, group_id } = device;
  return {
    id: newId(at),
    projectId: rule.projectId,
    ruleId: rule.id,
    ruleName: rule.name,
    level: rule.level,
    deviceId: id,
    device: { id, name, type, group_id },
    messageType: rule.messageType,
    ...keptOf(event),
    active: isActive,
    firstSeen: at,
    lastSeen: at,
    notified: isTold,
    quietUntil,
    note: null,
    notedBy: null,
    notedAt: null,
    clearedBy: null,
    clearedAt: isActive ? null : at,
  };
}

/** What an alarm tells webhooks and actions. */
export function payloadOfAlarm(alarm: Alarm, observation: unknown) {
  return {
    alarm_id: alarm.id,
    rule: { id: alarm.ruleId, name: alarm.ruleName },
    level: alarm.level,
    active: alarm.active,
    device: alarm.device,
    message_type: alarm.messageType,
    observation,
    first_seen: instant(alarm.firstSeen),
    last_seen: instant(alarm.lastSeen),
  };
}

/** The body of an alarm's webhook; the observation is put in byte for byte. */
export function bodyOfAlarm(alarm: Alarm, whole: Uint8Array): Buffer {
  const { observation: _, first_seen, last_seen, ...about } = payloadOfAlarm(alarm, null);
  const head = `${JSON.stringify(about).slice(0, -1)},"observation":`;
  const tail = `,${JSON.stringify({ first_seen, last_seen }).slice(1)}`;
  return Buffer.concat([Buffer.from(head), whole, Buffer.from(tail)]);
}

function viewAlarm(alarm: Alarm, observation: unknown) {
  return {
    id: alarm.id,
    rule: { id: alarm.ruleId, name: alarm.ruleName },
    level: alarm.level,
    active: alarm.active,
    device: alarm.device,
    message_type: alarm.messageType,
    observation,
    first_seen: instant(alarm.firstSeen),
    last_seen: instant(alarm.lastSeen),
    notified: alarm.notified,
    note: alarm.note,
    noted_by: alarm.notedBy,
    noted_at: instant(alarm.notedAt),
    cleared_by: alarm.clearedBy,
    cleared_at: instant(alarm.clearedAt),
  };
}

const filterSchema = timedPageSchema.extend({
  active: flagSchema.optional(),
  noted: flagSchema.optional(),
  level: z.enum(alarmLevels).optional(),
  rule_id: z.string().optional(),
  device_id: idSchema.optional(),
});

/** Newest first. In place of a large observation they name its event. */
export async function listAlarms(ctx: Pick<Context, 'db'>, caller: Caller, input: unknown) {
  const { active, noted, level, rule_id, device_id, ...paging } = parseInput(filterSchema, input);
  const filter = { active, noted, level, ruleId: rule_id, deviceId: device_id };
  const page = await selectAlarms(ctx.db, caller.projectId, filter, pageQuery(paging));
  return { ...page, items: page.items.map((alarm) => viewAlarm(alarm, shortObservation(alarm))) };
}

export async function getAlarm(ctx: Pick<Context, 'db'>, caller: Caller, id: string) {
  const alarm = await requireAlarm(ctx.db, caller, id);
  const observation = Buffer.from(await wholeObservation(ctx.db, alarm)).toString('utf8');
  return viewAlarm(alarm, parseJsonExactly(observation));
}

const noteSchema = z.strictObject({ note: z.string().trim().min(1).max(2_000) });
const clearSchema = z.strictObject({ note: noteSchema.shape.note.optional() });

/** Somebody has seen the alarm and says something about it. */
export async function noteAlarm(
  ctx: Pick<Context, 'db' | 'now' | 'cache' | 'feed'>,
  caller: Caller,
  id: string,
  input: unknown,
) {
  const { note: text } = parseInput(noteSchema, input);
  await makeChange(ctx, caller, async (tx, note) => {
    await requireAlarm(tx, caller, id);
    await updateAlarm(tx, id, noteOf(ctx, caller, text));
    await note('alarm.note', { kind: 'alarm', id });
  });
  return getAlarm(ctx, caller, id);
}

const noteOf = (ctx: Pick<Context, 'now'>, caller: Caller, text: string) => ({
  note: text,
  notedBy: caller.name,
  notedAt: ctx.now(),
});

/** Ends an alarm by hand, and whoever was told that it began is told. One that is over changes nothing but its note. */
export async function clearAlarm(
  ctx: Pick<Context, 'db' | 'now' | 'cache' | 'feed' | 'queues'>,
  caller: Caller,
  id: string,
  input: unknown,
) {
  const { note: text } = parseInput(clearSchema, input ?? {});
  const { alarm, wasActive } = await makeChange(ctx, caller, async (tx, note) => {
    const before = await requireAlarm(tx, caller, id);
    const change = {
      ...(before.active ? { active: false, clearedAt: ctx.now(), clearedBy: caller.name } : {}),
      ...(text === undefined ? {} : noteOf(ctx, caller, text)),
    };
    await updateAlarm(tx, id, change);
    await note('alarm.clear', { kind: 'alarm', id });
    return { alarm: { ...before, ...change }, wasActive: before.active };
  });
  // After the change: the alarm is over either way, and what is told of it is a courtesy.
  if (wasActive && alarm.notified) await tellCleared(ctx, alarm);
  return getAlarm(ctx, caller, id);
}

async function tellCleared(ctx: Pick<Context, 'db' | 'cache' | 'queues'>, alarm: Alarm): Promise<void> {
  const { projectId, deviceId, ruleId } = alarm;
  const device = await selectDevice(ctx.db, projectId, deviceId);
  const origin = device ? await originOf(ctx, { device: factsOf(device), address: null }) : {};
  const rule = (await readyRules(ctx, projectId)).find((known) => known.id === ruleId);
  await ctx.queues.intake.add({
    projectId,
    kind: 'alarm',
    type: 'alarm.cleared',
    label: null,
    origin: { ...origin, rule_id: ruleId },
    deviceId,
    mediaType: 'application/json',
    body: bodyOfAlarm(alarm, await wholeObservation(ctx.db, alarm)),
    to: rule?.webhookIds ?? [],
  });
}

async function requireAlarm(db: Db, caller: Caller, id: string): Promise<Alarm> {
  const alarm = await selectAlarm(db, caller.projectId, id);
  if (!alarm) throw new Fault('not_found', 'there is no such alarm');
  return alarm;
}
