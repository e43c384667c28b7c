/** An alarm rule is a condition on the messages of a device type, and who is told when it holds. */
import { z } from 'zod';
import { findAction } from '../../store/action.ts';
import {
  countAlarmRules,
  deleteAlarmRule as deleteAlarmRuleRow,
  insertAlarmRule,
  listRulesInUse,
  updateAlarmRule,
} from '../../store/alarm-rule.ts';
import { fromJson, toJson } from '../../store/columns.ts';
import { findOwned, listOwned } from '../../store/owned.ts';
import { pageQuery } from '../../store/page.ts';
import type { Db, Row } from '../../store/schema.ts';
import { holdInventory, makeChange } from '../access/audit.ts';
import type { Caller } from '../access/caller.ts';
import { type Condition, conditionSchema } from '../condition.ts';
import type { Context } from '../context.ts';
import { type ReadyType, readyTypes, requireTypeIds } from '../device/device-type.ts';
import { Fault } from '../fault.ts';
import { newId } from '../id.ts';
import { eventIdSchema, instant, nameSchema, pageSchema, parseInput } from '../input.ts';

export const alarmLevels = ['emergency', 'critical', 'alert', 'warning', 'info'] as const;
export type AlarmLevel = (typeof alarmLevels)[number];

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

/** A rule ready to be held against messages. */
export type ReadyRule = {
  id: string;
  projectId: number;
  name: string;
  level: AlarmLevel;
  typeId: string;
  messageType: string;
  when: Condition;
  clearWhen: Condition | null;
  webhookIds: readonly string[];
  actionEventIds: readonly string[];
  cooldownMs: number;
};

/** The rules of a project that are switched on; kept in the cache. */
export async function readyRules(
  ctx: Pick<Context, 'db' | 'cache'>,
  projectId: number,
): Promise<readonly ReadyRule[]> {
  return ctx.cache.get(`alarm rules ${projectId}`, async () =>
    (await listRulesInUse(ctx.db, projectId)).map((row) => ({
      id: row.id,
      projectId: row.project_id,
      name: row.name,
      level: row.level as AlarmLevel,
      typeId: row.type_id,
      messageType: row.message_type,
      when: fromJson<Condition>(row.when_json),
      clearWhen: row.clear_when_json === null ? null : fromJson<Condition>(row.clear_when_json),
      webhookIds: fromJson<string[]>(row.webhooks_json),
      actionEventIds: fromJson<string[]>(row.actions_json),
      cooldownMs: row.cooldown_seconds * 1_000,
    })),
  );
}

function viewRule(row: Row<'alarm_rules'>, types: ReadonlyMap<string, ReadyType>) {
  return {
    id: row.id,
    name: row.name,
    level: row.level as AlarmLevel,
    device_type: types.get(row.type_id)?.class ?? row.type_id,
    message_type: row.message_type,
    when: fromJson<Condition>(row.when_json),
    clear_when: row.clear_when_json === null ? null : fromJson<Condition>(row.clear_when_json),
    webhooks: fromJson<string[]>(row.webhooks_json),
    actions: fromJson<string[]>(row.actions_json),
    cooldown: row.cooldown_seconds,
    enabled: row.enabled === 1,
    created_at: instant(row.created_at),
    updated_at: instant(row.updated_at),
  };
}

/** Throws `unknown_target` for a webhook, and `unknown_event` for an action, that is not there. */
async function requireAttached(
  db: Db,
  projectId: number,
  given: { webhooks?: readonly string[] | undefined; actions?: readonly string[] | undefined },
): Promise<void> {
  for (const id of given.webhooks ?? []) {
    if (!(await findOwned(db, 'webhooks', projectId, id)))
      throw new Fault('unknown_target', `there is no webhook ${id}`);
  }
  for (const eventId of given.actions ?? []) {
    if (!(await findAction(db, projectId, eventId)))
      throw new Fault('unknown_event', `no action has the event_id "${eventId}"`);
  }
}

export async function createAlarmRule(ctx: Context, caller: Caller, input: unknown) {
  const given = parseInput(ruleSchema, input);
  const { projectId } = caller;
  const now = ctx.now();
  const row = await makeChange(ctx, caller, async (tx, note): Promise<Row<'alarm_rules'>> => {
    await holdInventory(tx, caller);
    if ((await countAlarmRules(tx, projectId)) >= rulesPerProjectMax)
      throw new Fault('conflict', `a project has ${rulesPerProjectMax} alarm rules at most`);
    await requireAttached(tx, projectId, given);
    const types = await requireTypeIds(tx, projectId, [given.device_type]);
    const made = {
      id: newId(now),
      project_id: projectId,
      name: given.name,
      level: given.level,
      type_id: types.get(given.device_type) ?? given.device_type,
      message_type: given.message_type,
      when_json: toJson(given.when),
      clear_when_json: given.clear_when ? toJson(given.clear_when) : null,
      webhooks_json: toJson(given.webhooks),
      actions_json: toJson(given.actions),
      cooldown_seconds: given.cooldown,
      enabled: given.enabled ? 1 : 0,
      created_at: now,
      updated_at: now,
    };
    await insertAlarmRule(tx, made);
    await note('alarm_rule.create', { kind: 'alarm_rule', id: made.id }, { name: made.name });
    return made;
  });
  return viewRule(row, await readyTypes(ctx, projectId));
}

export async function listAlarmRules(ctx: Context, caller: Caller, input: unknown) {
  const paging = pageQuery(parseInput(pageSchema, input));
  const page = await listOwned(ctx.db, 'alarm_rules', caller.projectId, paging);
  const types = await readyTypes(ctx, caller.projectId);
  return { ...page, items: page.items.map((row) => viewRule(row, types)) };
}

export async function getAlarmRule(ctx: Context, caller: Caller, id: string) {
  return viewRule(await requireAlarmRule(ctx.db, caller, id), await readyTypes(ctx, caller.projectId));
}

export async function changeAlarmRule(ctx: Context, caller: Caller, id: string, input: unknown) {
  const given = parseInput(changeSchema, input);
  const { projectId } = caller;
  await makeChange(ctx, caller, async (tx, note) => {
    const row = await requireAlarmRule(tx, caller, id);
    // What it has named before may be gone by now, and does no harm.
    const known = [...fromJson<string[]>(row.webhooks_json), ...fromJson<string[]>(row.actions_json)];
    const isNew = (name: string) => !known.includes(name);
    const webhooks = given.webhooks?.filter(isNew);
    await requireAttached(tx, projectId, { webhooks, actions: given.actions?.filter(isNew) });
    const change: Partial<Row<'alarm_rules'>> = { updated_at: ctx.now() };
    if (given.name !== undefined) change.name = given.name;
    if (given.level !== undefined) change.level = given.level;
    if (given.device_type !== undefined) {
      await holdInventory(tx, caller);
      const types = await requireTypeIds(tx, projectId, [given.device_type]);
      change.type_id = types.get(given.device_type) ?? given.device_type;
    }
    if (given.message_type !== undefined) change.message_type = given.message_type;
    if (given.when !== undefined) change.when_json = toJson(given.when);
    if (given.clear_when !== undefined)
      change.clear_when_json = given.clear_when === null ? null : toJson(given.clear_when);
    if (given.webhooks !== undefined) change.webhooks_json = toJson(given.webhooks);
    if (given.actions !== undefined) change.actions_json = toJson(given.actions);
    if (given.cooldown !== undefined) change.cooldown_seconds = given.cooldown;
    if (given.enabled !== undefined) change.enabled = given.enabled ? 1 : 0;
    await updateAlarmRule(tx, id, change);
    await note('alarm_rule.change', { kind: 'alarm_rule', id }, { changed: Object.keys(given) });
  });
  return getAlarmRule(ctx, caller, id);
}

/** Deletes a rule; the alarms it raised stay, and can be cleared by hand. */
export async function deleteAlarmRule(ctx: Context, caller: Caller, id: string): Promise<void> {
  await makeChange(ctx, caller, async (tx, note) => {
    const row = await requireAlarmRule(tx, caller, id);
    await deleteAlarmRuleRow(tx, id);
    await note('alarm_rule.delete', { kind: 'alarm_rule', id }, { name: row.name });
  });
}

async function requireAlarmRule(db: Db, caller: Caller, id: string): Promise<Row<'alarm_rules'>> {
  const row = await findOwned(db, 'alarm_rules', caller.projectId, id);
  if (!row) throw new Fault('not_found', 'there is no such alarm rule');
  return row;
}

/** Throws `unknown_target` unless every rule is there and the project's. */
export async function requireAlarmRules(db: Db, projectId: number, ids: readonly string[]): Promise<void> {
  for (const id of ids) {
    if (!(await findOwned(db, 'alarm_rules', projectId, id)))
      throw new Fault('unknown_target', `there is no alarm rule ${id}`);
  }
}
