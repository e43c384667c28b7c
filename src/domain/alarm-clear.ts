/** A person ends an alarm, and whoever was told that it began is told. */
import { findDevice } from '../store/device.ts';
import { endAlarm, getAlarm } from './alarm.ts';
import { tellCleared } from './arrival.ts';
import type { Caller } from './caller.ts';
import type { Context } from './context.ts';
import { originOf, senderOf } from './publish.ts';

/** Clearing an alarm that is over changes nothing but its note. */
export async function clearAlarm(ctx: Context, caller: Caller, id: string, input: unknown) {
  const { row, wasActive } = await endAlarm(ctx, caller, id, input);
  if (wasActive && row.notified === 1) {
    const isThere = await findDevice(ctx.db, caller.projectId, row.device_id);
    const sender = isThere ? await senderOf(ctx, caller, row.device_id) : null;
    await tellCleared(
      ctx,
      row,
      sender ? await originOf(ctx, { ...sender, address: null, key: undefined }) : {},
    );
  }
  return getAlarm(ctx, caller, id);
}
