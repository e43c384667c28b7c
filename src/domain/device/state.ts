/**
 * State is what a device should be showing now. It is never stored: it is folded from the state commands
 * that are in force for the device, by the server and by the device library alike.
 */

/** What one emergency shows. `expires_at` is RFC 3339 or null for "until disabled". */
export type EmergencyState = {
  command_id: string;
  message: string | null;
  url: string | null;
  level: 'info' | 'warning' | 'critical';
  priority: number;
  drill: boolean;
  expires_at: string | null;
};
export type ContentState = { command_id: string; url: string; expires_at: string | null };
export type LoopState = { command_id: string; paused: boolean };

/** Null in a member means that nothing was said about it: the device shows what is its own. */
export type DeviceState = {
  emergency: EmergencyState | null;
  content: ContentState | null;
  loop: LoopState | null;
};

export type Slot = keyof DeviceState;

/**
 * A change carries only the members that changed, and the commands that caused it. `at` is what the server's clock
 * showed when it was sent, RFC 3339; a server that is older does not say it.
 */
export type StateMessage = Partial<DeviceState> & { causes: string[]; at?: string };

/** A state command as the fold sees it: `expiresAt` in milliseconds since the epoch, null for no end. */
export type StateCommand = {
  id: string;
  function: string;
  params: Readonly<Record<string, unknown>>;
  expiresAt: number | null;
};

export const emptyState: DeviceState = Object.freeze({ emergency: null, content: null, loop: null });

/** Merges what a `state` message says into what was known. */
export function mergeState(state: DeviceState, message: Partial<DeviceState>): DeviceState {
  return {
    emergency: message.emergency === undefined ? state.emergency : message.emergency,
    content: message.content === undefined ? state.content : message.content,
    loop: message.loop === undefined ? state.loop : message.loop,
  };
}

/** Drops the members whose end has come; the same object when nothing ended. `now` in milliseconds. */
export function dropEnded(state: DeviceState, now: number): DeviceState {
  const ended = (member: { expires_at: string | null } | null) =>
    member?.expires_at != null && Date.parse(member.expires_at) <= now;
  if (!ended(state.emergency) && !ended(state.content)) return state;
  return {
    emergency: ended(state.emergency) ? null : state.emergency,
    content: ended(state.content) ? null : state.content,
    loop: state.loop,
  };
}

/**
 * Folds the commands of one slot that are in force and match one device, oldest first, into what the slot
 * shows: the emergency of the highest priority (the latest of equals), the latest content, the latest loop.
 */
export function foldSlot<S extends Slot>(
  slot: S,
  commands: readonly StateCommand[],
  now: number,
): DeviceState[S];
export function foldSlot(slot: Slot, commands: readonly StateCommand[], now: number): DeviceState[Slot] {
  const live = commands.filter((command) => command.expiresAt === null || command.expiresAt > now);
  if (slot === 'emergency') return foldEmergency(live);
  const latest = live.at(-1);
  if (!latest) return null;
  return slot === 'content'
    ? { command_id: latest.id, url: String(latest.params.url), expires_at: timeText(latest.expiresAt) }
    : { command_id: latest.id, paused: latest.function === 'pause_loop' };
}

function foldEmergency(commands: readonly StateCommand[]): EmergencyState | null {
  let shown: StateCommand | null = null;
  for (const command of commands) {
    if (command.function === 'disable_emergency') shown = null;
    else if (!shown || priorityOf(command) >= priorityOf(shown)) shown = command;
  }
  if (!shown) return null;
  const { message, url, level, drill } = shown.params;
  return {
    command_id: shown.id,
    message: typeof message === 'string' ? message : null,
    url: typeof url === 'string' ? url : null,
    level: level === 'info' || level === 'warning' ? level : 'critical',
    priority: priorityOf(shown),
    drill: drill === true,
    expires_at: timeText(shown.expiresAt),
  };
}

const priorityDefault = 50;

function priorityOf(command: StateCommand): number {
  return typeof command.params.priority === 'number' ? command.params.priority : priorityDefault;
}

function timeText(milliseconds: number | null): string | null {
  return milliseconds === null ? null : new Date(milliseconds).toISOString();
}
