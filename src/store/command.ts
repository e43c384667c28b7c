import { among, chunksOf } from './dialect.ts';
import { type Page, type PageQuery, pageOf } from './page.ts';
import type { Db, NewRow, Row } from './schema.ts';

export async function insertCommands(
  db: Db,
  rows: NewRow<'commands'>[],
  pulses: NewRow<'pulses'>[],
): Promise<void> {
  for (const chunk of chunksOf(db, rows)) await db.insertInto('commands').values(chunk).execute();
  for (const chunk of chunksOf(db, pulses)) await db.insertInto('pulses').values(chunk).execute();
}

export async function findCommands(
  db: Db,
  projectId: number,
  ids: readonly string[],
): Promise<Row<'commands'>[]> {
  if (ids.length === 0) return [];
  return db
    .selectFrom('commands')
    .selectAll()
    .where('project_id', '=', projectId)
    .where('id', 'in', among(db, ids))
    .execute();
}

export async function listTriggerCommands(
  db: Db,
  projectId: number,
  triggerId: string,
): Promise<Row<'commands'>[]> {
  return db
    .selectFrom('commands')
    .selectAll()
    .where('project_id', '=', projectId)
    .where('trigger_id', '=', triggerId)
    .orderBy('id')
    .execute();
}

/** Newest first. */
export async function listCommands(
  db: Db,
  projectId: number,
  filter: { function?: string | undefined },
  page: PageQuery,
): Promise<Page<Row<'commands'>>> {
  let query = db.selectFrom('commands').selectAll().where('project_id', '=', projectId);
  if (filter.function !== undefined) query = query.where('function', '=', filter.function);
  if (page.cursor) query = query.where('id', '<', page.cursor);
  const rows = await query
    .orderBy('id', 'desc')
    .limit(page.limit + 1)
    .execute();
  return pageOf(rows, page.limit, (row) => row.id);
}

/** The pulses of every project that have not ended. */
export async function listUnexpiredPulses(db: Db, now: number): Promise<Row<'commands'>[]> {
  return db
    .selectFrom('commands')
    .selectAll()
    .where('id', 'in', db.selectFrom('pulses').select('command_id').where('expires_at', '>', now))
    .execute();
}

/** The state commands of every project that take part in the fold. */
export async function listCommandsInForce(db: Db): Promise<Row<'commands'>[]> {
  return db.selectFrom('commands').selectAll().where('in_force', '=', 1).orderBy('id').execute();
}

export async function retireCommands(db: Db, ids: readonly string[]): Promise<void> {
  if (ids.length === 0) return;
  await db.updateTable('commands').set({ in_force: 0 }).where('id', 'in', among(db, ids)).execute();
}

/** False when it was canceled before. */
export async function cancelCommand(db: Db, id: string, now: number): Promise<boolean> {
  const result = await db
    .updateTable('commands')
    .set({ canceled_at: now, in_force: 0 })
    .where('id', '=', id)
    .where('canceled_at', 'is', null)
    .executeTakeFirst();
  await db.deleteFrom('pulses').where('command_id', '=', id).execute();
  return result.numUpdatedRows > 0n;
}

/** Pulses filed under `scopes` that have not ended and that the device has not finished, oldest first. */
export async function listPendingPulses(
  db: Db,
  projectId: number,
  scopes: readonly string[],
  deviceId: number,
  now: number,
): Promise<Row<'commands'>[]> {
  const pending = await db
    .selectFrom('pulses')
    .select('command_id')
    .where('project_id', '=', projectId)
    .where('scope', 'in', scopes)
    .where('expires_at', '>', now)
    .where((eb) =>
      eb.not(
        eb.exists(
          eb
            .selectFrom('receipts')
            .select('command_id')
            .whereRef('receipts.command_id', '=', 'pulses.command_id')
            .where('receipts.device_id', '=', deviceId)
            .where('receipts.status', 'in', ['applied', 'failed']),
        ),
      ),
    )
    .execute();
  if (pending.length === 0) return [];
  const ids = [...new Set(pending.map((row) => row.command_id))].sort();
  return db.selectFrom('commands').selectAll().where('id', 'in', ids).orderBy('id').execute();
}

export async function deletePulsesBefore(db: Db, time: number): Promise<void> {
  await db.deleteFrom('pulses').where('expires_at', '<', time).execute();
}

/** Deletes up to `limit` commands that are not in force and whose id is below `id`. Answers their ids. */
export async function deleteCommandsBelow(db: Db, id: string, limit: number): Promise<string[]> {
  const old = await db
    .selectFrom('commands')
    .select('id')
    .where('in_force', '=', 0)
    .where('id', '<', id)
    .orderBy('id')
    .limit(limit)
    .execute();
  const ids = old.map((row) => row.id);
  if (ids.length > 0) await db.deleteFrom('commands').where('id', 'in', ids).execute();
  return ids;
}
