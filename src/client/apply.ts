/**
 * The one line in which a device applies what it is told: states and pulses, each in its turn, each pulse
 * once. What can't be applied is reported as failed, and the next has its turn.
 */
import { type DeviceState, dropEnded, emptyState, mergeState, type Slot } from '../domain/device/state.ts';
import { type CommandMessage, finalWhenReceived, type ReceiptMessage } from '../socket/protocol.ts';
import type { ServerClock } from './clock.ts';
import { type Keeper, type Known, type Memory, remember } from './memory.ts';
import type { Receipts } from './receipts.ts';
import { type Timers, type Timing, withDeadline } from './timing.ts';
import { isId, isRecord, messageOf, readAt, readCommand, readState, slots } from './wire.ts';

export type ApplyHooks = {
  onState?: ((state: DeviceState, changed: Slot[]) => void | Promise<void>) | undefined;
  onCommand?: ((command: CommandMessage) => void | Promise<void>) | undefined;
};

export type Apply = {
  state: (message: unknown) => void;
  command: (message: unknown) => void;
  /** Shows what is remembered and reports what was interrupted; comes before everything else. */
  start: () => void;
  up: () => void;
  down: () => void;
  close: () => void;
};

/** `members` is null when only what has ended is to be dropped. */
type StateTurn = { kind: 'state'; members: Partial<DeviceState> | null; causes: string[]; sound: boolean };
type Turn = StateTurn | { kind: 'pulse'; command: CommandMessage };

const waitingPulsesMax = 1_000;
const detailCharactersMax = 500;
/** What a device that was cut off counts too much is at most this part of what was left. */
const countedParts = 20;

export function createApply(parts: {
  memory: Memory;
  keeper: Keeper;
  receipts: Receipts;
  online: () => boolean;
  hooks: ApplyHooks;
  timers: Timers;
  timing: Timing;
  clock: ServerClock;
  random: () => number;
  problem: (where: 'onState' | 'onCommand', error: unknown) => void;
}): Apply {
  const { memory, keeper, receipts, hooks, timers, timing, clock } = parts;
  const line: Turn[] = [];
  /** Members that could not be shown: the next state shows them again, changed or not. */
  let unshown: readonly Slot[] = [];
  let shown = false;
  let busy = false;
  let closed = false;
  let callOffEnd = () => {};
  let callOffCount = () => {};

  function hear(message: unknown): void {
    const at = readAt(message);
    if (at !== null) clock.heard(at);
  }

  function report(...reports: ReceiptMessage[]): void {
    for (const receipt of reports) receipts.add(receipt);
    if (keeper.durable) void keeper.save().then(receipts.flush);
    else queueMicrotask(receipts.flush);
  }

  function settle(id: string, known: Known, detail: string | null): void {
    known.status = detail === null ? 'applied' : 'failed';
    if (detail !== null) known.detail = detail;
    report(outcome(id, detail));
  }

  function queue(turn: Turn): void {
    line.push(turn);
    if (!busy) void work();
  }

  async function work(): Promise<void> {
    busy = true;
    for (let turn = line.shift(); turn && !closed; turn = line.shift()) {
      if (turn.kind === 'state') await applyState(turn);
      else await applyPulse(turn.command);
    }
    busy = false;
  }

  /** Null when the hook came back in time and well, else what to report. */
  async function call(
    where: 'onState' | 'onCommand',
    hook: () => void | Promise<void>,
    ids: string[],
  ): Promise<string | null> {
    try {
      const result = hook();
      if (!isPromise(result)) return null;
      const callOff = timers.after(timing.receivedAfterMs, () => {
        report(...ids.map((id) => ({ id, status: 'received' as const })));
      });
      await withDeadline(timers, timing.applyMsMax, where, result).finally(callOff);
      return null;
    } catch (error) {
      parts.problem(where, error);
      return messageOf(error).slice(0, detailCharactersMax) || 'failed';
    }
  }

  async function applyState({ members, causes, sound }: StateTurn): Promise<void> {
    const before = memory.state ?? emptyState;
    if (members === null && parts.online()) return;
    const state = members === null ? dropEnded(before, clock.now()) : mergeState(before, members);
    const changed = slots.filter(
      (slot) =>
        !shown || unshown.includes(slot) || JSON.stringify(state[slot]) !== JSON.stringify(before[slot]),
    );
    memory.state = state;
    let detail = sound ? null : 'the state can not be understood';
    if (changed.length > 0) {
      shown = true;
      const { onState } = hooks;
      const failure = onState ? await call('onState', () => onState(state, changed), causes) : null;
      unshown = failure === null ? [] : changed;
      detail ??= failure;
    }
    if (closed) return;
    report(...causes.map((id) => outcome(id, detail)));
    watchEnds();
  }

  async function applyPulse(command: CommandMessage): Promise<void> {
    const known = memory.known.get(command.id);
    if (!known) return;
    const { onCommand } = hooks;
    if (Date.parse(command.expires_at) <= clock.now()) return settle(command.id, known, 'expired');
    if (!onCommand) return settle(command.id, known, 'not supported');
    known.status = 'started';
    if (keeper.durable) await keeper.save();
    if (finalWhenReceived.includes(command.function)) {
      // It may end us: told beforehand, the server does not ask again. What we remember ourselves needs no waiting.
      report({ id: command.id, status: 'received' });
      if (parts.online() || !keeper.durable) await receipts.drained(timing.answerMs);
    }
    if (closed) {
      known.status = 'waiting';
      return;
    }
    settle(command.id, known, await call('onCommand', () => onCommand(command), [command.id]));
  }

  /** The server tells when something ends; without it the device has to see to it. */
  function watchEnds(): void {
    callOffEnd();
    callOffCount();
    const { emergency, content } = memory.state ?? emptyState;
    const ends = [emergency, content].flatMap((member) =>
      member?.expires_at != null ? [Date.parse(member.expires_at)] : [],
    );
    if (ends.length === 0 || closed) return;
    const left = Math.min(...ends) - clock.now();
    countDown(left);
    if (parts.online()) return;
    callOffEnd = timers.after(left, () => {
      queue({ kind: 'state', members: null, causes: [], sound: true });
    });
  }

  /** Writes down now and then how much is left: a device that starts without a network goes on from there. */
  function countDown(left: number): void {
    if (!keeper.durable || left <= 0) return;
    callOffCount = timers.after(Math.max(timing.countDownMs, left / countedParts), () => {
      void keeper.save();
      watchEnds();
    });
  }

  function takePulse(command: CommandMessage): void {
    const { id } = command;
    const before = memory.known.get(id);
    if (before) {
      // The server asks again because it has no receipt: what became of it is said again.
      if (before.status === 'applied' || before.status === 'failed')
        report(outcome(id, before.detail ?? null));
      return;
    }
    if (line.length >= waitingPulsesMax) {
      report(outcome(id, 'too many commands wait'));
      return;
    }
    const ends = Date.parse(command.expires_at);
    remember(memory, id, command.function, ends, clock.now());
    const { jitter } = command.params;
    if (command.function === 'restart_device' && typeof jitter === 'number' && jitter > 0) {
      const wait = Math.min(jitter * 1000, Math.max(0, ends - clock.now())) * parts.random();
      timers.after(wait, () => queue({ kind: 'pulse', command }));
    } else {
      queue({ kind: 'pulse', command });
    }
  }

  return {
    state(message) {
      hear(message);
      const { message: state, sound } = readState(message);
      const { causes, ...members } = state;
      if (causes.length === 0 && Object.keys(members).length === 0) return;
      const last = line.at(-1);
      if (last?.kind === 'state' && last.members && last.sound === sound) {
        Object.assign(last.members, members);
        last.causes = [...new Set([...last.causes, ...causes])];
      } else {
        queue({ kind: 'state', members, causes, sound });
      }
    },
    command(message) {
      hear(message);
      const command = readCommand(message);
      if (command) takePulse(command);
      else if (isRecord(message) && isId(message.id)) {
        report(outcome(message.id, 'the command can not be understood'));
      }
    },
    start() {
      for (const [id, known] of memory.known) {
        if (known.status === 'started')
          settle(id, known, known.function === 'restart_device' ? null : 'interrupted');
      }
      if (memory.state) {
        queue({
          kind: 'state',
          members: { ...dropEnded(memory.state, clock.now()) },
          causes: [],
          sound: true,
        });
      }
    },
    up() {
      clock.up();
      callOffEnd();
    },
    down: watchEnds,
    close() {
      closed = true;
    },
  };
}

function outcome(id: string, detail: string | null): ReceiptMessage {
  return detail === null ? { id, status: 'applied' } : { id, status: 'failed', detail };
}

function isPromise(value: unknown): value is PromiseLike<void> {
  return isRecord(value) && typeof value.then === 'function';
}
