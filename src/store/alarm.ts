/** The table `alarms`. */
import type { AlarmLevel } from '../domain/alarm/level.ts';
import { type Change, defined, fromFlag, fromJson, isEmpty, toFlag, toJson } from './columns.ts';
import { newestFirst, type Page, type PageQuery } from './page.ts';
import type { Db, Row } from './schema.ts';

/** The device as it was when the alarm was raised. */
export type AlarmDevice = { id: number; name: string; type: string | null; group_id: number | null };

export type Alarm = {
  id: string;
  projectId: number;
  ruleId: string;
  ruleName: string;
  level: AlarmLevel;
  deviceId: number;
  device: AlarmDevice;
  messageType: string;
  /** The message that raised it; null for an alarm that keeps it whatever its size. */
  eventId: string | null;
  /** What that message says: JSON as it came, so that its numbers stay exact. Null when it is large: it is in the event. */
  observation: string | null;
  active: boolean;
  firstSeen: number;
  lastSeen: number;
  /** Whether somebody was told. */
  notified: boolean;
  /** Until then no other alarm of the rule and the device is told of. */
  quietUntil: number;
  note: string | null;
  notedBy: string | null;
  notedAt: number | null;
  clearedBy: string | null;
  clearedAt: number | null;
};

function fromRow(row: Row<'alarms'>): Alarm {
  return {
    id: row.id,
    projectId: row.project_id,
    ruleId: row.rule_id,
    ruleName: row.rule_name,
    level: row.level as AlarmLevel,
    deviceId: row.device_id,
    device: fromJson(row.device_json),
    messageType: row.message_type,
    eventId: row.event_id,
    observation: row.observation_json || null,
    active: fromFlag(row.active),
    firstSeen: row.first_seen,
    lastSeen: row.last_seen,
    notified: fromFlag(row.notified),
    quietUntil: row.quiet_until,
    note: row.note,
    notedBy: row.noted_by,
    notedAt: row.noted_at,
    clearedBy: row.cleared_by,
    clearedAt: row.cleared_at,
  };
}

function toRow(alarm: Alarm): Row<'alarms'>;
function toRow(change: Change<Alarm>): Change<Row<'alarms'>>;
function toRow(alarm: Change<Alarm>): Change<Row<'alarms'>> {
  return {
    id: alarm.id,
    project_id: alarm.projectId,
    rule_id: alarm.ruleId,
    rule_name: alarm.ruleName,
    level: alarm.level,
    device_id: alarm.deviceId,
    device_json: toJson(alarm.device),
    message_type: alarm.messageType,
    event_id: alarm.eventId,
    // The column is never null: nothing stands for null, since it is no JSON.
    observation_json: alarm.observation === null ? '' : alarm.observation,
    active: toFlag(alarm.active),
    first_seen: alarm.firstSeen,
    last_seen: alarm.lastSeen,
    notified: toFlag(alarm.notified),
    quiet_until: alarm.quietUntil,
    note: alarm.note,
    noted_by: alarm.notedBy,
    noted_at: alarm.notedAt,
    cleared_by: alarm.clearedBy,
    cleared_at: alarm.clearedAt,
  };
}

export async function insertAlarm(db: Db, alarm: Alarm): Promise<void> {
  await db.insertInto('alarms').values(toRow(alarm)).execute();
}

export async function selectAlarm(db: Db, projectId: number, id: string): Promise<Alarm | undefined> {
  const row = await selectAlarmsOf(db, projectId).where('id', '=', id).executeTakeFirst();
  return row && fromRow(row);
}

function selectAlarmsOf(db: Db, projectId: number) {
  return db.selectFrom('alarms').selectAll().where('project_id', '=', projectId);
}

/** The latest alarm of a rule about a device. One that is active, where a rule can clear, is always the latest. */
export async function selectLatestAlarm(
  db: Db,
  ruleId: string,
  deviceId: number,
): Promise<Alarm | undefined> {
  const row = await db
    .selectFrom('alarms')
    .selectAll()
    .where('rule_id', '=', ruleId)
    .where('device_id', '=', deviceId)
    .orderBy('id', 'desc')
    .limit(1)
    .executeTakeFirst();
  return row && fromRow(row);
}

export async function updateAlarm(db: Db, id: string, change: Change<Alarm>): Promise<void> {
  if (isEmpty(change)) return;
  await db
    .updateTable('alarms')
    .set(defined(toRow(change)))
    .where('id', '=', id)
    .execute();
}

export type AlarmFilter = {
  active?: boolean | undefined;
  noted?: boolean | undefined;
  level?: AlarmLevel | undefined;
  ruleId?: string | undefined;
  deviceId?: number | undefined;
};

/** Newest first. */
export async function selectAlarms(
  db: Db,
  projectId: number,
  filter: AlarmFilter,
  page: PageQuery,
): Promise<Page<Alarm>> {
  let query = selectAlarmsOf(db, projectId);
  if (filter.active !== undefined) query = query.where('active', '=', toFlag(filter.active));
  if (filter.noted !== undefined) query = query.where('noted_at', filter.noted ? 'is not' : 'is', null);
  if (filter.level !== undefined) query = query.where('level', '=', filter.level);
  if (filter.ruleId !== undefined) query = query.where('rule_id', '=', filter.ruleId);
  if (filter.deviceId !== undefined) query = query.where('device_id', '=', filter.deviceId);
  return newestFirst(query, page, fromRow);
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

export async function deleteProjectAlarms(db: Db, projectId: number): Promise<void> {
  await db.deleteFrom('alarms').where('project_id', '=', projectId).execute();
}
