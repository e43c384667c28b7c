/**
 * An alarm is one occurrence of a rule: raised when a message meets `when`, cleared when one meets `clear_when` or by a
 * person. What a message does to it is decided here and written in the transaction that stores the message.
 */

import { z } from 'zod';
import {
  type AlarmFilter,
  findLatestAlarm,
  insertAlarm,
  listAlarms as listAlarmRows,
  updateAlarm,
} from '../../store/alarm.ts';
import { fromJson } from '../../store/columns.ts';
import { findDevice } from '../../store/device.ts';
import { findOwned } from '../../store/owned.ts';
import { pageQuery } from '../../store/page.ts';
import type { Db, Row } from '../../store/schema.ts';
import { makeChange } from '../access/audit.ts';
import type { Caller } from '../access/caller.ts';
import { holds } from '../condition.ts';
import type { Context } from '../context.ts';
import type { Origin } from '../event/event.ts';
import { originOf, senderOf } from '../event/origin.ts';
import { Fault } from '../fault.ts';
import { newId } from '../id.ts';
import { flagSchema, idSchema, instant, parseInput, timedPageSchema } from '../input.ts';
import { type AlarmLevel, alarmLevels, type ReadyRule, readyRules } from './alarm-rule.ts';

type AlarmDevice = { id: number; name: string; type: string | null; group_id: number | null };

/** What was said: `json` is its text as it came, so that its numbers stay exact. */
export type Observation = {
  device: NonNullable<Origin['device']>;
  payload: unknown;
  json: string;
  at: number;
};

export type AlarmChange = {
  what: 'raised' | 'cleared';
  alarm: Row<'alarms'>;
  /** Whether anybody is told: false while the rule cools down. */
  isTold: boolean;
};

/**
 * Holds a message against a rule and writes what follows. With a `clear_when` one alarm at a time is active for each
 * device: a message that meets `when` again only renews it, one that meets both ends it and raises the next. Without,
 * every message that meets `when` raises an alarm of its own.
 */
export async function observe(tx: Db, rule: ReadyRule, seen: Observation): Promise<AlarmChange[]> {
  const meets = holds(rule.when, seen.payload);
  const clears = rule.clearWhen !== null && holds(rule.clearWhen, seen.payload);
  if (!meets && !clears) return [];
  const latest = await findLatestAlarm(tx, rule.id, seen.device.id);
  const active = rule.clearWhen !== null && latest?.active === 1 ? latest : null;
  const changes: AlarmChange[] = [];

  if (meets && !clears && active) {
    await updateAlarm(tx, active.id, { last_seen: seen.at });
    return [];
  }
  if (clears && active) {
    const cleared = { active: 0, last_seen: seen.at, cleared_at: seen.at, cleared_by: null };
    await updateAlarm(tx, active.id, cleared);
    changes.push({ what: 'cleared', alarm: { ...active, ...cleared }, isTold: active.notified === 1 });
  }
  if (meets) {
    const isQuiet = latest !== undefined && latest.quiet_until > seen.at;
    const quietUntil = isQuiet ? latest.quiet_until : seen.at + rule.cooldownMs;
    // What meets both without an active one before is over as it begins.
    const isActive = !clears || active !== null;
    const alarm = newAlarm(rule, seen, { isActive, isTold: !isQuiet, quietUntil });
    await insertAlarm(tx, alarm);
    changes.push({ what: 'raised', alarm, isTold: !isQuiet });
  }
  return changes;
}

function newAlarm(
  rule: ReadyRule,
  { device, json, at }: Observation,
  { isActive, isTold, quietUntil }: { isActive: boolean; isTold: boolean; quietUntil: number },
): Row<'alarms'> {
  const { id, name, type, group_id } = device;
  return {
    id: newId(at),
    project_id: rule.projectId,
    rule_id: rule.id,
    rule_name: rule.name,
    level: rule.level,
    device_id: id,
    device_json: JSON.stringify({ id, name, type, group_id } satisfies AlarmDevice),
    message_type: rule.messageType,
    observation_json: json,
    active: isActive ? 1 : 0,
    first_seen: at,
    last_seen: at,
    notified: isTold ? 1 : 0,
    quiet_until: quietUntil,
    note: null,
    noted_by: null,
    noted_at: null,
    cleared_by: null,
    cleared_at: isActive ? null : at,
  };
}

/** The body of an alarm's webhook (design §6.4); the observation's text is put in as it came. */
export function alarmJson(alarm: Row<'alarms'>): string {
  const head = JSON.stringify({
    alarm_id: alarm.id,
    rule: { id: alarm.rule_id, name: alarm.rule_name },
    level: alarm.level,
    active: alarm.active === 1,
    device: fromJson<AlarmDevice>(alarm.device_json),
    message_type: alarm.message_type,
  });
  const tail = JSON.stringify({
    first_seen: instant(alarm.first_seen),
    last_seen: instant(alarm.last_seen),
  });
  return `${head.slice(0, -1)},"observation":${alarm.observation_json},${tail.slice(1)}`;
}

function viewAlarm(row: Row<'alarms'>) {
  return {
    id: row.id,
    rule: { id: row.rule_id, name: row.rule_name },
    level: row.level as AlarmLevel,
    active: row.active === 1,
    device: fromJson<AlarmDevice>(row.device_json),
    message_type: row.message_type,
    observation: fromJson<unknown>(row.observation_json),
    first_seen: instant(row.first_seen),
    last_seen: instant(row.last_seen),
    notified: row.notified === 1,
    note: row.note,
    noted_by: row.noted_by,
    noted_at: instant(row.noted_at),
    cleared_by: row.cleared_by,
    cleared_at: instant(row.cleared_at),
  };
}

const filterSchema = timedPageSchema.extend({
  active: flagSchema.optional(),
  noted: flagSchema.optional(),
  level: z.enum(alarmLevels).optional(),
  rule_id: z.string().optional(),
  device_id: idSchema.optional(),
});

/** Newest first. */
export async function listAlarms(ctx: Context, caller: Caller, input: unknown) {
  const { level, ...given } = parseInput(filterSchema, input);
  const filter: AlarmFilter = { ...given, levels: level === undefined ? undefined : [level] };
  const page = await listAlarmRows(ctx.db, caller.projectId, filter, pageQuery(given));
  return { ...page, items: page.items.map(viewAlarm) };
}

export async function getAlarm(ctx: Context, caller: Caller, id: string) {
  return viewAlarm(await requireAlarm(ctx.db, caller, id));
}

const noteSchema = z.strictObject({ note: z.string().trim().min(1).max(2_000) });
const clearSchema = z.strictObject({ note: noteSchema.shape.note.optional() });

/** Somebody has seen the alarm and says something about it. */
export async function noteAlarm(ctx: Context, caller: Caller, id: string, input: unknown) {
  const { note: text } = parseInput(noteSchema, input);
  await makeChange(ctx, caller, async (tx, note) => {
    await requireAlarm(tx, caller, id);
    await updateAlarm(tx, id, noteColumns(ctx, caller, text));
    await note('alarm.note', { kind: 'alarm', id });
  });
  return getAlarm(ctx, caller, id);
}

const noteColumns = (ctx: Context, caller: Caller, text: string) => ({
  note: text,
  noted_by: caller.name,
  noted_at: ctx.now(),
});

/** Ends an alarm by hand, and whoever was told that it began is told. One that is over changes nothing but its note. */
export async function clearAlarm(ctx: Context, caller: Caller, id: string, input: unknown) {
  const { note: text } = parseInput(clearSchema, input ?? {});
  const { alarm, wasActive } = await makeChange(ctx, caller, async (tx, note) => {
    const row = await requireAlarm(tx, caller, id);
    const cleared = row.active === 1 ? { active: 0, cleared_at: ctx.now(), cleared_by: caller.name } : {};
    const change = { ...cleared, ...(text === undefined ? {} : noteColumns(ctx, caller, text)) };
    if (Object.keys(change).length > 0) await updateAlarm(tx, id, change);
    await note('alarm.clear', { kind: 'alarm', id });
    return { alarm: { ...row, ...change }, wasActive: row.active === 1 };
  });
  // After the change: the alarm is over either way, and what is told of it is a courtesy.
  if (wasActive && alarm.notified === 1) await tellCleared(ctx, caller, alarm);
  return getAlarm(ctx, caller, id);
}

async function tellCleared(ctx: Context, caller: Caller, alarm: Row<'alarms'>): Promise<void> {
  const { project_id: projectId, device_id: deviceId, rule_id: ruleId } = alarm;
  const isThere = (await findDevice(ctx.db, projectId, deviceId)) !== undefined;
  const origin = isThere
    ? await originOf(ctx, { ...(await senderOf(ctx, caller, deviceId)), address: null, key: undefined })
    : {};
  const rule = (await readyRules(ctx, projectId)).find((known) => known.id === ruleId);
  await ctx.queues.intake.add({
    projectId,
    kind: 'alarm',
    type: 'alarm.cleared',
    label: null,
    origin: { ...origin, rule_id: ruleId },
    deviceId,
    mediaType: 'application/json',
    body: Buffer.from(alarmJson(alarm)),
    to: rule?.webhookIds ?? [],
  });
}

async function requireAlarm(db: Db, caller: Caller, id: string): Promise<Row<'alarms'>> {
  const row = await findOwned(db, 'alarms', caller.projectId, id);
  if (!row) throw new Fault('not_found', 'there is no such alarm');
  return row;
}
