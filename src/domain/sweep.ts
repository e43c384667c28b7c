/** What has grown old is deleted in small batches, so that a sweep never holds up a trigger. */
import { deleteAlarmsBelow } from '../store/alarm.ts';
import { deleteAuditBefore } from '../store/audit.ts';
import { deleteCommandsBelow, deletePulsesBefore } from '../store/command.ts';
import { deleteDeliveriesBelow } from '../store/delivery.ts';
import { deleteEventsBelow } from '../store/event.ts';
import { deleteFirstAnswersBefore } from '../store/idempotency.ts';
import { inTransaction } from '../store/open.ts';
import { deleteReceiptsOfCommands } from '../store/receipt.ts';
import { deleteSessionsBefore } from '../store/session.ts';
import { deleteTriggersBelow } from '../store/trigger.ts';
import { deleteWebhookLogsBelow } from '../store/webhook-log.ts';
import type { Context } from './context.ts';
import { firstIdAt } from './id.ts';

const dayMs = 24 * 60 * 60 * 1_000;
const rowsPerBatch = 500;
const auditKeptDays = 365;
/** Deliveries that wait for a webhook that is switched off, or for a person, are kept for so many days more. */
const unfinishedDays = 7;

/**
 * Deletes triggers, commands, receipts, events, deliveries and alarms older than `retainDays`, and the logs of webhooks
 * older than `retainLogDays`; 0 keeps what a setting rules for ever. Commands in force, alarms that are active and
 * deliveries that are not finished stay. What has an end of its own goes in any case: sessions, answers that are kept
 * for repeated calls, pulses, and the list of changes after a year.
 */
export async function sweep(
  ctx: Context,
  { retainDays, retainLogDays }: { retainDays: number; retainLogDays: number },
): Promise<void> {
  const now = ctx.now();
  await deletePulsesBefore(ctx.db, now - dayMs);
  await deleteFirstAnswersBefore(ctx.db, now - dayMs);
  await deleteSessionsBefore(ctx.db, now);
  await repeat(() => deleteAuditBefore(ctx.db, now - auditKeptDays * dayMs, rowsPerBatch));
  if (retainLogDays > 0) {
    const oldest = firstIdAt(now - retainLogDays * dayMs);
    await repeat(() => deleteWebhookLogsBelow(ctx.db, oldest, rowsPerBatch));
  }
  if (retainDays > 0) await sweepHistory(ctx, now, retainDays);
}

/** What was called, sent and said. */
async function sweepHistory(ctx: Pick<Context, 'db'>, now: number, retainDays: number): Promise<void> {
  const oldest = firstIdAt(now - retainDays * dayMs);
  const forgotten = firstIdAt(now - (retainDays + unfinishedDays) * dayMs);
  await repeat(() => deleteTriggersBelow(ctx.db, oldest, rowsPerBatch));
  await repeat(() =>
    inTransaction(ctx.db, async (tx) => {
      const ids = await deleteCommandsBelow(tx, oldest, rowsPerBatch);
      await deleteReceiptsOfCommands(tx, ids);
      return ids.length;
    }),
  );
  await repeat(() => deleteDeliveriesBelow(ctx.db, oldest, rowsPerBatch, 'finished'));
  await repeat(() => deleteDeliveriesBelow(ctx.db, forgotten, rowsPerBatch, 'all'));
  await repeat(() => deleteEventsBelow(ctx.db, oldest, rowsPerBatch));
  await repeat(() => deleteAlarmsBelow(ctx.db, oldest, rowsPerBatch));
}

async function repeat(batch: () => Promise<number>): Promise<void> {
  while ((await batch()) === rowsPerBatch) await new Promise((resolve) => setImmediate(resolve));
}
