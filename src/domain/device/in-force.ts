/**
 * The state commands in force, in memory: what a device should be showing is folded from those that match it.
 * Loaded from the database at start and kept by what is issued; a command that no fold can show any more is
 * replaced, so that the number in force follows the number of targets and not the length of history.
 */
import type { Command } from '../../store/command.ts';
import { type DeviceState, foldSlot, type Slot, type StateCommand } from './state.ts';
import {
  coversTarget,
  matchesTarget,
  type PathOf,
  scopesOfDevice,
  scopesOfTarget,
  type Targetable,
} from './target.ts';

/** Of a state command what decides which devices show it, and for how long. */
export type CommandInForce = StateCommand & Pick<Command, 'projectId' | 'source' | 'target'> & { slot: Slot };

export function isState(command: Command): command is Command & { slot: Slot } {
  return command.slot !== null;
}

export type InForce = {
  add(command: CommandInForce): void;
  /** Takes the command out; undefined when it was not in. */
  remove(id: string): CommandInForce | undefined;
  /** The commands in force that match the device, oldest first. */
  matching(device: Targetable & { projectId: number }, slot: Slot): CommandInForce[];
  /** The commands whose place `command` takes. */
  replacedBy(command: CommandInForce, pathOf: PathOf): CommandInForce[];
  /** The commands whose end has come. */
  ended(now: number): CommandInForce[];
  /** When the next command ends, in milliseconds; null when none does. */
  nextEnd(): number | null;
  size(): number;
};

export const slots: readonly Slot[] = ['emergency', 'content', 'loop'];

export function createInForce(): InForce {
  const commands = new Map<string, CommandInForce>();
  const byScope = new Map<string, Set<CommandInForce>>();
  const bySlot = new Map<string, Set<CommandInForce>>();
  const ending = new Set<CommandInForce>();

  const filesOf = (command: CommandInForce): [Map<string, Set<CommandInForce>>, string][] => [
    ...scopesOfTarget(command.target).map((scope): [typeof byScope, string] => [
      byScope,
      `${command.projectId} ${command.slot} ${scope}`,
    ]),
    [bySlot, `${command.projectId} ${command.slot}`],
  ];

  return {
    add(command) {
      commands.set(command.id, command);
      for (const [index, key] of filesOf(command)) {
        const filed = index.get(key);
        if (filed) filed.add(command);
        else index.set(key, new Set([command]));
      }
      if (command.expiresAt !== null) ending.add(command);
    },
    remove(id) {
      const command = commands.get(id);
      if (!command) return undefined;
      commands.delete(id);
      for (const [index, key] of filesOf(command)) {
        const filed = index.get(key);
        filed?.delete(command);
        if (filed?.size === 0) index.delete(key);
      }
      ending.delete(command);
      return command;
    },
    matching(device, slot) {
      const found = new Set<CommandInForce>();
      for (const scope of scopesOfDevice(device)) {
        for (const command of byScope.get(`${device.projectId} ${slot} ${scope}`) ?? []) {
          if (matchesTarget(command.target, device)) found.add(command);
        }
      }
      return [...found].sort((one, other) => (one.id < other.id ? -1 : 1));
    },
    replacedBy(command, pathOf) {
      const others = [...(bySlot.get(`${command.projectId} ${command.slot}`) ?? [])];
      return others.filter((other) => replaces(command, other, pathOf));
    },
    ended: (now) => [...ending].filter((command) => command.expiresAt !== null && command.expiresAt <= now),
    nextEnd() {
      let next: number | null = null;
      for (const { expiresAt } of ending) {
        if (expiresAt !== null && (next === null || expiresAt < next)) next = expiresAt;
      }
      return next;
    },
    size: () => commands.size,
  };
}

/** Whether `later` takes the place of `other`: then no fold can show that one any more, wherever devices move. */
export function replaces(later: CommandInForce, other: CommandInForce, pathOf: PathOf): boolean {
  if (other.slot !== later.slot || other.projectId !== later.projectId || other.id >= later.id) return false;
  // An emergency adds to those there are: only the same step again renews one.
  if (later.function === 'enable_emergency') return later.source !== null && other.source === later.source;
  return coversTarget(later.target, other.target, pathOf);
}

/** What the device should be showing at `now`. */
export function stateOf(
  inForce: InForce,
  device: Targetable & { projectId: number },
  now: number,
): DeviceState {
  return {
    emergency: foldSlot('emergency', inForce.matching(device, 'emergency'), now),
    content: foldSlot('content', inForce.matching(device, 'content'), now),
    loop: foldSlot('loop', inForce.matching(device, 'loop'), now),
  };
}
