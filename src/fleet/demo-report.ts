/** One line for each trigger while it happens: who was targeted, who applied, in how many milliseconds. */
import type { Caller } from '../domain/access/caller.ts';
import type { Context } from '../domain/context.ts';
import { getGroup } from '../domain/device/group.ts';
import type { Target } from '../domain/device/target.ts';
import type { Fact } from '../domain/feed.ts';
import { waitForTrigger } from '../domain/trigger/trigger.ts';
import { getTrigger } from '../domain/trigger/trigger-log.ts';

const waitMsMax = 5_000;
const missingNamed = 3;

/** A listener of the feed that says a line when a trigger has been applied, or when it had its time. */
export function createReporter(
  ctx: Context,
  caller: Caller,
  say: (line: string) => void,
  signal: AbortSignal,
): (fact: Fact) => void {
  const report = async (triggerId: string) => {
    await waitForTrigger(ctx, caller.projectId, triggerId, { waitMs: waitMsMax, quorum: 100, signal });
    const trigger = await getTrigger(ctx, caller, triggerId);
    const start = Date.parse(trigger.created_at);
    for (const { function: name, target, coverage, devices } of trigger.commands) {
      const applied = devices.filter((device) => device.status === 'applied');
      const last = Math.max(start, ...applied.map((device) => Date.parse(device.at ?? '')));
      const missing = devices.filter((device) => device.status !== 'applied').map((device) => device.name);
      const others = missing.length > missingNamed ? ` and ${missing.length - missingNamed} more` : '';
      const lacking = missing.length > 0 ? `; not ${missing.slice(0, missingNamed).join(', ')}${others}` : '';
      say(
        `${trigger.created_at.slice(11, 19)}  ${trigger.event_id} (${trigger.source})  ${name} -> ` +
          `${await describeTarget(ctx, caller, target)}: ${coverage.applied} of ${coverage.targeted} applied ` +
          `in ${last - start} ms${lacking}`,
      );
    }
  };
  return (fact) => {
    if (fact.kind === 'trigger')
      report(fact.triggerId).catch((error) => say(`a report failed: ${String(error)}`));
    else if (fact.kind === 'trigger-refused') say(`          ${fact.actionEventId}  refused: ${fact.code}`);
  };
}

async function describeTarget(ctx: Context, caller: Caller, target: Target): Promise<string> {
  if ('all' in target) return 'all devices';
  if ('devices' in target)
    return target.devices.length === 1 ? 'one device' : `${target.devices.length} devices`;
  if ('tags' in target) return `tagged ${target.tags.join(target.match === 'all' ? ' and ' : ' or ')}`;
  const groups = await Promise.all(target.groups.map((id) => getGroup(ctx, caller, id)));
  return groups.map((group) => group.name).join(', ');
}
