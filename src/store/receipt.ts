/** The table `receipts`: what devices said about commands, once a device, command and status. */
import type { ReceiptStatus } from '../domain/device/protocol.ts';
import { among, chunksOf } from './dialect.ts';
import { type Page, type PageQuery, pageOf } from './page.ts';
import type { Db, Row } from './schema.ts';

export type Receipt = {
  commandId: string;
  deviceId: number;
  status: ReceiptStatus;
  detail: string | null;
  at: number;
};

function fromRow(row: Row<'receipts'>): Receipt {
  return {
    commandId: row.command_id,
    deviceId: row.device_id,
    status: row.status as ReceiptStatus,
    detail: row.detail,
    at: row.at,
  };
}

function toRow(receipt: Receipt): Row<'receipts'> {
  return {
    command_id: receipt.commandId,
    device_id: receipt.deviceId,
    status: receipt.status,
    detail: receipt.detail,
    at: receipt.at,
  };
}

/** Receipts are facts: saying the same thing twice changes nothing. */
export async function insertReceipts(db: Db, receipts: readonly Receipt[]): Promise<void> {
  for (const chunk of chunksOf(db, receipts.map(toRow)))
    await db.insertInto('receipts').ignore().values(chunk).execute();
}

export async function selectReceiptsOfCommands(db: Db, commandIds: readonly string[]): Promise<Receipt[]> {
  if (commandIds.length === 0) return [];
  const rows = await db
    .selectFrom('receipts')
    .selectAll()
    .where('command_id', 'in', among(db, commandIds))
    .execute();
  return rows.map(fromRow);
}

/** Which of the commands the device has finished, one way or the other. */
export async function selectFinished(
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

export type ReceiptOfDevice = Receipt & {
  /** Null for a device that has been deleted since. */
  deviceName: string | null;
};

/** By device, then status. */
export async function selectReceipts(
  db: Db,
  commandId: string,
  page: PageQuery,
): Promise<Page<ReceiptOfDevice>> {
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
  const { items, next_cursor } = pageOf(rows, page.limit, (row) => `${row.device_id}:${row.status}`);
  return { items: items.map((row) => ({ ...fromRow(row), deviceName: row.device_name })), next_cursor };
}

export async function deleteReceiptsOfCommands(db: Db, commandIds: readonly string[]): Promise<void> {
  if (commandIds.length === 0) return;
  await db.deleteFrom('receipts').where('command_id', 'in', among(db, commandIds)).execute();
}
