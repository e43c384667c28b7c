/** The table `alarms` as the server looks at it: those that are active, and which of them nobody was told of. */
import { type Alarm, alarmOf } from './alarm.ts';
import { fromJson } from './columns.ts';
import type { Db } from './schema.ts';

/** The active alarms of a rule about a device, newest first: one, unless two nodes raised it at the same time. */
export async function selectActiveAlarms(db: Db, ruleId: string, deviceId: number): Promise<Alarm[]> {
  const rows = await activeOf(db, ruleId)
    .selectAll()
    .where('device_id', '=', deviceId)
    .orderBy('id', 'desc')
    .execute();
  return rows.map(alarmOf);
}

function activeOf(db: Db, ruleId: string) {
  return db.selectFrom('alarms').where('active', '=', 1).where('rule_id', '=', ruleId);
}

/** The rules that have active alarms, whether they are there or not. */
export async function selectRulesWithAlarms(db: Db): Promise<string[]> {
  const rows = await db.selectFrom('alarms').select('rule_id').distinct().where('active', '=', 1).execute();
  return rows.map((row) => row.rule_id);
}

export type AlarmsToEnd = {
  /** About this device alone. */
  deviceId?: number | undefined;
  /** Those alone that are not about these messages of devices of this type. */
  unless?: { typeId: string; messageType: string } | undefined;
};

/** An active alarm, whether its device is still there, and of which type that is now. */
export type ActiveAlarm = Alarm & { hasDevice: boolean; deviceTypeId: string | null };

/** Active alarms of a rule in any project, in no order. */
export async function selectAlarmsToEnd(
  db: Db,
  ruleId: string,
  { deviceId, unless }: AlarmsToEnd,
  limit: number,
): Promise<ActiveAlarm[]> {
  let query = activeOf(db, ruleId)
    .leftJoin('devices', 'devices.id', 'alarms.device_id')
    .selectAll('alarms')
    .select(['devices.id as device_there', 'devices.type_id as device_type_id']);
  if (deviceId !== undefined) query = query.where('alarms.device_id', '=', deviceId);
  if (unless !== undefined)
    query = query.where((eb) =>
      eb.or([
        eb('alarms.message_type', '!=', unless.messageType),
        eb('devices.type_id', 'is', null),
        eb('devices.type_id', '!=', unless.typeId),
      ]),
    );
  const rows = await query.limit(limit).execute();
  return rows.map((row) => ({
    ...alarmOf(row),
    hasDevice: row.device_there !== null,
    deviceTypeId: row.device_type_id,
  }));
}

export type QuietAlarm = Pick<Alarm, 'id' | 'projectId' | 'ruleId' | 'deviceId' | 'device' | 'eventId'>;

/** Active alarms of which nobody was told and whose rule may speak again at `now`, from the one after `after`. */
export async function selectQuietAlarms(
  db: Db,
  now: number,
  after: string,
  limit: number,
): Promise<QuietAlarm[]> {
  const rows = await quietAlarms(db)
    .select(['id', 'project_id', 'rule_id', 'device_id', 'device_json', 'event_id'])
    .where('quiet_until', '<=', now)
    .where('id', '>', after)
    .orderBy('id')
    .limit(limit)
    .execute();
  return rows.map((row) => ({
    id: row.id,
    projectId: row.project_id,
    ruleId: row.rule_id,
    deviceId: row.device_id,
    device: fromJson(row.device_json),
    eventId: row.event_id,
  }));
}

/** When the next of them may be told. */
export async function selectQuietEnd(db: Db): Promise<number | null> {
  const row = await quietAlarms(db)
    .select((eb) => eb.fn.min('quiet_until').as('end'))
    .executeTakeFirst();
  return row?.end ?? null;
}

function quietAlarms(db: Db) {
  return db.selectFrom('alarms').where('active', '=', 1).where('notified', '=', 0);
}
