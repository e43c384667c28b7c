import { type Page, type PageQuery, pageOf } from './page.ts';
import type { Db, NewRow, Row } from './schema.ts';

export async function insertAlarm(db: Db, row: NewRow<'alarms'>): Promise<void> {
  await db.insertInto('alarms').values(row).execute();
}

/** The latest alarm of a rule about a device. One that is active, where a rule can clear, is always the latest. */
export async function findLatestAlarm(
  db: Db,
  ruleId: string,
  deviceId: number,
): Promise<Row<'alarms'> | undefined> {
  return db
    .selectFrom('alarms')
    .selectAll()
    .where('rule_id', '=', ruleId)
    .where('device_id', '=', deviceId)
    .orderBy('id', 'desc')
    .limit(1)
    .executeTakeFirst();
}

export async function updateAlarm(db: Db, id: string, change: Partial<Row<'alarms'>>): Promise<void> {
  await db.updateTable('alarms').set(change).where('id', '=', id).execute();
}

export type AlarmFilter = {
  active?: boolean | undefined;
  noted?: boolean | undefined;
  levels?: readonly string[] | undefined;
  rule_id?: string | undefined;
  device_id?: number | undefined;
};

/** Newest first. */
export async function listAlarms(
  db: Db,
  projectId: number,
  filter: AlarmFilter,
  page: PageQuery,
): Promise<Page<Row<'alarms'>>> {
  let query = db.selectFrom('alarms').selectAll().where('project_id', '=', projectId);
  if (filter.active !== undefined) query = query.where('active', '=', filter.active ? 1 : 0);
  if (filter.noted !== undefined) query = query.where('noted_at', filter.noted ? 'is not' : 'is', null);
  if (filter.levels !== undefined) query = query.where('level', 'in', filter.levels);
  if (filter.rule_id !== undefined) query = query.where('rule_id', '=', filter.rule_id);
  if (filter.device_id !== undefined) query = query.where('device_id', '=', filter.device_id);
  if (page.cursor) query = query.where('id', '<', page.cursor);
  const rows = await query
    .orderBy('id', 'desc')
    .limit(page.limit + 1)
    .execute();
  return pageOf(rows, page.limit, (row) => row.id);
}

/** Deletes up to `limit` alarms that are over and whose id is below `id`, oldest first. */
export async function deleteAlarmsBelow(db: Db, id: string, limit: number): Promise<number> {
  const old = await db
    .selectFrom('alarms')
    .select('id')
    .where('id', '<', id)
    .where('active', '=', 0)
    .orderBy('id')
    .limit(limit)
    .execute();
  const ids = old.map((row) => row.id);
  if (ids.length > 0) await db.deleteFrom('alarms').where('id', 'in', ids).execute();
  return old.length;
}
