/** The table `alarm_rules`. */
import type { AlarmLevel } from '../domain/alarm/level.ts';
import type { Condition } from '../domain/condition.ts';
import { type Change, defined, fromFlag, fromJson, isEmpty, toFlag, toJson } from './columns.ts';
import { oldestFirst, type Page, type PageQuery } from './page.ts';
import type { Db, Row } from './schema.ts';

export type AlarmRule = {
  id: string;
  projectId: number;
  name: string;
  level: AlarmLevel;
  typeId: string;
  messageType: string;
  when: Condition;
  clearWhen: Condition | null;
  webhookIds: string[];
  actionEventIds: string[];
  cooldownSeconds: number;
  enabled: boolean;
  /** Why nobody is told of its alarms any more. */
  problem: string | null;
  createdAt: number;
  updatedAt: number;
};

function fromRow(row: Row<'alarm_rules'>): AlarmRule {
  return {
    id: row.id,
    projectId: row.project_id,
    name: row.name,
    level: row.level as AlarmLevel,
    typeId: row.type_id,
    messageType: row.message_type,
    when: fromJson(row.when_json),
    clearWhen: fromJson(row.clear_when_json),
    webhookIds: fromJson(row.webhooks_json),
    actionEventIds: fromJson(row.actions_json),
    cooldownSeconds: row.cooldown_seconds,
    enabled: fromFlag(row.enabled),
    problem: row.problem,
    createdAt: row.created_at,
    updatedAt: row.updated_at,
  };
}

function toRow(rule: AlarmRule): Row<'alarm_rules'>;
function toRow(change: Change<AlarmRule>): Change<Row<'alarm_rules'>>;
function toRow(rule: Change<AlarmRule>): Change<Row<'alarm_rules'>> {
  return {
    id: rule.id,
    project_id: rule.projectId,
    name: rule.name,
    level: rule.level,
    type_id: rule.typeId,
    message_type: rule.messageType,
    when_json: toJson(rule.when),
    clear_when_json: toJson(rule.clearWhen),
    webhooks_json: toJson(rule.webhookIds),
    actions_json: toJson(rule.actionEventIds),
    cooldown_seconds: rule.cooldownSeconds,
    enabled: toFlag(rule.enabled),
    problem: rule.problem,
    created_at: rule.createdAt,
    updated_at: rule.updatedAt,
  };
}

export async function insertAlarmRule(db: Db, rule: AlarmRule): Promise<void> {
  await db.insertInto('alarm_rules').values(toRow(rule)).execute();
}

export async function selectAlarmRule(db: Db, projectId: number, id: string): Promise<AlarmRule | undefined> {
  const row = await selectAlarmRulesOf(db, projectId).where('id', '=', id).executeTakeFirst();
  return row && fromRow(row);
}

/** Of any project. */
export async function selectAnyAlarmRule(db: Db, id: string): Promise<AlarmRule | undefined> {
  const row = await db.selectFrom('alarm_rules').selectAll().where('id', '=', id).executeTakeFirst();
  return row && fromRow(row);
}

export async function selectAlarmRules(db: Db, projectId: number, page: PageQuery): Promise<Page<AlarmRule>> {
  return oldestFirst(selectAlarmRulesOf(db, projectId), page, fromRow);
}

/** All rules of the project. */
export async function selectProjectAlarmRules(db: Db, projectId: number): Promise<AlarmRule[]> {
  return (await selectAlarmRulesOf(db, projectId).orderBy('id').execute()).map(fromRow);
}

/** The rules of the project that are switched on. */
export async function selectAlarmRulesInUse(db: Db, projectId: number): Promise<AlarmRule[]> {
  const rows = await selectAlarmRulesOf(db, projectId).where('enabled', '=', 1).orderBy('id').execute();
  return rows.map(fromRow);
}

function selectAlarmRulesOf(db: Db, projectId: number) {
  return db.selectFrom('alarm_rules').selectAll().where('project_id', '=', projectId);
}

export async function countAlarmRules(db: Db, projectId: number): Promise<number> {
  const row = await db
    .selectFrom('alarm_rules')
    .select((eb) => eb.fn.countAll<number>().as('count'))
    .where('project_id', '=', projectId)
    .executeTakeFirstOrThrow();
  return Number(row.count);
}

/** Rules of a device type, switched on or not. */
export async function hasRulesOfType(db: Db, projectId: number, typeId: string): Promise<boolean> {
  const row = await db
    .selectFrom('alarm_rules')
    .select('id')
    .where('project_id', '=', projectId)
    .where('type_id', '=', typeId)
    .limit(1)
    .executeTakeFirst();
  return row !== undefined;
}

export async function updateAlarmRule(db: Db, id: string, change: Change<AlarmRule>): Promise<void> {
  if (isEmpty(change)) return;
  await db
    .updateTable('alarm_rules')
    .set(defined(toRow(change)))
    .where('id', '=', id)
    .execute();
}

/** False when its problem is another than `before` by now. */
export async function updateAlarmRuleProblem(
  db: Db,
  id: string,
  { before, problem }: { before: string | null; problem: string | null },
): Promise<boolean> {
  const changed = await db
    .updateTable('alarm_rules')
    .set({ problem })
    .where('id', '=', id)
    .where('problem', before === null ? 'is' : '=', before)
    .executeTakeFirst();
  return changed.numUpdatedRows > 0n;
}

export async function deleteAlarmRule(db: Db, id: string): Promise<void> {
  await db.deleteFrom('alarm_rules').where('id', '=', id).execute();
}

export async function deleteProjectAlarmRules(db: Db, projectId: number): Promise<void> {
  await db.deleteFrom('alarm_rules').where('project_id', '=', projectId).execute();
}
