/** A command before it is issued: what a step or a caller asked for, with its id and its end. */

import type { Slot } from '../device/state.ts';
import type { Target } from '../device/target.ts';
import { newId } from '../id.ts';
import { endOf, slotOf } from './function-catalogue.ts';

/** A command that is about to be issued. Instants in milliseconds. */
export type NewCommand = {
  id: string;
  projectId: number;
  triggerId: string | null;
  source: string | null;
  function: string;
  slot: Slot | null;
  params: Record<string, unknown>;
  target: Target;
  issuedAt: number;
  expiresAt: number | null;
};

/** Makes a command of params that were checked. `now` in milliseconds. */
export function newCommand(of: {
  projectId: number;
  triggerId: string | null;
  source: string | null;
  function: string;
  params: Record<string, unknown>;
  target: Target;
  now: number;
}): NewCommand {
  const { now, ...rest } = of;
  return {
    ...rest,
    id: newId(now),
    slot: slotOf(of.function),
    issuedAt: now,
    expiresAt: endOf(of.function, of.params, now),
  };
}
