/** Alarms of a message: what it raises and clears goes the same way as the message, in the same commit. */

import type { Alarm } from '../../store/alarm.ts';
import type { AlarmRule } from '../../store/alarm-rule.ts';
import type { Firing } from '../../store/firing.ts';
import type { Db } from '../../store/schema.ts';
import { type AlarmTurn, bodyOfAlarm, payloadOfAlarm } from '../alarm/body.ts';
import { wholeObservation } from '../alarm/observation.ts';
import { observe } from '../alarm/observe.ts';
import type { Outbox } from '../delivery/outbox.ts';
import { type EventWithBody, jsonBodyOf, type Origin, payloadOf } from '../event/event.ts';
import { newId } from '../id.ts';
import { receiversOf } from '../webhook/ready-webhook.ts';
import type { Known } from './known.ts';
import type { AlarmNews } from './tell.ts';

/** Holds a message against the rules of its type, and sends what became of alarms on the same way as the message. */
export async function raiseAlarms(
  tx: Db,
  outbox: Outbox,
  { event, payload, known }: { event: EventWithBody; payload: () => unknown; known: Known },
): Promise<AlarmNews[]> {
  const { device } = event.origin;
  if (event.kind !== 'message' || event.problem !== null || !device) return [];
  const news: AlarmNews[] = [];
  for (const rule of known.rules) {
    if (rule.typeId !== device.type_id || rule.messageType !== event.type || payload() === undefined)
      continue;
    for (const { turn, alarm, isTold } of await observe(tx, rule, { event, device, payload: payload() })) {
      news.push({ alarm, change: turn, isTold });
      if (!isTold) continue;
      const about = { alarm, at: event.at, origin: { ...event.origin, rule_id: rule.id } };
      if (turn === 'raised') await addRaised(tx, outbox, known, { ...about, rule, observation: payload() });
      else await addCleared(tx, outbox, known, { ...about, named: rule.webhookIds });
    }
  }
  return news;
}

type About = { alarm: Alarm; at: number; origin: Origin };

/** An alarm is told: to webhooks as an event of its own, and to the actions that it fires. */
export async function addRaised(
  tx: Db,
  outbox: Outbox,
  known: Known,
  { rule, observation, ...about }: About & { rule: AlarmRule; observation: unknown },
): Promise<void> {
  await addAlarm(tx, outbox, known, { ...about, turn: 'raised', named: rule.webhookIds });
  outbox.addFirings(
    rule.actionEventIds.map((eventId) => firingOf(about.alarm, about.at, eventId, observation)),
  );
}

/** Whoever was told that it began is told that it is over. */
export async function addCleared(
  tx: Db,
  outbox: Outbox,
  known: Known,
  about: About & { named: readonly string[] },
): Promise<void> {
  await addAlarm(tx, outbox, known, { ...about, turn: 'cleared' });
}

async function addAlarm(
  tx: Db,
  outbox: Outbox,
  known: Known,
  { turn, alarm, at, origin, named }: About & { turn: AlarmTurn; named: readonly string[] },
): Promise<void> {
  const body = bodyOfAlarm(turn, alarm, await observationOf(tx, outbox, alarm));
  const event: EventWithBody = {
    id: newId(at),
    projectId: alarm.projectId,
    kind: 'alarm',
    type: `alarm.${turn}`,
    label: null,
    deviceId: alarm.deviceId,
    origin,
    mediaType: 'application/json',
    body,
    bodyBytes: body.length,
    problem: null,
    at,
  };
  outbox.add(
    event,
    receiversOf(known.webhooks, event, () => payloadOf(event, body), named),
  );
}

/** What an alarm saw. The event may be of this very commit, and then it is not in the database yet. */
async function observationOf(tx: Db, outbox: Outbox, alarm: Alarm): Promise<Uint8Array> {
  const waiting = outbox.events.findLast(({ event }) => event.id === alarm.eventId);
  return waiting ? jsonBodyOf(waiting.event, waiting.event.body) : wholeObservation(tx, alarm);
}

function firingOf(alarm: Alarm, at: number, actionEventId: string, observation: unknown): Firing {
  return {
    id: newId(at),
    projectId: alarm.projectId,
    actionEventId,
    alarmId: alarm.id,
    // A large one is read from its event when the action is fired.
    payload: payloadOfAlarm('raised', alarm, alarm.observation === null ? undefined : observation),
  };
}
