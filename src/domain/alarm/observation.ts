/** The message that raised an alarm: kept with it while it is small, and in its event otherwise. */
import type { Alarm } from '../../store/alarm.ts';
import { isLarge, selectEvent } from '../../store/event.ts';
import type { Db } from '../../store/schema.ts';
import { wholeBodyOf } from '../event/body.ts';
import { type EventWithBody, jsonBodyOf } from '../event/event.ts';
import { parseJsonExactly } from '../json.ts';

/** What an alarm keeps of the message that raises it. */
export function keptOf(event: EventWithBody): Pick<Alarm, 'eventId' | 'observation'> {
  const json = isLarge(event) ? null : Buffer.from(jsonBodyOf(event, event.body)).toString('utf8');
  return { eventId: event.id, observation: json };
}

/** What the alarm itself knows: the message, or in place of a large one the event to read it from. */
export function shortObservation({ observation, eventId }: Alarm): unknown {
  return observation === null ? { event_id: eventId } : parseJsonExactly(observation);
}

/**
 * The whole message as JSON, as it came where it is that; in place of a large one whose event is gone, what the alarm
 * knows.
 */
export async function wholeObservation(db: Db, alarm: Alarm): Promise<Uint8Array> {
  const { projectId, eventId, observation } = alarm;
  if (observation !== null) return Buffer.from(observation);
  const event = eventId === null ? undefined : await selectEvent(db, projectId, eventId);
  return event
    ? jsonBodyOf(event, await wholeBodyOf(db, event))
    : Buffer.from(JSON.stringify(shortObservation(alarm)));
}
