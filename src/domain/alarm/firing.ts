/** The loop closes: an alarm fires actions. What is to be fired is written down with the alarm, and fired once. */

import { fromJson } from '../../store/columns.ts';
import { deleteFiring, listFirings } from '../../store/firing.ts';
import type { Row } from '../../store/schema.ts';
import type { Context } from '../context.ts';
import { Fault } from '../fault.ts';
import type { TriggerCaller, TriggerRequest } from '../trigger/call.ts';
import { fireTrigger } from '../trigger/trigger.ts';

const firingsPerRound = 100;

/**
 * Fires what waits, oldest first; answers how many milliseconds until the next round. The firing's id makes the call
 * idempotent: killed between firing and forgetting, it is not fired twice.
 */
export async function fireAlarms(ctx: Context): Promise<number> {
  for (;;) {
    const waiting = await listFirings(ctx.db, firingsPerRound);
    for (const firing of waiting) await fire(ctx, firing);
    if (waiting.length < firingsPerRound) return Number.POSITIVE_INFINITY;
  }
}

async function fire(ctx: Context, firing: Row<'firings'>): Promise<void> {
  const caller: TriggerCaller = {
    projectId: firing.project_id,
    eventIds: null,
    keyId: null,
    linkId: null,
    address: null,
    userAgent: null,
  };
  const request: TriggerRequest = {
    source: 'alarm',
    call: { eventId: firing.event_id, sensorData: null, payload: fromJson(firing.payload_json), query: {} },
    idempotency: { key: firing.id, callHash: firing.alarm_id },
    dryRun: false,
    waitMs: 0,
    quorum: 100,
    signalOf: () => ctx.process.stopping,
  };
  try {
    await fireTrigger(ctx, caller, request);
  } catch (error) {
    // Without the database it waits; an action that is gone or refuses is in the trigger log.
    if (!(error instanceof Fault) || error.code === 'unavailable') throw error;
  }
  await deleteFiring(ctx.db, firing.id);
}
