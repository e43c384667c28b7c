/** The table `devices` by the nodes at which they are online. */
import type { Db } from './schema.ts';

/** The nodes at which devices are online, or were when those died. */
export async function selectOnlineNodes(db: Db): Promise<string[]> {
  const nodes: string[] = [];
  // Each a step in the index: reading all devices to find so few nodes would take long.
  for (let after = ''; ; ) {
    const row = await db
      .selectFrom('devices')
      .select('online_node')
      .where('online_node', '>', after)
      .orderBy('online_node')
      .limit(1)
      .executeTakeFirst();
    if (!row?.online_node) return nodes;
    after = row.online_node;
    nodes.push(after);
  }
}

/** Devices of any project that are online at a node. */
export async function selectOnlineDevices(
  db: Db,
  nodeId: string,
  limit: number,
): Promise<{ id: number; projectId: number }[]> {
  const rows = await db
    .selectFrom('devices')
    .select(['id', 'project_id'])
    .where('online_node', '=', nodeId)
    .orderBy('id')
    .limit(limit)
    .execute();
  return rows.map((row) => ({ id: row.id, projectId: row.project_id }));
}
