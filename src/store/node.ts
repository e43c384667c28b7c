/** The table `nodes`: the servers that are up. */
import type { Db } from './schema.ts';

/** The node is alive at `now`. */
export async function beatNode(db: Db, id: string, now: number): Promise<void> {
  const beat = await db.updateTable('nodes').set({ seen_at: now }).where('id', '=', id).executeTakeFirst();
  if (beat.numUpdatedRows === 0n)
    await db.insertInto('nodes').ignore().values({ id, seen_at: now }).execute();
}

/** When each node was last alive. */
export async function selectNodes(db: Db): Promise<Map<string, number>> {
  const rows = await db.selectFrom('nodes').select(['id', 'seen_at']).execute();
  return new Map(rows.map((row) => [row.id, row.seen_at]));
}

/** The ids of the nodes that have not been seen since. */
export async function selectDeadNodeIds(db: Db, since: number): Promise<string[]> {
  const rows = await db.selectFrom('nodes').select('id').where('seen_at', '<', since).execute();
  return rows.map((row) => row.id);
}

export async function deleteNode(db: Db, id: string): Promise<void> {
  await db.deleteFrom('nodes').where('id', '=', id).execute();
}
