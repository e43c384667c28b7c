/**
 * What a message does to the alarms of a rule: decided here, and written in the transaction that stores the message. A
 * list is held against the rule element by element, as if each had come in a message of its own.
 */
import { type Alarm, endAlarm, insertAlarms, selectLatestAlarm, updateAlarm } from '../../store/alarm.ts';
import { selectActiveAlarms } from '../../store/alarm-active.ts';
import type { AlarmRule } from '../../store/alarm-rule.ts';
import type { Db } from '../../store/schema.ts';
import { holdsFor } from '../condition.ts';
import type { EventWithBody, Origin } from '../event/event.ts';
import { newId } from '../id.ts';
import type { AlarmTurn } from './body.ts';
import { keptOf } from './observation.ts';

/** Of a list that turns an alarm more often than this, the turns in the middle are left out. */
export const turnsPerMessageMax = 40;

/** A message with the device that said it. */
export type Observed = { event: EventWithBody; device: NonNullable<Origin['device']>; payload: unknown };

export type AlarmChange = {
  turn: AlarmTurn;
  alarm: Alarm;
  /** Whether anybody is told: false while the rule cools down. */
  isTold: boolean;
};

/** What an element of a message meets; of one that is no list, `element` is null. */
type Meeting = { element: number | null; meets: boolean; clears: boolean };
type Turn = { turn: AlarmTurn; element: number | null };

/**
 * Holds a message against a rule and writes what follows. With a `clear_when` one alarm at a time is active for each
 * device: what meets `when` again only renews it, what meets both ends it and raises the next. Without, everything that
 * meets `when` raises an alarm of its own, which is over at once.
 */
export async function observe(tx: Db, rule: AlarmRule, seen: Observed): Promise<AlarmChange[]> {
  const meetings = meetingsOf(rule, seen.payload);
  if (meetings.length === 0) return [];
  const active = rule.clearWhen === null ? [] : await selectActiveAlarms(tx, rule.id, seen.device.id);
  const turns = withoutMiddle(
    rule.clearWhen === null
      ? meetings.map(({ element }): Turn => ({ turn: 'raised', element }))
      : turnsOf(meetings, active.length > 0),
  );
  const { at } = seen.event;
  const [latestActive] = active;
  if (latestActive && turns.length === 0) await updateAlarm(tx, latestActive.id, { lastSeen: at });
  return write(tx, rule, seen, { turns, active });
}

function meetingsOf(rule: AlarmRule, payload: unknown): Meeting[] {
  const { when, clearWhen } = rule;
  const meet = (value: unknown, element: number | null): Meeting => ({
    element,
    meets: holdsFor(when, value),
    clears: clearWhen !== null && holdsFor(clearWhen, value),
  });
  const all = Array.isArray(payload) ? payload.map(meet) : [meet(payload, null)];
  return all.filter(({ meets, clears }) => meets || clears);
}

/** Raised and cleared by turns. What meets both without an active alarm before it raises one that is over as it begins. */
function turnsOf(meetings: readonly Meeting[], wasActive: boolean): Turn[] {
  const turns: Turn[] = [];
  let isActive = wasActive;
  const turn = (to: AlarmTurn, element: number | null) => {
    turns.push({ turn: to, element });
    isActive = to === 'raised';
  };
  for (const { element, meets, clears } of meetings) {
    const isNew = !isActive;
    if (clears && isActive) turn('cleared', element);
    if (meets && !isActive) turn('raised', element);
    if (clears && isNew && isActive) turn('cleared', element);
  }
  return turns;
}

/** An even number is left out, so that it still goes by turns and ends as it would have. */
function withoutMiddle(turns: Turn[]): Turn[] {
  const excess = turns.length - turnsPerMessageMax;
  if (excess <= 0) return turns;
  const kept = turnsPerMessageMax / 2;
  return [...turns.slice(0, kept), ...turns.slice(kept + excess + (excess % 2))];
}

async function write(
  tx: Db,
  rule: AlarmRule,
  seen: Observed,
  { turns, active }: { turns: readonly Turn[]; active: readonly Alarm[] },
): Promise<AlarmChange[]> {
  const { at } = seen.event;
  const changes: AlarmChange[] = [];
  const raised: Alarm[] = [];
  const end = { lastSeen: at, clearedAt: at, clearedBy: null, clearedReason: 'condition' } as const;
  for (const { turn, element } of turns) {
    const current = raised.at(-1);
    if (turn === 'raised') {
      const latest = current ?? (await selectLatestAlarm(tx, rule.id, seen.device.id));
      const alarm = newAlarm(rule, seen, element, latest);
      raised.push(alarm);
      changes.push({ turn, alarm, isTold: alarm.notified });
    } else if (current) {
      const alarm = { ...current, ...end, active: false };
      raised[raised.length - 1] = alarm;
      changes.push({ turn, alarm, isTold: alarm.notified });
    } else {
      for (const { id } of active) {
        const alarm = await endAlarm(tx, id, end);
        if (alarm) changes.push({ turn, alarm, isTold: alarm.notified });
      }
    }
  }
  await insertAlarms(tx, raised);
  return changes;
}

function newAlarm(
  rule: AlarmRule,
  { event, device }: Observed,
  element: number | null,
  latest: Alarm | undefined,
): Alarm {
  const { at } = event;
  const { id, name, type, group_id } = device;
  const cooledAt = at + rule.cooldownSeconds * 1_000;
  // The cooldown may have been made shorter since.
  const quietUntil = Math.min(latest?.quietUntil ?? 0, cooledAt);
  const isQuiet = quietUntil > at;
  const isActive = rule.clearWhen !== null;
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
    element,
    active: isActive,
    firstSeen: at,
    lastSeen: at,
    notified: !isQuiet,
    quietUntil: isQuiet ? quietUntil : cooledAt,
    note: null,
    notedBy: null,
    notedAt: null,
    clearedBy: null,
    clearedAt: isActive ? null : at,
    clearedReason: isActive ? null : 'no_clear_when',
    webhookIds: null,
  };
}
