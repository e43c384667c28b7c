/** A receiver that is another now, or mended by somebody, is no longer held to what the one before it has done. */
import { setImmediate as nextTurn } from 'node:timers/promises';
import { hastenDeliveries } from '../../store/delivery.ts';
import type { Context } from '../context.ts';

const deliveriesPerStep = 500;

/** What waits for its next attempt is due now, and no pause holds it up. Others have their turn after every step. */
export async function renewReceiver(
  ctx: Pick<Context, 'db' | 'now' | 'live'>,
  webhookId: string,
): Promise<void> {
  const now = ctx.now();
  while ((await hastenDeliveries(ctx.db, webhookId, now, deliveriesPerStep)) === deliveriesPerStep)
    await nextTurn();
  ctx.live.outbound.renew([webhookId]);
}
