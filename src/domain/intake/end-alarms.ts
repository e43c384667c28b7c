/**
 * Ends the alarms that no message can end any more, since their rule or device is gone or is another one now, and tells
 * whoever was told that they began. Each is ended in the commit that tells it, so that it is told once.
 */
import { endAlarm } from '../../store/alarm.ts';
import {
  type ActiveAlarm,
  type AlarmsToEnd,
  selectAlarmsToEnd,
  selectRulesWithAlarms,
} from '../../store/alarm-active.ts';
import { type AlarmRule, selectAnyAlarmRule } from '../../store/alarm-rule.ts';
import type { ClearedReason } from '../alarm/cleared-reason.ts';
import { originOfAlarm } from '../alarm/origin.ts';
import type { Context } from '../context.ts';
import type { Fact } from '../feed.ts';
import { type Known, knownOf } from './known.ts';
import { addCleared } from './raise.ts';
import { type AlarmNews, tell } from './tell.ts';

const alarmsPerCommit = 50;
/** All alarms are looked at so often: a change may have been made by another node. */
const lookEveryMs = 60_000;

export type AlarmEnds = {
  /** A listener of the feed: true when there is something to look at. */
  hear(fact: Fact): boolean;
  /** Ends what is to be ended; answers the milliseconds until it wants to look again. */
  look(): Promise<number>;
};

export function createAlarmEnds(ctx: Context): AlarmEnds {
  /** Devices that were changed since. */
  let devices = new Set<number>();
  let allAt = 0;

  return {
    hear(fact) {
      if (fact.kind !== 'change') return false;
      if (fact.change === 'alarm_rule.change' || fact.change === 'alarm_rule.delete') allAt = 0;
      else if (fact.change === 'device.change' || fact.change === 'device.delete')
        devices.add(Number(fact.subject));
      else return false;
      return true;
    },
    async look() {
      const now = ctx.now();
      const changed = devices;
      const isAll = allAt <= now || allAt > now + lookEveryMs;
      devices = new Set();
      if (isAll) allAt = now + lookEveryMs;
      try {
        for (const ruleId of await selectRulesWithAlarms(ctx.db)) {
          if (isAll) await endAlarmsOf(ctx, ruleId, {});
          else for (const deviceId of changed) await endAlarmsOf(ctx, ruleId, { deviceId });
        }
      } catch (error) {
        allAt = 0;
        throw error;
      }
      return Math.max(0, allAt - ctx.now());
    },
  };
}

async function endAlarmsOf(ctx: Context, ruleId: string, which: AlarmsToEnd): Promise<void> {
  const rule = await selectAnyAlarmRule(ctx.db, ruleId);
  const unless = rule?.enabled && rule.clearWhen !== null ? rule : undefined;
  for (;;) {
    const alarms = await selectAlarmsToEnd(ctx.db, ruleId, { ...which, unless }, alarmsPerCommit);
    // All of one rule, and so of one project.
    const [first] = alarms;
    if (first) await end(ctx, first.projectId, rule, alarms);
    if (alarms.length < alarmsPerCommit) return;
  }
}

async function end(
  ctx: Context,
  projectId: number,
  rule: AlarmRule | undefined,
  alarms: readonly ActiveAlarm[],
): Promise<void> {
  const known = await knownOf(ctx, projectId);
  const ending = await Promise.all(
    alarms.map(async (alarm) => ({ ...alarm, origin: await originOfAlarm(ctx, alarm) })),
  );
  await tell(ctx, async (tx, outbox) => {
    const now = ctx.now();
    const news: AlarmNews[] = [];
    for (const { origin, ...before } of ending) {
      const clearedReason = reasonOf(known, rule, before);
      const alarm = await endAlarm(tx, before.id, { clearedAt: now, clearedBy: null, clearedReason });
      if (!alarm) continue;
      news.push({ alarm, change: 'cleared', isTold: alarm.notified });
      const named = rule?.webhookIds ?? alarm.webhookIds ?? [];
      if (alarm.notified) await addCleared(tx, outbox, known, { alarm, at: now, origin, named });
    }
    return news;
  });
}

function reasonOf(
  { types }: Known,
  rule: AlarmRule | undefined,
  { device, hasDevice, deviceTypeId, messageType }: ActiveAlarm,
): ClearedReason {
  if (!rule) return 'rule_deleted';
  if (!hasDevice) return 'device_deleted';
  if (!rule.enabled) return 'rule_disabled';
  if (rule.clearWhen === null || rule.messageType !== messageType) return 'rule_changed';
  // One of the two is of another type now: it is the rule where the device is what it was.
  const typeNow = types.get(deviceTypeId ?? '')?.name ?? null;
  return typeNow === device.type ? 'rule_changed' : 'device_changed';
}
