/**
 * Tells the connected devices what has changed: one message for each distinct outcome, however many devices
 * share it. Called after the commit; who is not connected is caught up on return.
 */
import { listCommandsInForce, retireCommands } from '../store/command.ts';
import { fromJson } from '../store/json.ts';
import type { Row } from '../store/schema.ts';
import type { BaseContext } from './context.ts';
import { instant } from './input.ts';
import type { Connection } from './presence.ts';
import type { NewCommand } from './queue.ts';
import type { StandingCommand } from './standing.ts';
import { foldSlot, type Slot } from './state.ts';
import type { Target } from './target.ts';

export function sendPulse(ctx: BaseContext, command: NewCommand): void {
  const connections = ctx.presence.match(command.projectId, command.target);
  publish(ctx, command, connections.length);
  if (connections.length === 0) return;
  ctx.presence.send(connections, {
    event: 'command',
    message: {
      id: command.id,
      function: command.function,
      params: command.params,
      issued_at: instant(command.issuedAt),
      expires_at: instant(command.expiresAt ?? command.issuedAt),
      trigger_id: command.triggerId,
    },
  });
}

/** Takes a state command in force, the ones it retires out, and tells every device that either concerns. */
export function sendState(
  ctx: BaseContext,
  command: NewCommand & { slot: Slot },
  retired: readonly StandingCommand[],
): void {
  const { id, projectId, slot, source, params, target, expiresAt } = command;
  for (const other of retired) ctx.standing.remove(other.id);
  ctx.standing.add({ id, projectId, slot, source, function: command.function, params, target, expiresAt });
  const caused = new Set(ctx.presence.match(projectId, target));
  const others = connectionsOf(ctx, retired).filter((connection) => !caused.has(connection));
  publish(ctx, command, caused.size);
  sendOutcomes(ctx, slot, [...caused], [id]);
  sendOutcomes(ctx, slot, others, []);
}

/** Takes commands out of force, whose end has come or that were canceled, and tells every device they concern. */
export function sendEnds(ctx: BaseContext, ended: readonly StandingCommand[]): void {
  const bySlot = Map.groupBy(ended, (command) => command.slot);
  for (const [slot, commands] of bySlot) {
    for (const command of commands) ctx.standing.remove(command.id);
    sendOutcomes(ctx, slot, connectionsOf(ctx, commands), []);
  }
}

function connectionsOf(ctx: BaseContext, commands: readonly StandingCommand[]): Connection[] {
  return [...new Set(commands.flatMap((command) => ctx.presence.match(command.projectId, command.target)))];
}

function sendOutcomes(
  ctx: BaseContext,
  slot: Slot,
  connections: readonly Connection[],
  causes: string[],
): void {
  const now = ctx.now();
  const outcomes = new Map<string, { commands: StandingCommand[]; connections: Connection[] }>();
  for (const connection of connections) {
    const commands = ctx.standing.matching(connection.device, slot);
    const key = commands.map((command) => command.id).join();
    const outcome = outcomes.get(key);
    if (outcome) outcome.connections.push(connection);
    else outcomes.set(key, { commands, connections: [connection] });
  }
  for (const { commands, connections: sharing } of outcomes.values()) {
    const message = { [slot]: foldSlot(slot, commands, now), causes };
    ctx.presence.send(sharing, { event: 'state', message });
  }
}

function publish(ctx: BaseContext, command: NewCommand, connections: number): void {
  const { projectId, id: commandId, expiresAt: end } = command;
  ctx.feed.publish({ kind: 'command', projectId, commandId, function: command.function, connections, end });
}

/** Ends the states whose time has come; answers the milliseconds until the next end. The server's clock decides. */
export async function endStates(ctx: BaseContext): Promise<number> {
  const ended = ctx.standing.ended(ctx.now());
  sendEnds(ctx, ended);
  await retireCommands(
    ctx.db,
    ended.map((command) => command.id),
  );
  const next = ctx.standing.nextEnd();
  return next === null ? Number.POSITIVE_INFINITY : Math.max(0, next - ctx.now());
}

/** Brings the commands in force back from the database at start. */
export async function loadStanding(ctx: BaseContext): Promise<void> {
  for (const row of await listCommandsInForce(ctx.db)) {
    const command = standingCommandOf(row);
    if (command) ctx.standing.add(command);
  }
}

export function standingCommandOf(row: Row<'commands'>): StandingCommand | null {
  if (row.slot === null) return null;
  return {
    id: row.id,
    projectId: row.project_id,
    slot: row.slot as Slot,
    source: row.source,
    function: row.function,
    params: fromJson<Record<string, unknown>>(row.params_json),
    target: fromJson<Target>(row.target_json),
    expiresAt: row.expires_at,
  };
}
