/**
 * Alarms that were raised while their rule cooled down: those that are still active when that is over are told then, by
 * the clock. Each is claimed in the commit that tells it, so that it is told once, whichever node comes to it.
 */
import { claimQuietAlarm } from '../../store/alarm.ts';
import { type QuietAlarm, selectQuietAlarms, selectQuietEnd } from '../../store/alarm-active.ts';
import { isAway } from '../../store/dialect.ts';
import { originOfAlarm } from '../alarm/origin.ts';
import type { Context } from '../context.ts';
import type { Fact } from '../feed.ts';
import { parseJsonExactly } from '../json.ts';
import { knownOf } from './known.ts';
import { addRaised } from './raise.ts';
import { tell } from './tell.ts';

const alarmsPerRound = 100;
/** Nobody tells this node of alarms that others have left behind, or that its clock was set. */
const lookEveryMs = 5_000;

/** Whether the time of the next may be another one now. */
export function isOfQuietAlarms(fact: Fact): boolean {
  if (fact.kind === 'alarm') return fact.isActive && !fact.isTold;
  return fact.kind === 'change' && fact.change === 'alarm_rule.change';
}

/** Tells what is due; answers the milliseconds until the next is. */
export async function tellQuietAlarms(ctx: Context): Promise<number> {
  const looked = ctx.now();
  for (let after = ''; ; ) {
    const due = await selectQuietAlarms(ctx.db, looked, after, alarmsPerRound);
    for (const alarm of due) {
      try {
        await tellAlarm(ctx, alarm);
      } catch (error) {
        if (isAway(error)) throw error;
        // The others are told all the same, and this one is tried again.
        ctx.log.error({ err: error, alarm: alarm.id }, 'an alarm could not be told after its cooldown');
      }
    }
    if (due.length < alarmsPerRound) break;
    after = due.at(-1)?.id ?? after;
  }
  const end = await selectQuietEnd(ctx.db);
  // What was due and is still there could not be told; what has become due since waits for nothing.
  return end === null || end <= looked ? lookEveryMs : Math.min(Math.max(0, end - ctx.now()), lookEveryMs);
}

async function tellAlarm(ctx: Context, { id, projectId, ruleId, ...rest }: QuietAlarm): Promise<void> {
  const known = await knownOf(ctx, projectId);
  const rule = known.rules.find((each) => each.id === ruleId);
  // Then the alarm is about to end.
  if (!rule) return;
  const origin = await originOfAlarm(ctx, { projectId, ruleId, ...rest });
  await tell(ctx, async (tx, outbox) => {
    const now = ctx.now();
    const alarm = await claimQuietAlarm(tx, id, { now, quietUntil: now + rule.cooldownSeconds * 1_000 });
    if (!alarm) return [];
    const observation = alarm.observation === null ? undefined : parseJsonExactly(alarm.observation);
    await addRaised(tx, outbox, known, { alarm, at: now, origin, rule, observation });
    return [{ alarm, change: 'told', isTold: true }];
  });
}
