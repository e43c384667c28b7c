/** Makes commands: what a step or a caller asked for gets its id, what it is to devices, and its end. */

import type { Command } from '../../store/command.ts';
import { newId } from '../id.ts';
import { endOf, slotOf } from './function-catalogue.ts';

/** A command about to be issued, of params that were checked. `now` in milliseconds. */
export function newCommand(
  of: Pick<Command, 'projectId' | 'triggerId' | 'source' | 'function' | 'params' | 'target'>,
  now: number,
): Command {
  const slot = slotOf(of.function);
  return {
    id: newId(now),
    projectId: of.projectId,
    triggerId: of.triggerId,
    source: of.source,
    function: of.function,
    slot,
    params: of.params,
    target: of.target,
    issuedAt: now,
    expiresAt: endOf(of.function, of.params, now),
    inForce: slot !== null,
    canceledAt: null,
  };
}
