/** Whom an alarm is about, for those who are told of it later than with its message. */
import type { Alarm } from '../../store/alarm.ts';
import { selectDevice } from '../../store/device.ts';
import { selectEvent } from '../../store/event.ts';
import type { Context } from '../context.ts';
import { factsOf } from '../device/presence.ts';
import type { Origin } from '../event/event.ts';
import { originOf } from '../event/origin.ts';

/** The device as it is now; of one that is gone, what is known of it still, so that filters find it. */
export async function originOfAlarm(
  ctx: Pick<Context, 'db' | 'cache'>,
  {
    projectId,
    ruleId,
    deviceId,
    eventId,
    device: then,
  }: Pick<Alarm, 'projectId' | 'ruleId' | 'deviceId' | 'eventId' | 'device'>,
): Promise<Origin> {
  const device = await selectDevice(ctx.db, projectId, deviceId);
  if (device)
    return { ...(await originOf(ctx, { device: factsOf(device), address: null })), rule_id: ruleId };
  const event = eventId === null ? undefined : await selectEvent(ctx.db, projectId, eventId);
  const asItWas = event?.origin.device ?? {
    ...then,
    class: null,
    type_id: null,
    group_path: then.group_id === null ? [] : [then.group_id],
    tags: [],
    ip: null,
  };
  return { device: asItWas, rule_id: ruleId };
}
