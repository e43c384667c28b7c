/** This process among those that share the database: as long as it beats, what it has claimed is its own. */

import { releaseDeliveries, releaseOrphans } from '../../store/delivery.ts';
import { beatNode, deleteNode, selectDeadNodeIds } from '../../store/node.ts';
import type { Context } from '../context.ts';

/** A node beats every two seconds; when it has not for this long, others take up what it claimed. */
const deadAfterMs = 10_000;

/** The first that a node does: it is known from now on, and what unknown ones have claimed is free. */
export async function arrive(ctx: Pick<Context, 'db' | 'now' | 'process'>): Promise<void> {
  await beatNode(ctx.db, ctx.process.nodeId, ctx.now());
  await releaseOrphans(ctx.db, ctx.now());
}

/** Says that this node is alive, and takes up what dead ones have left. */
export async function keepAlive(ctx: Pick<Context, 'db' | 'now' | 'log' | 'process'>): Promise<void> {
  const now = ctx.now();
  await beatNode(ctx.db, ctx.process.nodeId, now);
  for (const dead of await selectDeadNodeIds(ctx.db, now - deadAfterMs)) {
    if (dead === ctx.process.nodeId) continue;
    await releaseDeliveries(ctx.db, dead, now);
    await deleteNode(ctx.db, dead);
    ctx.log.info({ node: dead }, 'deliveries of a node that is gone were taken up');
  }
}

/** At the end of the process: what it has claimed and not sent is free for others. */
export async function leave(ctx: Pick<Context, 'db' | 'now' | 'process'>): Promise<void> {
  await releaseDeliveries(ctx.db, ctx.process.nodeId, ctx.now());
  await deleteNode(ctx.db, ctx.process.nodeId);
}
