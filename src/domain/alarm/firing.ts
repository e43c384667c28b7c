/** The loop closes: an alarm fires actions. What is to be fired is written down with the alarm, and fired once. */

import { selectAlarm } from '../../store/alarm.ts';
import { isAway } from '../../store/dialect.ts';
import { deleteFiring, type Firing, selectFirings } from '../../store/firing.ts';
import type { Db } from '../../store/schema.ts';
import type { Context } from '../context.ts';
import { Fault } from '../fault.ts';
import { parseJsonExactly } from '../json.ts';
import type { TriggerCaller, TriggerRequest } from '../trigger/call.ts';
import { fireTrigger } from '../trigger/trigger.ts';
import { recordRefusal } from '../trigger/trigger-log.ts';
import { shortObservation, wholeObservation } from './observation.ts';

const firingsPerRound = 100;
const againMs = 1_000;

/**
 * Fires what waits, oldest first; answers how many milliseconds until the next round. The firing's id makes the call
 * idempotent: killed between firing and forgetting, it is not fired twice. One that cannot be stored at the moment
 * stays, and those behind it have their turn.
 */
export async function fireAlarms(ctx: Context): Promise<number> {
  let stays = false;
  for (let after = ''; ; ) {
    const waiting = await selectFirings(ctx.db, after, firingsPerRound);
    for (const firing of waiting) {
      if (await fire(ctx, firing)) await deleteFiring(ctx.db, firing.id);
      else stays = true;
    }
    if (waiting.length < firingsPerRound) return stays ? againMs : Number.POSITIVE_INFINITY;
    after = waiting.at(-1)?.id ?? after;
  }
}

/** False when it has to wait. Throws only while the database is away. */
async function fire(ctx: Context, firing: Firing): Promise<boolean> {
  const caller: TriggerCaller = {
    projectId: firing.projectId,
    eventIds: null,
    keyId: null,
    linkId: null,
    address: null,
    userAgent: null,
  };
  const request: TriggerRequest = {
    source: 'alarm',
    call: { eventId: firing.actionEventId, sensorData: null, payload: firing.payload, query: {} },
    idempotency: { key: firing.id, callHash: firing.alarmId },
    dryRun: false,
    waitMs: 0,
    quorum: 100,
    signalOf: () => ctx.process.stopping,
  };
  try {
    await fireTrigger(ctx, caller, await withObservation(ctx.db, firing, request));
  } catch (error) {
    if (isAway(error)) throw error;
    // An action that is gone or refuses is in the trigger log already.
    if (error instanceof Fault) return error.code !== 'unavailable';
    // Whatever it is, it would be the same the next time.
    const { id, actionEventId: action, alarmId: alarm } = firing;
    ctx.log.error({ err: error, firing: id, action, alarm }, 'an action of an alarm could not be fired');
    await recordRefusal(ctx, caller, request, error);
  }
  return true;
}

/** With the alarm's observation where the firing has none because it is large; the trigger log names its event. */
async function withObservation(
  db: Db,
  { projectId, alarmId, payload }: Firing,
  request: TriggerRequest,
): Promise<TriggerRequest> {
  const alarm = 'observation' in payload ? undefined : await selectAlarm(db, projectId, alarmId);
  if (!alarm) return request;
  const observation = parseJsonExactly(Buffer.from(await wholeObservation(db, alarm)).toString('utf8'));
  return {
    ...request,
    call: { ...request.call, payload: { ...payload, observation } },
    loggedPayload: { ...payload, observation: shortObservation(alarm) },
  };
}
