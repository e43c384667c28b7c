/** The table `wills`: what devices that are online want said if they go without a word. */
import { among, packetsOf } from './dialect.ts';
import type { Db, Row } from './schema.ts';

export type Will = {
  id: string;
  deviceId: number;
  /** Where the device is online. */
  nodeId: string;
  what: 'event' | 'message' | 'bulk';
  /** The type of a message, the label of bulk data. */
  name: string | null;
  bytes: Uint8Array;
};

function fromRow(row: Row<'wills'>): Will {
  return {
    id: row.id,
    deviceId: row.device_id,
    nodeId: row.node_id,
    what: row.what as Will['what'],
    name: row.name,
    bytes: row.bytes,
  };
}

export async function insertWills(db: Db, wills: readonly Will[]): Promise<void> {
  const rows = wills.map(
    (will): Row<'wills'> => ({
      id: will.id,
      device_id: will.deviceId,
      node_id: will.nodeId,
      what: will.what,
      name: will.name,
      bytes: will.bytes,
    }),
  );
  // It may be a second try, after a commit of which nobody knows what became of it.
  for (const part of packetsOf(rows, (row) => row.bytes.length))
    await db.insertInto('wills').ignore().values(part).execute();
}

export async function selectWills(db: Db, nodeId: string, deviceId: number): Promise<Will[]> {
  const rows = await db
    .selectFrom('wills')
    .selectAll()
    .where('node_id', '=', nodeId)
    .where('device_id', '=', deviceId)
    .orderBy('id')
    .execute();
  return rows.map(fromRow);
}

export async function deleteWills(db: Db, ids: readonly string[]): Promise<void> {
  if (ids.length > 0) await db.deleteFrom('wills').where('id', 'in', among(db, ids)).execute();
}

export async function deleteWillsOfNode(db: Db, nodeId: string): Promise<void> {
  await db.deleteFrom('wills').where('node_id', '=', nodeId).execute();
}
