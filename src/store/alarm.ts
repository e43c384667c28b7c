/** The table `alarms`. */
import type { ClearedReason } from '../domain/alarm/cleared-reason.ts';
import type { AlarmLevel } from '../domain/alarm/level.ts';
import { type Change, defined, fromFlag, fromJson, isEmpty, toFlag, toJson } from './columns.ts';
import { packetsOf } from './dialect.ts';
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
  /** The name of the person or key. */
  clearedBy: string | null;
  clearedAt: number | null;
  clearedReason: ClearedReason | null;
  /** Of a message that is a list, which element raised it. */
  element: number | null;
  /** The webhooks that its rule named, where the rule was deleted since and it is not over yet. */
  webhookIds: string[] | null;
};

export function alarmOf(row: Row<'alarms'>): Alarm {
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
    clearedReason: row.cleared_reason as ClearedReason | null,
    element: row.element,
    webhookIds: fromJson(row.webhooks_json),
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
    cleared_reason: alarm.clearedReason,
    element: alarm.element,
    webhooks_json: toJson(alarm.webhookIds),
  };
}

export async function insertAlarms(db: Db, alarms: readonly Alarm[]): Promise<void> {
  const rows = alarms.map((alarm): Row<'alarms'> => toRow(alarm));
  for (const part of packetsOf(rows, (row) => row.observation_json.length))
    await db.insertInto('alarms').values(part).execute();
}

export async function selectAlarm(db: Db, projectId: number, id: string): Promise<Alarm | undefined> {
  const row = await selectAlarmsOf(db, projectId).where('id', '=', id).executeTakeFirst();
  return row && alarmOf(row);
}

function selectAlarmsOf(db: Db, projectId: number) {
  return db.selectFrom('alarms').selectAll().where('project_id', '=', projectId);
}

/** The latest alarm of a rule about a device. */
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
  return row && alarmOf(row);
}

export async function updateAlarm(db: Db, id: string, change: Change<Alarm>): Promise<void> {
  if (isEmpty(change)) return;
  await db
    .updateTable('alarms')
    .set(defined(toRow(change)))
    .where('id', '=', id)
    .execute();
}

/** Quiet alarms of a rule may be told at `until` if they would have to wait longer. */
export async function updateQuietUntil(db: Db, ruleId: string, until: number): Promise<void> {
  await db
    .updateTable('alarms')
    .set({ quiet_until: until })
    .where('active', '=', 1)
    .where('rule_id', '=', ruleId)
    .where('notified', '=', 0)
    .where('quiet_until', '>', until)
    .execute();
}

/** What its rule named goes with an alarm that outlives it. */
export async function updateAlarmWebhooks(
  db: Db,
  ruleId: string,
  webhookIds: readonly string[],
): Promise<void> {
  await db
    .updateTable('alarms')
    .set({ webhooks_json: JSON.stringify(webhookIds) })
    .where('active', '=', 1)
    .where('rule_id', '=', ruleId)
    .execute();
}

type End = Pick<Alarm, 'clearedAt' | 'clearedBy' | 'clearedReason'> & { lastSeen?: number };

/**
 * Ends an alarm; undefined when it is over already. What the answer says of `notified` holds: whoever tells it from now
 * on finds that it is over, on whichever node.
 */
export async function endAlarm(db: Db, id: string, end: End): Promise<Alarm | undefined> {
  const change = defined<Row<'alarms'>>(toRow({ ...end, active: false }));
  return claim(db, id, (query) => query.set(change));
}

/** Takes it upon the caller to tell a quiet alarm; undefined when it is over or another has done so. */
export async function claimQuietAlarm(
  db: Db,
  id: string,
  { now, quietUntil }: { now: number; quietUntil: number },
): Promise<Alarm | undefined> {
  return claim(db, id, (query) =>
    query
      .set({ notified: 1, quiet_until: quietUntil })
      .where('notified', '=', 0)
      .where('quiet_until', '<=', now),
  );
}

type Update = ReturnType<typeof updateActive>;

function updateActive(db: Db, id: string) {
  return db.updateTable('alarms').where('id', '=', id).where('active', '=', 1);
}

async function claim(db: Db, id: string, change: (query: Update) => Update): Promise<Alarm | undefined> {
  const changed = await change(updateActive(db, id)).executeTakeFirst();
  if (changed.numUpdatedRows === 0n) return undefined;
  // Read after the row was ours: what was read before may have been written by another since.
  const row = await db.selectFrom('alarms').selectAll().where('id', '=', id).executeTakeFirst();
  return row && alarmOf(row);
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
  return newestFirst(query, page, alarmOf);
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
