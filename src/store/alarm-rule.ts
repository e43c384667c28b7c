import type { Db, NewRow, Row } from './schema.ts';

export async function insertAlarmRule(db: Db, row: NewRow<'alarm_rules'>): Promise<void> {
  await db.insertInto('alarm_rules').values(row).execute();
}

/** The rules of the project that are switched on. */
export async function listRulesInUse(db: Db, projectId: number): Promise<Row<'alarm_rules'>[]> {
  return db
    .selectFrom('alarm_rules')
    .selectAll()
    .where('project_id', '=', projectId)
    .where('enabled', '=', 1)
    .orderBy('id')
    .execute();
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

export async function updateAlarmRule(
  db: Db,
  id: string,
  change: Partial<Row<'alarm_rules'>>,
): Promise<void> {
  await db.updateTable('alarm_rules').set(change).where('id', '=', id).execute();
}

export async function deleteAlarmRule(db: Db, id: string): Promise<void> {
  await db.deleteFrom('alarm_rules').where('id', '=', id).execute();
}

export async function deleteProjectAlarmRules(db: Db, projectId: number): Promise<void> {
  await db.deleteFrom('alarm_rules').where('project_id', '=', projectId).execute();
}
