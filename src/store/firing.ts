/** The table `firings`: actions that alarms are about to fire. */
import { fromJson, toJson } from './columns.ts';
import { packetsOf } from './dialect.ts';
import type { Db, Row } from './schema.ts';

export type Firing = {
  id: string;
  projectId: number;
  actionEventId: string;
  alarmId: string;
  /** What templates of the action look into; without the alarm's `observation` where that is large. */
  payload: Record<string, unknown>;
};

function fromRow(row: Row<'firings'>): Firing {
  return {
    id: row.id,
    projectId: row.project_id,
    actionEventId: row.event_id,
    alarmId: row.alarm_id,
    payload: fromJson(row.payload_json),
  };
}

function toRow(firing: Firing): Row<'firings'> {
  return {
    id: firing.id,
    project_id: firing.projectId,
    event_id: firing.actionEventId,
    alarm_id: firing.alarmId,
    payload_json: toJson(firing.payload),
  };
}

export async function insertFirings(db: Db, firings: readonly Firing[]): Promise<void> {
  for (const rows of packetsOf(firings.map(toRow), (row) => row.payload_json.length))
    await db.insertInto('firings').values(rows).execute();
}

/** Those that wait, oldest first, from the one after `after`. */
export async function selectFirings(db: Db, after: string, limit: number): Promise<Firing[]> {
  const rows = await db
    .selectFrom('firings')
    .selectAll()
    .where('id', '>', after)
    .orderBy('id')
    .limit(limit)
    .execute();
  return rows.map(fromRow);
}

export async function deleteFiring(db: Db, id: string): Promise<void> {
  await db.deleteFrom('firings').where('id', '=', id).execute();
}

export async function deleteProjectFirings(db: Db, projectId: number): Promise<void> {
  await db.deleteFrom('firings').where('project_id', '=', projectId).execute();
}
