/** A receipt is what one device says about one command. Receipts are facts: stored once, never changed. */
import { z } from 'zod';
import { selectTargets } from '../../store/command.ts';
import { inTransaction } from '../../store/open.ts';
import { insertReceipts, type Receipt } from '../../store/receipt.ts';
import { createCommits } from '../commit.ts';
import type { Context } from '../context.ts';
import type { DeviceFacts } from '../device/presence.ts';
import { matchesTarget, type Target } from '../device/target.ts';
import { Fault } from '../fault.ts';
import { parseInput } from '../input.ts';
import type { ReceiptJob, Receipts } from '../jobs.ts';

const messagesPerCommit = 1_000;
const receiptsPerMessageMax = 1_000;
const detailMax = 500;

const receiptSchema = z.object({
  id: z.string().max(36),
  status: z.enum(['received', 'applied', 'failed']),
  detail: z
    .string()
    .transform((text) => text.slice(0, detailMax))
    .nullish(),
});
const receiptsSchema = z.union([
  z.array(receiptSchema).min(1).max(receiptsPerMessageMax),
  receiptSchema.transform((receipt) => [receipt]),
]);

type ReceiptContext = Pick<Context, 'db' | 'now' | 'feed'>;

export function createReceipts(ctx: ReceiptContext): Receipts {
  return createCommits<ReceiptJob, true>((jobs) => commit(ctx, jobs), messagesPerCommit);
}

/**
 * Stores one receipt or an array of them; resolves once they are stored. Throws `bad_request`, or
 * `unknown_command` when a command is not one for this device: the others of the array are stored all the same.
 */
export async function takeReceipts(
  ctx: Pick<Context, 'queues'>,
  device: DeviceFacts,
  input: unknown,
): Promise<void> {
  await ctx.queues.receipts.add({ device, receipts: parseInput(receiptsSchema, input) });
}

/** What a device has acknowledged as the wire does, without a receipt of its own, has been received. Never throws. */
export function noteReceived(
  ctx: Pick<Context, 'queues' | 'log'>,
  device: DeviceFacts,
  commandId: string,
): void {
  ctx.queues.receipts
    .add({ device, receipts: [{ id: commandId, status: 'received' }] })
    .catch((error: unknown) => {
      // Retargeted meanwhile: then it is not this device's any more.
      if (error instanceof Fault) return;
      ctx.log.error({ err: error, device: device.id }, 'what a device has received could not be stored');
    });
}

async function commit(ctx: ReceiptContext, jobs: readonly ReceiptJob[]): Promise<(true | Fault)[]> {
  const at = ctx.now();
  const targets = new Map<number, Map<string, Target>>();
  const byProject = Map.groupBy(jobs, (job) => job.device.projectId);
  for (const [projectId, ofProject] of byProject) {
    const ids = new Set(ofProject.flatMap((job) => job.receipts.map((receipt) => receipt.id)));
    targets.set(projectId, await selectTargets(ctx.db, projectId, [...ids]));
  }
  const isOwn = (device: DeviceFacts, commandId: string) => {
    const target = targets.get(device.projectId)?.get(commandId);
    return target !== undefined && matchesTarget(target, device);
  };
  const taken = jobs.flatMap(({ device, receipts }) =>
    receipts.filter((receipt) => isOwn(device, receipt.id)).map((receipt) => ({ device, receipt })),
  );
  const stored = taken.map(
    ({ device, receipt }): Receipt => ({
      commandId: receipt.id,
      deviceId: device.id,
      status: receipt.status,
      detail: receipt.detail ?? null,
      at,
    }),
  );
  if (stored.length > 0) await inTransaction(ctx.db, (tx) => insertReceipts(tx, stored));
  for (const { device, receipt } of taken) {
    const { projectId, id: deviceId } = device;
    const { id: commandId, status } = receipt;
    ctx.feed.publish({ kind: 'receipt', projectId, commandId, deviceId, status, at });
  }
  return jobs.map(({ device, receipts }) => {
    const foreign = receipts.find((receipt) => !isOwn(device, receipt.id));
    return foreign ? new Fault('unknown_command', `there is no command ${foreign.id} for this device`) : true;
  });
}
