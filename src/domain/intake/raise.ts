/** Alarms of a message: what it raises and clears goes the same way as the message, in the same commit. */
import type { Db, NewRow, Row } from '../../store/schema.ts';
import { type AlarmChange, alarmJson, observe } from '../alarm/alarm.ts';
import type { ReadyRule } from '../alarm/alarm-rule.ts';
import type { EventWithBody, Outbox } from '../delivery/outbox.ts';
import type { ReadyType } from '../device/device-type.ts';
import { payloadOf } from '../event/event.ts';
import { newId } from '../id.ts';
import { type ReadyWebhook, receiversOf } from '../webhook/ready-webhook.ts';

/** What events of a project are held against. */
export type Known = {
  webhooks: ReadonlyMap<string, ReadyWebhook>;
  rules: readonly ReadyRule[];
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
    const json = Buffer.from(event.body).toString('utf8');
    for (const change of await observe(tx, rule, { device, payload: payload(), json, at: event.at })) {
      if (!change.isTold) continue;
      addAlarm(outbox, known, change, event.origin, rule.webhookIds);
      if (change.what === 'raised')
        outbox.addFirings(rule.actionEventIds.map((eventId) => firingOf(change.alarm, eventId)));
    }
  }
}

/** An alarm that was raised or cleared, as an event of its own. */
function addAlarm(
  outbox: Outbox,
  known: Known,
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
  outbox.add(
    event,
    receiversOf(known.webhooks, event, () => payloadOf(event, body), named),
  );
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
