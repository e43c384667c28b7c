/** What has grown old is deleted in small batches, so that a sweep never holds up a trigger. */
import { deleteAuditBefore } from '../store/audit.ts';
import { deleteCommandsBelow, deletePulsesBefore } from '../store/command.ts';
import { inTransaction } from '../store/open.ts';
import { deleteReceiptsOfCommands } from '../store/receipt.ts';
import { deleteAnswersBefore, deleteTriggersBelow } from '../store/trigger.ts';
import { deleteSessionsBefore } from '../store/user.ts';
import type { Context } from './context.ts';
import { firstIdAt } from './id.ts';

const dayMs = 24 * 60 * 60 * 1_000;
const rowsPerBatch = 500;
const auditKeptDays = 365;

/** Deletes triggers, commands and receipts older than `retainDays`; commands in force stay. */
export async function sweep(ctx: Context, retainDays: number): Promise<void> {
  const now = ctx.now();
  const oldest = firstIdAt(now - retainDays * dayMs);
  await deletePulsesBefore(ctx.db, now - dayMs);
  await deleteAnswersBefore(ctx.db, now - dayMs);
  await deleteSessionsBefore(ctx.db, now);
  await repeat(() => deleteTriggersBelow(ctx.db, oldest, rowsPerBatch));
  await repeat(() =>
    inTransaction(ctx.db, async (tx) => {
      const ids = await deleteCommandsBelow(tx, oldest, rowsPerBatch);
      await deleteReceiptsOfCommands(tx, ids);
      return ids.length;
    }),
  );
  await repeat(() => deleteAuditBefore(ctx.db, now - auditKeptDays * dayMs, rowsPerBatch));
}

async function repeat(batch: () => Promise<number>): Promise<void> {
  while ((await batch()) === rowsPerBatch) await new Promise((resolve) => setImmediate(resolve));
}
