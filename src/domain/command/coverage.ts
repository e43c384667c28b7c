/** Coverage is the proof: of the devices a command is for, which have done it, and which have not. */

import { setTimeout } from 'node:timers/promises';
import type { Command } from '../../store/command.ts';
import { selectDeviceNames } from '../../store/device.ts';
import { type Receipt, selectReceiptsOfCommands } from '../../store/receipt.ts';
import { selectTargeted } from '../../store/target.ts';
import type { Context } from '../context.ts';
import type { ReceiptStatus } from '../device/protocol.ts';
import { instant } from '../input.ts';

const missingShownMax = 50;
const pollMs = 1_000;
/** Receipts come in bursts: looking again for each would cost more than the answer is late. */
const settleMs = 25;

export type DeviceCoverage = {
  id: number;
  /** Null for a device that has been deleted since. */
  name: string | null;
  online: boolean;
  /** `expired`: the command has ended and nothing final was heard. `missing`: nothing was heard yet. */
  status: ReceiptStatus | 'expired' | 'missing';
  detail: string | null;
  at: string | null;
};

/** Every targeted device is counted once, under one of the five statuses; `online` counts across them. */
export type CommandCoverage = {
  targeted: number;
  online: number;
  received: number;
  applied: number;
  failed: number;
  expired: number;
  missing: number;
  devices: DeviceCoverage[];
};

/** What `command.covered` and `command.missed` tell; the devices are those that are missing. */
export function payloadOfCoverage(
  command: Pick<Command, 'id' | 'triggerId' | 'function'>,
  { devices, ...counts }: CommandCoverage,
) {
  const about = {
    command_id: command.id,
    trigger_id: command.triggerId,
    function: command.function,
    ...counts,
  };
  const missing = devices.filter((device) => device.status !== 'applied').slice(0, missingShownMax);
  return {
    covered: about,
    missed: { ...about, missing_devices: missing.map(({ id, name, status }) => ({ id, name, status })) },
  };
}

/** Coverage of several commands, by command id. Devices are those the target matches now and those that answered. */
export async function coverageOfCommands(
  ctx: Pick<Context, 'db' | 'now' | 'live'>,
  commands: readonly Command[],
): Promise<Map<string, CommandCoverage>> {
  const receipts = await selectReceiptsOfCommands(
    ctx.db,
    commands.map((command) => command.id),
  );
  const { isOnline } = ctx.live.presence;
  const byCommand = Map.groupBy(receipts, (receipt) => receipt.commandId);
  const coverages = new Map<string, CommandCoverage>();
  for (const command of commands) {
    const targeted = await selectTargeted(ctx.db, command.projectId, command.target);
    const heard = byCommand.get(command.id) ?? [];
    const moved = await movedAway(ctx, command.projectId, targeted, heard);
    const concerned = [...targeted, ...moved];
    coverages.set(command.id, coverageOf(command, concerned, heard, { now: ctx.now(), isOnline }));
  }
  return coverages;
}

type NamedDevice = { id: number; name: string | null };

/** Devices that answered and that the target matches no more; those that were deleted have no name. */
async function movedAway(
  ctx: Pick<Context, 'db'>,
  projectId: number,
  targeted: readonly NamedDevice[],
  receipts: readonly Receipt[],
): Promise<NamedDevice[]> {
  const matched = new Set(targeted.map((device) => device.id));
  const ids = [...new Set(receipts.map((receipt) => receipt.deviceId))].filter((id) => !matched.has(id));
  if (ids.length === 0) return [];
  const names = await selectDeviceNames(ctx.db, projectId, ids);
  return ids.map((id) => ({ id, name: names.get(id) ?? null }));
}

/** A device that has applied a command has applied it, whatever it says besides. */
const weights: Readonly<Record<ReceiptStatus, number>> = { received: 0, failed: 1, applied: 2 };

/** Of each device the receipt that counts. */
function countingReceipts(receipts: readonly Receipt[]): Map<number, Receipt> {
  const counting = new Map<number, Receipt>();
  for (const receipt of receipts) {
    const known = counting.get(receipt.deviceId);
    if (!known || weights[receipt.status] > weights[known.status]) counting.set(receipt.deviceId, receipt);
  }
  return counting;
}

function statusOf(receipt: Receipt | undefined, isOver: boolean): DeviceCoverage['status'] {
  if (receipt && receipt.status !== 'received') return receipt.status;
  if (isOver) return 'expired';
  return receipt ? 'received' : 'missing';
}

/** What `concerned`, the devices a command is for, have said of it. Pure. */
export function coverageOf(
  command: Command,
  concerned: readonly NamedDevice[],
  receipts: readonly Receipt[],
  { now, isOnline }: { now: number; isOnline: (deviceId: number) => boolean },
): CommandCoverage {
  const counting = countingReceipts(receipts);
  const isOver = hasEnded(command, now);
  const devices = concerned.map(({ id, name }): DeviceCoverage => {
    const receipt = counting.get(id);
    return {
      id,
      name,
      online: isOnline(id),
      status: statusOf(receipt, isOver),
      detail: receipt?.detail ?? null,
      at: instant(receipt?.at ?? null),
    };
  });
  const counts = { online: 0, received: 0, applied: 0, failed: 0, expired: 0, missing: 0 };
  for (const { online, status } of devices) {
    counts[status] += 1;
    if (online) counts.online += 1;
  }
  return { targeted: devices.length, ...counts, devices };
}

/** A pulse ends with its time, a state also when another takes its place; either can be canceled. */
export function hasEnded(command: Command, now: number): boolean {
  if (command.canceledAt !== null) return true;
  if (command.slot !== null && !command.inForce) return true;
  return command.expiresAt !== null && command.expiresAt <= now;
}

/** What a caller that waits is told about all commands of its trigger together. */
export type Coverage = {
  targeted: number;
  applied: number;
  failed: number;
  missing: { id: number; name: string | null }[];
  reached: boolean;
};

/** A device counts as applied when it has applied everything that was meant for it. `quorum` in percent. */
export function summarize(coverages: readonly CommandCoverage[], quorum: number): Coverage {
  const devices = new Map<number, { name: string | null; statuses: Set<string> }>();
  for (const { devices: covered } of coverages) {
    for (const { id, name, status } of covered) {
      const known = devices.get(id);
      if (known) known.statuses.add(status);
      else devices.set(id, { name, statuses: new Set([status]) });
    }
  }
  const missing: Coverage['missing'] = [];
  let applied = 0;
  let failed = 0;
  for (const [id, { name, statuses }] of devices) {
    if (statuses.has('failed')) failed += 1;
    else if (statuses.size === 1 && statuses.has('applied')) applied += 1;
    else if (missing.length < missingShownMax) missing.push({ id, name });
  }
  const reached = applied * 100 >= devices.size * quorum;
  return { targeted: devices.size, applied, failed, missing, reached };
}

/** Waits until `quorum` percent of the devices have applied the commands, time is up, or the caller is gone. */
export async function waitForCoverage(
  ctx: Pick<Context, 'feed' | 'process'>,
  read: () => Promise<CommandCoverage[]>,
  commandIds: ReadonlySet<string>,
  options: { waitMs: number; quorum: number; signal: AbortSignal },
): Promise<Coverage> {
  const deadline = performance.now() + options.waitMs;
  const signal = AbortSignal.any([options.signal, ctx.process.stopping]);
  let heard = new AbortController();
  const unsubscribe = ctx.feed.subscribe((fact) => {
    if (fact.kind === 'receipt' && commandIds.has(fact.commandId)) heard.abort();
  });
  try {
    for (;;) {
      heard = new AbortController();
      const coverage = summarize(await read(), options.quorum);
      const left = deadline - performance.now();
      if (coverage.reached || left <= 0 || signal.aborted) return coverage;
      await pause(Math.min(left, pollMs), AbortSignal.any([signal, heard.signal]));
      await pause(Math.min(settleMs, Math.max(0, deadline - performance.now())), signal);
    }
  } finally {
    unsubscribe();
  }
}

/** Ends early when the signal is aborted. */
async function pause(milliseconds: number, signal: AbortSignal): Promise<void> {
  await setTimeout(milliseconds, undefined, { signal }).catch(() => undefined);
}
