/**
 * Webhooks and alarm rules all of whose named things were deleted: they are marked and told, since nothing comes of them
 * any more and nobody would notice. Each is told in the commit that marks it, so that it is told once.
 */
import { selectActionsNamed } from '../../store/action.ts';
import { type AlarmRule, selectProjectAlarmRules, updateAlarmRuleProblem } from '../../store/alarm-rule.ts';
import { selectDeviceNames } from '../../store/device.ts';
import { selectAllDeviceTypes } from '../../store/device-type.ts';
import { selectGroupIds } from '../../store/group.ts';
import { selectProjectIds } from '../../store/project.ts';
import type { Db } from '../../store/schema.ts';
import { selectProjectWebhooks, updateWebhookProblem, type Webhook } from '../../store/webhook.ts';
import { problemOfRule } from '../alarm/alarm-rule.ts';
import type { Context } from '../context.ts';
import type { Fact } from '../feed.ts';
import { type Named, problemOfFilter } from '../webhook/missing.ts';
import { knownOf } from './known.ts';
import { addServerEvent } from './server-event.ts';
import { tell } from './tell.ts';

/** What they name, of which some may come again under the same name, and they themselves. */
const concerned =
  /^(?:(?:device|group)\.delete|(?:device_type|action)\.(?:create|delete)|(?:webhook|alarm_rule)\.(?:create|change|delete))$/;

export type Orphans = {
  /** A listener of the feed: true when there is something to look at. */
  hear(fact: Fact): boolean;
  /** Marks what is to be marked. */
  look(): Promise<number>;
};

export function createOrphans(ctx: Context): Orphans {
  /** Projects in which something was changed since; null when all are to be looked at. */
  let changed: Set<number> | null = null;
  return {
    hear(fact) {
      if (fact.kind !== 'change' || !concerned.test(fact.change)) return false;
      changed?.add(fact.projectId);
      return true;
    },
    async look() {
      const projects = changed ?? (await selectProjectIds(ctx.db));
      changed = new Set();
      try {
        for (const projectId of projects) await lookAt(ctx, projectId);
      } catch (error) {
        changed = null;
        throw error;
      }
      return Number.POSITIVE_INFINITY;
    },
  };
}

async function lookAt(ctx: Context, projectId: number): Promise<void> {
  const webhooks = await selectProjectWebhooks(ctx.db, projectId);
  const rules = await selectProjectAlarmRules(ctx.db, projectId);
  const there = await namedOf(ctx.db, projectId, webhooks, rules);
  for (const { id, name, filter, problem: before } of webhooks) {
    const problem = problemOfFilter(filter, there);
    const write = (tx: Db) => updateWebhookProblem(tx, id, { before, problem });
    await mark(ctx, { kind: 'webhook', projectId, id, name, before, problem, write });
  }
  const receivers = new Set(webhooks.map(({ id }) => id));
  for (const { id, name, problem: before, ...rule } of rules) {
    const problem = problemOfRule(rule, { webhooks: receivers, actions: there.actions });
    const write = (tx: Db) => updateAlarmRuleProblem(tx, id, { before, problem });
    await mark(ctx, { kind: 'alarm_rule', projectId, id, name, before, problem, write });
  }
}

async function namedOf(
  db: Db,
  projectId: number,
  webhooks: readonly Webhook[],
  rules: readonly AlarmRule[],
): Promise<Named & { actions: ReadonlySet<string> }> {
  const devices = webhooks.flatMap(({ filter }) => filter.devices ?? []);
  const groups = webhooks.flatMap(({ filter }) => filter.groups ?? []);
  const actions = rules.flatMap(({ actionEventIds }) => actionEventIds);
  const types = await selectAllDeviceTypes(db, projectId);
  return {
    devices: new Set((await selectDeviceNames(db, projectId, devices)).keys()),
    groups: await selectGroupIds(db, projectId, groups),
    device_types: new Set(types.map(({ id }) => id)),
    alarm_rules: new Set(rules.map(({ id }) => id)),
    actions: await selectActionsNamed(db, projectId, actions),
  };
}

type Mark = {
  kind: 'webhook' | 'alarm_rule';
  projectId: number;
  id: string;
  name: string;
  before: string | null;
  problem: string | null;
  /** False when another node has done so. */
  write(tx: Db): Promise<boolean>;
};

async function mark(
  ctx: Context,
  { kind, projectId, id, name, before, problem, write }: Mark,
): Promise<void> {
  if (problem === before) return;
  const known = await knownOf(ctx, projectId);
  let isMarked = false;
  await tell(ctx, async (tx, outbox) => {
    isMarked = await write(tx);
    if (!isMarked || before !== null || problem === null) return [];
    const data = kind === 'webhook' ? { webhook_id: id, name, problem } : { rule_id: id, name, problem };
    addServerEvent(ctx, outbox, known, { type: `${kind}.orphaned`, projectId, origin: {}, data });
    return [];
  });
  if (isMarked && before === null && problem !== null)
    ctx.feed.publish({ kind: 'orphaned', projectId, what: kind, id, problem });
}
