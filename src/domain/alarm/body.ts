/** What an alarm tells webhooks and actions. */
import type { Alarm } from '../../store/alarm.ts';
import { instant } from '../input.ts';

/** What became of an alarm. */
export type AlarmTurn = 'raised' | 'cleared';

/** The alarm as it was at that turn: when it was raised it was active, whatever it is by now. */
export function payloadOfAlarm(turn: AlarmTurn, alarm: Alarm, observation: unknown) {
  const isOver = turn === 'cleared';
  return {
    type: `alarm.${turn}`,
    alarm_id: alarm.id,
    rule: { id: alarm.ruleId, name: alarm.ruleName },
    level: alarm.level,
    active: !isOver,
    device: alarm.device,
    message_type: alarm.messageType,
    observation,
    element: alarm.element,
    first_seen: instant(alarm.firstSeen),
    last_seen: instant(alarm.lastSeen),
    cleared_at: isOver ? instant(alarm.clearedAt) : null,
    cleared_reason: isOver ? alarm.clearedReason : null,
  };
}

/** The body of an alarm's webhook; the observation is put in byte for byte. */
export function bodyOfAlarm(turn: AlarmTurn, alarm: Alarm, whole: Uint8Array): Buffer {
  const {
    observation: _,
    element,
    first_seen,
    last_seen,
    cleared_at,
    cleared_reason,
    ...about
  } = payloadOfAlarm(turn, alarm, null);
  const head = `${JSON.stringify(about).slice(0, -1)},"observation":`;
  const rest = { element, first_seen, last_seen, cleared_at, cleared_reason };
  return Buffer.concat([Buffer.from(head), whole, Buffer.from(`,${JSON.stringify(rest).slice(1)}`)]);
}
