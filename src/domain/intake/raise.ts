/** Alarms of a message: what it raises and clears goes the same way as the message, in the same commit. */

import type { Alarm } from '../../store/alarm.ts';
import type { AlarmRule } from '../../store/alarm-rule.ts';
import type { Firing } from '../../store/firing.ts';
import type { Db } from '../../store/schema.ts';
import { type AlarmChange, bodyOfAlarm, observe, payloadOfAlarm } from '../alarm/alarm.ts';
import { wholeObservation } from '../alarm/observation.ts';
import type { Outbox } from '../delivery/outbox.ts';
import type { ReadyType } from '../device/device-type.ts';
import { type EventWithBody, payloadOf } from '../event/event.ts';
import { newId } from '../id.ts';
import { type ReadyWebhook, receiversOf } from '../webhook/ready-webhook.ts';

/** What events of a project are held against. */
export type Known = {
  webhooks: ReadonlyMap<string, ReadyWebhook>;
  rules: readonly AlarmRule[];
  types: ReadonlyMap<string, ReadyType>;
};

/** Holds a message against the rules of its type, and sends what became of alarms on the same way as the message. */
export async function raiseAlarms(
  tx: Db,
  outbox: Outbox,
  { event, payload, known }: { event: EventWithBody; payload: () => unknown; known: Known },
): Promise<void> {
  const { device } = event.origin;
  if (event.kind !== 'message' || event.problem !== null || !device) return;
  for (const rule of known.rules) {
    if (rule.typeId !== device.type_id || rule.messageType !== event.type || payload() === undefined)
      continue;
    for (const change of await observe(tx, rule, { event, device, payload: payload() })) {
      if (!change.isTold) continue;
      const body = bodyOfAlarm(change.alarm, await observationOf(tx, outbox, change.alarm));
      addAlarm(outbox, known, { ...change, body }, { origin: event.origin, named: rule.webhookIds });
      if (change.what === 'raised')
        outbox.addFirings(rule.actionEventIds.map((eventId) => firingOf(change.alarm, eventId, payload())));
    }
  }
}

/** What an alarm saw. The event may be of this very commit, and then it is not in the database yet. */
async function observationOf(tx: Db, outbox: Outbox, alarm: Alarm): Promise<Uint8Array> {
  const waiting = outbox.events.findLast(({ event }) => event.id === alarm.eventId);
  return waiting ? waiting.event.body : wholeObservation(tx, alarm);
}

/** An alarm that was raised or cleared, as an event of its own. */
function addAlarm(
  outbox: Outbox,
  known: Known,
  { what, alarm, body }: AlarmChange & { body: Buffer },
  { origin, named }: { origin: EventWithBody['origin']; named: readonly string[] },
): void {
  const at = what === 'raised' ? alarm.firstSeen : (alarm.clearedAt ?? alarm.lastSeen);
  const event: EventWithBody = {
    id: newId(at),
    projectId: alarm.projectId,
    kind: 'alarm',
    type: `alarm.${what}`,
    label: null,
    deviceId: alarm.deviceId,
    origin: { ...origin, rule_id: alarm.ruleId },
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

function firingOf(alarm: Alarm, actionEventId: string, observation: unknown): Firing {
  return {
    id: newId(alarm.firstSeen),
    projectId: alarm.projectId,
    actionEventId,
    alarmId: alarm.id,
    // A large one is read from its event when the action is fired.
    payload: payloadOfAlarm(alarm, alarm.observation === null ? undefined : observation),
  };
}
