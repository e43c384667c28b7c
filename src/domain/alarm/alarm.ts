/**
 * An alarm is one occurrence of a rule: raised when a message meets `when` (observe.ts), cleared when one meets
 * `clear_when` or by a person, and over by itself when no message can clear it any more.
 */

import { z } from 'zod';
import { type Alarm, endAlarm, selectAlarm, selectAlarms, updateAlarm } from '../../store/alarm.ts';
import { pageQuery } from '../../store/page.ts';
import type { Db } from '../../store/schema.ts';
import { makeChange } from '../access/audit.ts';
import type { Caller } from '../access/caller.ts';
import type { Context } from '../context.ts';
import { Fault } from '../fault.ts';
import { flagSchema, idSchema, instant, parseInput, timedPageSchema } from '../input.ts';
import { parseJsonExactly } from '../json.ts';
import { readyRules } from './alarm-rule.ts';
import { bodyOfAlarm } from './body.ts';
import { alarmLevels } from './level.ts';
import { shortObservation, wholeObservation } from './observation.ts';
import { originOfAlarm } from './origin.ts';

function viewAlarm(alarm: Alarm, observation: unknown) {
  return {
    id: alarm.id,
    rule: { id: alarm.ruleId, name: alarm.ruleName },
    level: alarm.level,
    active: alarm.active,
    device: alarm.device,
    message_type: alarm.messageType,
    observation,
    element: alarm.element,
    first_seen: instant(alarm.firstSeen),
    last_seen: instant(alarm.lastSeen),
    notified: alarm.notified,
    note: alarm.note,
    noted_by: alarm.notedBy,
    noted_at: instant(alarm.notedAt),
    cleared_by: alarm.clearedBy,
    cleared_at: instant(alarm.clearedAt),
    cleared_reason: alarm.clearedReason,
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
  const ended = await makeChange(ctx, caller, async (tx, note) => {
    await requireAlarm(tx, caller, id);
    const by = { clearedAt: ctx.now(), clearedBy: caller.name, clearedReason: 'person' } as const;
    const alarm = await endAlarm(tx, id, by);
    if (text !== undefined) await updateAlarm(tx, id, noteOf(ctx, caller, text));
    await note('alarm.clear', { kind: 'alarm', id });
    return alarm;
  });
  // After the change: the alarm is over either way, and what is told of it is a courtesy.
  if (ended?.notified) await tellCleared(ctx, ended);
  return getAlarm(ctx, caller, id);
}

async function tellCleared(ctx: Pick<Context, 'db' | 'cache' | 'queues'>, alarm: Alarm): Promise<void> {
  const { projectId, deviceId, ruleId } = alarm;
  const rule = (await readyRules(ctx, projectId)).find((known) => known.id === ruleId);
  await ctx.queues.intake.add({
    projectId,
    kind: 'alarm',
    type: 'alarm.cleared',
    label: null,
    origin: await originOfAlarm(ctx, alarm),
    deviceId,
    mediaType: 'application/json',
    body: bodyOfAlarm('cleared', alarm, await wholeObservation(ctx.db, alarm)),
    to: rule?.webhookIds ?? alarm.webhookIds ?? [],
  });
}

async function requireAlarm(db: Db, caller: Caller, id: string): Promise<Alarm> {
  const alarm = await selectAlarm(db, caller.projectId, id);
  if (!alarm) throw new Fault('not_found', 'there is no such alarm');
  return alarm;
}
