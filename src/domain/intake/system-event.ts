/**
 * Events of the server itself: devices come and go, triggers fire, commands are covered or missed, webhooks are
 * switched off. Made from what the feed tells, and written down only where a webhook asks for them.
 */

import { selectCommand, selectUnexpiredPulses } from '../../store/command.ts';
import { selectDevice } from '../../store/device.ts';
import { coverageOfCommands, hasEnded, payloadOfCoverage } from '../command/coverage.ts';
import type { Context } from '../context.ts';
import { factsOf } from '../device/presence.ts';
import type { Origin } from '../event/event.ts';
import { originOf } from '../event/origin.ts';
import { eventOfFact, payloadOfSystem, type SystemEvent } from '../fact.ts';
import type { Fact } from '../feed.ts';
import { readyWebhooks } from '../webhook/ready-webhook.ts';

/** Receipts come in bursts: a command is looked at again once they have settled for a moment. */
const lookEveryMs = 500;
const jsonType = 'application/json';

/** `isDirty`: something has happened to the command since it was looked at. */
type Watched = { projectId: number; end: number | null; isDirty: boolean };

export type SystemEvents = {
  /** A listener of the feed. */
  hear(fact: Fact): void;
  /** Looks at the commands that are watched; answers the milliseconds until it wants to look again. */
  look(): Promise<number>;
  /** Takes up the commands that were watched before a restart. */
  load(): Promise<void>;
  /** Resolves when what was heard is written. */
  drain(): Promise<void>;
};

export function createSystemEvents(ctx: Context): SystemEvents {
  const watched = new Map<string, Watched>();
  const writing = new Set<Promise<void>>();

  function write(event: SystemEvent): void {
    const work = record(ctx, event).catch((error: unknown) =>
      ctx.log.error({ err: error, type: event.type }, 'an event of the server could not be stored'),
    );
    writing.add(work);
    void work.finally(() => writing.delete(work));
  }

  async function watch(projectId: number, commandId: string, end: number | null): Promise<void> {
    if (!(await asksForCoverage(ctx, projectId))) return;
    watched.set(commandId, { projectId, end, isDirty: true });
  }

  function touch(commandId: string): void {
    const known = watched.get(commandId);
    if (known) known.isDirty = true;
  }

  async function lookAt(commandId: string, projectId: number): Promise<void> {
    const command = await selectCommand(ctx.db, projectId, commandId);
    if (!command || command.canceledAt !== null) {
      watched.delete(commandId);
      return;
    }
    const coverage = (await coverageOfCommands(ctx, [command])).get(commandId);
    if (!coverage) return;
    const { targeted, applied } = coverage;
    const isCovered = targeted > 0 && applied === targeted;
    if (!isCovered && !hasEnded(command, ctx.now())) return;
    watched.delete(commandId);
    const { covered, missed } = payloadOfCoverage(command, coverage);
    if (isCovered) write({ type: 'command.covered', projectId, data: covered });
    else if (targeted > 0) write({ type: 'command.missed', projectId, data: missed });
  }

  return {
    hear(fact) {
      const event = eventOfFact(fact);
      if (event) write(event);
      if (fact.kind === 'command') {
        for (const id of fact.replaced) touch(id);
        void watch(fact.projectId, fact.commandId, fact.end).catch((error: unknown) =>
          ctx.log.error({ err: error }, 'a command could not be watched'),
        );
      } else if (fact.kind === 'receipt') touch(fact.commandId);
      // What was taken back was not missed.
      else if (fact.kind === 'change' && fact.change === 'command.cancel') watched.delete(fact.subject);
    },
    async look() {
      const now = ctx.now();
      for (const [id, command] of [...watched]) {
        const isOver = command.end !== null && command.end <= now;
        if (!command.isDirty && !isOver) continue;
        command.isDirty = false;
        try {
          await lookAt(id, command.projectId);
        } catch (error) {
          command.isDirty = true;
          // Next time the others come first.
          if (watched.delete(id)) watched.set(id, command);
          throw error;
        }
      }
      return lookEveryMs;
    },
    async load() {
      for (const pulse of await selectUnexpiredPulses(ctx.db, ctx.now()))
        await watch(pulse.projectId, pulse.id, pulse.expiresAt);
    },
    async drain() {
      while (writing.size > 0) await Promise.all(writing);
    },
  };
}

/** Coverage is counted only for projects in which a webhook could get it. */
async function asksForCoverage(ctx: Context, projectId: number): Promise<boolean> {
  for (const { filter, enabled } of (await readyWebhooks(ctx, projectId)).values()) {
    const named = filter.event_types?.some((type) => type.startsWith('command.')) ?? false;
    if (enabled && (named || filter.kinds?.includes('system'))) return true;
  }
  return false;
}

async function record(ctx: Context, { type, projectId, data, deviceId }: SystemEvent): Promise<void> {
  const webhooks = await readyWebhooks(ctx, projectId);
  if (webhooks.size === 0) return;
  const origin = deviceId === undefined ? {} : await deviceOrigin(ctx, projectId, deviceId);
  const payload = payloadOfSystem(data, origin.device, ctx.now());
  const body = Buffer.from(JSON.stringify(payload));
  const job = {
    projectId,
    kind: 'system' as const,
    type,
    label: null,
    origin,
    mediaType: jsonType,
    body,
    payload,
  };
  await ctx.queues.intake.addIfWanted(job);
}

async function deviceOrigin(ctx: Context, projectId: number, deviceId: number): Promise<Origin> {
  const device = await selectDevice(ctx.db, projectId, deviceId);
  if (!device) return {};
  return originOf(ctx, {
    device: factsOf(device),
    address: ctx.live.presence.connectionsOf(deviceId)[0]?.address ?? device.address,
  });
}
