/** Coverage is the proof: of the devices a command is for, which have done it, and which have not. */

import type { Command } from '../../store/command.ts';
import { findDevices } from '../../store/device.ts';
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

/** Coverage of several commands, by command id. Devices are those the target matches now and those that answered. */
export async function coverageOfCommands(
  ctx: Pick<Context, 'db' | 'now' | 'live'>,
  commands: readonly Command[],
): Promise<Map<string, CommandCoverage>> {
  const receipts = await selectReceiptsOfCommands(
    ctx.db,
    commands.map((command) => command.id),
  );
  const byCommand = Map.groupBy(receipts, (receipt) => receipt.commandId);
  const coverages = new Map<string, CommandCoverage>();
  for (const command of commands) {
    const targeted = await selectTargeted(ctx.db, command.projectId, command.target);
    const heard = byCommand.get(command.id) ?? [];
    const moved = await movedAway(ctx, command.projectId, targeted, heard);
    coverages.set(command.id, coverageOf(ctx, command, [...targeted, ...moved], heard));
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
  const names = new Map((await findDevices(ctx.db, projectId, ids)).map((row) => [row.id, row.name]));
  return ids.map((id) => ({ id, name: names.get(id) ?? null }));
}

const finality: Readonly<Record<string, number>> = { received: 0, failed: 1, applied: 2 };

function coverageOf(
  ctx: Pick<Context, 'now' | 'live'>,
  command: Command,
  concerned: readonly NamedDevice[],
  receipts: readonly Receipt[],
): CommandCoverage {
  const heard = new Map<number, Receipt>();
  for (const receipt of receipts) {
    const known = heard.get(receipt.deviceId);
    if (!known || (finality[receipt.status] ?? 0) > (finality[known.status] ?? 0)) {
      heard.set(receipt.deviceId, receipt);
    }
  }
  const ended = hasEnded(command, ctx.now());
  const devices = concerned.map(({ id, name }): DeviceCoverage => {
    const receipt = heard.get(id);
    const final = receipt && receipt.status !== 'received';
    const status = final ? receipt.status : ended ? 'expired' : (receipt?.status ?? 'missing');
    return {
      id,
      name,
      online: ctx.live.presence.isOnline(id),
      status: status as DeviceCoverage['status'],
      detail: receipt?.detail ?? null,
      at: instant(receipt?.at ?? null),
    };
  });
  const count = (status: DeviceCoverage['status']) =>
    devices.filter((device) => device.status === status).length;
  return {
    targeted: devices.length,
    online: devices.filter((device) => device.online).length,
    received: count('received'),
    applied: count('applied'),
    failed: count('failed'),
    expired: count('expired'),
    missing: count('missing'),
    devices,
  };
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
  let heard = Promise.withResolvers<void>();
  const unsubscribe = ctx.feed.subscribe((fact) => {
    if (fact.kind === 'receipt' && commandIds.has(fact.commandId)) heard.resolve();
  });
  try {
    for (;;) {
      heard = Promise.withResolvers();
      const coverage = summarize(await read(), options.quorum);
      const left = deadline - performance.now();
      if (coverage.reached || left <= 0 || signal.aborted) return coverage;
      await Promise.race([heard.promise, pause(Math.min(left, pollMs), signal)]);
      await pause(Math.min(settleMs, Math.max(0, deadline - performance.now())), signal);
    }
  } finally {
    unsubscribe();
  }
}

function pause(milliseconds: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const done = () => {
      clearTimeout(timer);
      signal.removeEventListener('abort', done);
      resolve();
    };
    const timer = setTimeout(done, milliseconds);
    signal.addEventListener('abort', done);
  });
}
