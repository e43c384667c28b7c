import { among, chunksOf } from './dialect.ts';
import { type Page, type PageQuery, pageOf } from './page.ts';
import type { Db, NewRow, Row } from './schema.ts';

/** Receipts are facts: saying the same thing twice changes nothing. */
export async function insertReceipts(db: Db, rows: NewRow<'receipts'>[]): Promise<void> {
  for (const chunk of chunksOf(db, rows)) await db.insertInto('receipts').ignore().values(chunk).execute();
}

export async function listReceiptsOfCommands(
  db: Db,
  commandIds: readonly string[],
): Promise<Row<'receipts'>[]> {
  if (commandIds.length === 0) return [];
  return db.selectFrom('receipts').selectAll().where('command_id', 'in', commandIds).execute();
}

/** Which of the commands the device has finished, one way or the other. */
export async function listFinished(
  db: Db,
  deviceId: number,
  commandIds: readonly string[],
): Promise<Set<string>> {
  if (commandIds.length === 0) return new Set();
  const rows = await db
    .selectFrom('receipts')
    .select('command_id')
    .where('device_id', '=', deviceId)
    .where('command_id', 'in', among(db, commandIds))
    .where('status', 'in', ['applied', 'failed'])
    .execute();
  return new Set(rows.map((row) => row.command_id));
}

/** By device, then status. */
export async function listReceipts(
  db: Db,
  commandId: string,
  page: PageQuery,
): Promise<Page<Row<'receipts'> & { device_name: string | null }>> {
  let query = db
    .selectFrom('receipts')
    .leftJoin('devices', 'devices.id', 'receipts.device_id')
    .selectAll('receipts')
    .select('devices.name as device_name')
    .where('command_id', '=', commandId);
  if (page.cursor) {
    const [device = '0', status = ''] = page.cursor.split(':');
    query = query.where((eb) =>
      eb.or([
        eb('receipts.device_id', '>', Number(device)),
        eb.and([eb('receipts.device_id', '=', Number(device)), eb('receipts.status', '>', status)]),
      ]),
    );
  }
  const rows = await query
    .orderBy('receipts.device_id')
    .orderBy('receipts.status')
    .limit(page.limit + 1)
    .execute();
  return pageOf(rows, page.limit, (row) => `${row.device_id}:${row.status}`);
}

export async function deleteReceiptsOfCommands(db: Db, commandIds: readonly string[]): Promise<void> {
  if (commandIds.length === 0) return;
  await db.deleteFrom('receipts').where('command_id', 'in', commandIds).execute();
}
