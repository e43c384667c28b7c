/** Writes down what is told in the commit of what it is about, and sends it when the commit is done. */
import type { Alarm } from '../../store/alarm.ts';
import { inTransaction } from '../../store/open.ts';
import type { Db } from '../../store/schema.ts';
import type { Context } from '../context.ts';
import { createOutbox, type Outbox } from '../delivery/outbox.ts';

export type TellContext = Pick<Context, 'db' | 'log' | 'now' | 'feed' | 'live' | 'process'>;

/** What became of an alarm, for the feed. */
export type AlarmNews = { alarm: Alarm; change: 'raised' | 'told' | 'cleared'; isTold: boolean };

/** `work` fills the outbox and may be run again; it answers what became of alarms. */
export async function tell(
  ctx: TellContext,
  work: (tx: Db, outbox: Outbox) => Promise<readonly AlarmNews[]>,
): Promise<void> {
  const { outbox, news } = await inTransaction(ctx.db, async (tx) => {
    const filled = createOutbox(ctx);
    const became = await work(tx, filled);
    await filled.write(tx);
    return { outbox: filled, news: became };
  });
  try {
    outbox.send();
  } catch (error) {
    // It is on disk by now: told as failed, it would be said again and stored twice.
    ctx.log.error({ err: error }, 'deliveries could not be handed over at once');
  }
  for (const { event, deliveries } of outbox.events) {
    const { id: eventId, projectId, kind, type, deviceId, problem } = event;
    ctx.feed.publish({ kind: 'event', projectId, eventId, event: kind, type, deviceId, deliveries, problem });
  }
  for (const { alarm, change, isTold } of news) {
    const { id: alarmId, projectId, ruleId, deviceId, active: isActive } = alarm;
    ctx.feed.publish({ kind: 'alarm', projectId, alarmId, ruleId, deviceId, change, isTold, isActive });
  }
  if (outbox.firings > 0) ctx.feed.publish({ kind: 'firings', count: outbox.firings });
}
