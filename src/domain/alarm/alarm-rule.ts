/** An alarm rule is a condition on the messages of a device type, and who is told when it holds. */
import { isDeepStrictEqual } from 'node:util';
import { z } from 'zod';
import { selectAction } from '../../store/action.ts';
import { updateAlarmWebhooks, updateQuietUntil } from '../../store/alarm.ts';
import {
  type AlarmRule,
  countAlarmRules,
  deleteAlarmRule,
  insertAlarmRule,
  selectAlarmRule,
  selectAlarmRules,
  selectAlarmRulesInUse,
  updateAlarmRule,
} from '../../store/alarm-rule.ts';
import { pageQuery } from '../../store/page.ts';
import type { Db } from '../../store/schema.ts';
import { selectWebhook } from '../../store/webhook.ts';
import { holdInventory, makeChange } from '../access/audit.ts';
import type { Caller } from '../access/caller.ts';
import { conditionSchema } from '../condition.ts';
import type { Context } from '../context.ts';
import { nameOfType, type ReadyType, readyTypes, requireTypeIds } from '../device/device-type.ts';
import { Fault } from '../fault.ts';
import { newId } from '../id.ts';
import { eventIdSchema, instant, nameSchema, pageSchema, parseInput } from '../input.ts';
import { alarmLevels } from './level.ts';

const rulesPerProjectMax = 1_000;
const attachedMax = 50;
const cooldownSecondsMax = 7 * 24 * 60 * 60;

const unique = (names: string[]) => [...new Set(names)];

const ruleSchema = z.strictObject({
  name: nameSchema,
  level: z.enum(alarmLevels),
  /** By id or name. */
  device_type: nameSchema,
  message_type: nameSchema,
  when: conditionSchema,
  clear_when: conditionSchema.nullish(),
  webhooks: z.array(z.string().max(36)).max(attachedMax).transform(unique).default([]),
  /** By event_id. */
  actions: z.array(eventIdSchema).max(attachedMax).transform(unique).default([]),
  /** Seconds. */
  cooldown: z.int().min(0).max(cooldownSecondsMax).default(0),
  enabled: z.boolean().default(true),
});
const changeSchema = z.strictObject({
  name: nameSchema.optional(),
  level: z.enum(alarmLevels).optional(),
  device_type: nameSchema.optional(),
  message_type: nameSchema.optional(),
  when: conditionSchema.optional(),
  clear_when: conditionSchema.nullish(),
  webhooks: ruleSchema.shape.webhooks.removeDefault().optional(),
  actions: ruleSchema.shape.actions.removeDefault().optional(),
  cooldown: ruleSchema.shape.cooldown.removeDefault().optional(),
  enabled: z.boolean().optional(),
});

/** The rules of a project that are switched on; kept in the cache. */
export async function readyRules(
  ctx: Pick<Context, 'db' | 'cache'>,
  projectId: number,
): Promise<readonly AlarmRule[]> {
  return ctx.cache.get(`alarm rules ${projectId}`, () => selectAlarmRulesInUse(ctx.db, projectId));
}

function viewRule(rule: AlarmRule, types: ReadonlyMap<string, ReadyType>) {
  return {
    id: rule.id,
    name: rule.name,
    level: rule.level,
    device_type: nameOfType(types, rule.typeId),
    message_type: rule.messageType,
    when: rule.when,
    clear_when: rule.clearWhen,
    webhooks: rule.webhookIds,
    actions: rule.actionEventIds,
    cooldown: rule.cooldownSeconds,
    enabled: rule.enabled,
    problem: rule.problem,
    created_at: instant(rule.createdAt),
    updated_at: instant(rule.updatedAt),
  };
}

/** Throws `unknown_target` for a webhook, and `unknown_event` for an action, that is not there. */
async function requireAttached(
  db: Db,
  projectId: number,
  given: { webhooks?: readonly string[] | undefined; actions?: readonly string[] | undefined },
): Promise<void> {
  for (const id of given.webhooks ?? []) {
    if (!(await selectWebhook(db, projectId, id)))
      throw new Fault('unknown_target', `there is no webhook ${id}`);
  }
  for (const eventId of given.actions ?? []) {
    if (!(await selectAction(db, projectId, eventId)))
      throw new Fault('unknown_event', `no action has the event_id "${eventId}"`);
  }
}

export async function createAlarmRule(
  ctx: Pick<Context, 'db' | 'now' | 'cache' | 'feed'>,
  caller: Caller,
  input: unknown,
) {
  const given = parseInput(ruleSchema, input);
  const { projectId } = caller;
  const now = ctx.now();
  const rule = await makeChange(ctx, caller, async (tx, note) => {
    await holdInventory(tx, caller);
    if ((await countAlarmRules(tx, projectId)) >= rulesPerProjectMax)
      throw new Fault('conflict', `a project has ${rulesPerProjectMax} alarm rules at most`);
    await requireAttached(tx, projectId, given);
    const made: AlarmRule = {
      id: newId(now),
      projectId,
      name: given.name,
      level: given.level,
      typeId: await requireTypeId(tx, projectId, given.device_type),
      messageType: given.message_type,
      when: given.when,
      clearWhen: given.clear_when ?? null,
      webhookIds: given.webhooks,
      actionEventIds: given.actions,
      cooldownSeconds: given.cooldown,
      enabled: given.enabled,
      problem: null,
      createdAt: now,
      updatedAt: now,
    };
    await insertAlarmRule(tx, made);
    await note('alarm_rule.create', { kind: 'alarm_rule', id: made.id }, { name: made.name });
    return made;
  });
  return viewRule(rule, await readyTypes(ctx, projectId));
}

export async function listAlarmRules(ctx: Pick<Context, 'db' | 'cache'>, caller: Caller, input: unknown) {
  const page = await selectAlarmRules(ctx.db, caller.projectId, pageQuery(parseInput(pageSchema, input)));
  const types = await readyTypes(ctx, caller.projectId);
  return { ...page, items: page.items.map((rule) => viewRule(rule, types)) };
}

export async function getAlarmRule(ctx: Pick<Context, 'db' | 'cache'>, caller: Caller, id: string) {
  return viewRule(await requireAlarmRule(ctx.db, caller, id), await readyTypes(ctx, caller.projectId));
}

export async function changeAlarmRule(
  ctx: Pick<Context, 'db' | 'now' | 'cache' | 'feed'>,
  caller: Caller,
  id: string,
  input: unknown,
) {
  const given = parseInput(changeSchema, input);
  const { projectId } = caller;
  await makeChange(ctx, caller, async (tx, note) => {
    const rule = await requireAlarmRule(tx, caller, id);
    // What it has named before may be gone by now, and does no harm.
    await requireAttached(tx, projectId, {
      webhooks: given.webhooks?.filter((webhook) => !rule.webhookIds.includes(webhook)),
      actions: given.actions?.filter((action) => !rule.actionEventIds.includes(action)),
    });
    if (given.device_type !== undefined) await holdInventory(tx, caller);
    await updateAlarmRule(tx, id, {
      name: given.name,
      level: given.level,
      typeId: given.device_type && (await requireTypeId(tx, projectId, given.device_type)),
      messageType: given.message_type,
      when: given.when,
      clearWhen: given.clear_when,
      webhookIds: given.webhooks,
      actionEventIds: given.actions,
      cooldownSeconds: given.cooldown,
      enabled: given.enabled,
      problem: namesOthers(rule, given) ? null : undefined,
      updatedAt: ctx.now(),
    });
    if (given.cooldown !== undefined) await updateQuietUntil(tx, id, ctx.now() + given.cooldown * 1_000);
    await note('alarm_rule.change', { kind: 'alarm_rule', id }, { changed: Object.keys(given) });
  });
  return getAlarmRule(ctx, caller, id);
}

async function requireTypeId(db: Db, projectId: number, name: string): Promise<string> {
  return (await requireTypeIds(db, projectId, [name])).get(name) ?? name;
}

/** Deletes a rule. Its alarms end after it, and those it told are told. */
export async function removeAlarmRule(
  ctx: Pick<Context, 'db' | 'now' | 'cache' | 'feed'>,
  caller: Caller,
  id: string,
): Promise<void> {
  await makeChange(ctx, caller, async (tx, note) => {
    const { name, webhookIds } = await requireAlarmRule(tx, caller, id);
    await deleteAlarmRule(tx, id);
    await updateAlarmWebhooks(tx, id, webhookIds);
    await note('alarm_rule.delete', { kind: 'alarm_rule', id }, { name });
  });
}

async function requireAlarmRule(db: Db, caller: Caller, id: string): Promise<AlarmRule> {
  const rule = await selectAlarmRule(db, caller.projectId, id);
  if (!rule) throw new Fault('not_found', 'there is no such alarm rule');
  return rule;
}

function namesOthers(
  { webhookIds, actionEventIds }: AlarmRule,
  { webhooks = webhookIds, actions = actionEventIds }: z.output<typeof changeSchema>,
): boolean {
  return !isDeepStrictEqual([webhookIds, actionEventIds], [webhooks, actions]);
}

/** Why nobody is told of a rule's alarms any more; null while one thing is left of every list. */
export function problemOfRule(
  { webhookIds, actionEventIds }: Pick<AlarmRule, 'webhookIds' | 'actionEventIds'>,
  there: { webhooks: ReadonlySet<string>; actions: ReadonlySet<string> },
): string | null {
  const isGone = (named: readonly string[], left: ReadonlySet<string>) =>
    named.length > 0 && !named.some((name) => left.has(name));
  const gone = [
    ...(isGone(webhookIds, there.webhooks) ? ['webhook'] : []),
    ...(isGone(actionEventIds, there.actions) ? ['action'] : []),
  ];
  return gone.length === 0 ? null : gone.map((what) => `every ${what} that it names was deleted`).join('; ');
}

/** Throws `unknown_target` unless every rule is there and the project's. */
export async function requireAlarmRules(db: Db, projectId: number, ids: readonly string[]): Promise<void> {
  for (const id of ids) {
    if (!(await selectAlarmRule(db, projectId, id)))
      throw new Fault('unknown_target', `there is no alarm rule ${id}`);
  }
}
