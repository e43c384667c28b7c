/** What comes from the server or out of the storage is read here once; nothing of it is trusted. */
import type { DeviceState, Slot, StateMessage } from '../domain/device/state.ts';
import type { CommandMessage, WireError } from '../socket/protocol.ts';

const idCharactersMax = 200;

export function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

export function isId(value: unknown): value is string {
  return typeof value === 'string' && value.length > 0 && value.length <= idCharactersMax;
}

const isText = (value: unknown) => typeof value === 'string';
const isTextOrNull = (value: unknown) => value === null || isText(value);
const isInstant = (value: unknown) => typeof value === 'string' && !Number.isNaN(Date.parse(value));
const isInstantOrNull = (value: unknown) => value === null || isInstant(value);

const isMember: { [S in Slot]: (member: Record<string, unknown>) => boolean } = {
  emergency: (member) =>
    isTextOrNull(member.message) &&
    isTextOrNull(member.url) &&
    isText(member.level) &&
    typeof member.priority === 'number' &&
    typeof member.drill === 'boolean' &&
    isInstantOrNull(member.expires_at),
  content: (member) => isText(member.url) && isInstantOrNull(member.expires_at),
  loop: (member) => typeof member.paused === 'boolean',
};

export const slots: readonly Slot[] = Object.freeze(['emergency', 'content', 'loop']);

/** The members that can be understood; `sound` is false when there was one that can't. */
export function readMembers(value: unknown): { members: Partial<DeviceState>; sound: boolean } {
  const members: Record<string, unknown> = {};
  let sound = isRecord(value);
  for (const slot of slots) {
    const member = isRecord(value) ? value[slot] : undefined;
    if (member === undefined) continue;
    if (member === null || (isRecord(member) && isId(member.command_id) && isMember[slot](member)))
      members[slot] = member;
    else sound = false;
  }
  return { members: members as Partial<DeviceState>, sound };
}

/** What the server's clock showed, in milliseconds; null when the message does not say it. */
export function readAt(value: unknown): number | null {
  return isRecord(value) && isInstant(value.at) ? Date.parse(String(value.at)) : null;
}

export function readState(value: unknown): { message: StateMessage; sound: boolean } {
  const { members, sound } = readMembers(value);
  const causes = isRecord(value) && Array.isArray(value.causes) ? value.causes.filter(isId) : [];
  return { message: { ...members, causes }, sound };
}

export function readCommand(value: unknown): CommandMessage | null {
  return isRecord(value) &&
    isId(value.id) &&
    isText(value.function) &&
    isRecord(value.params) &&
    isInstant(value.expires_at)
    ? (value as CommandMessage)
    : null;
}

export function readError(value: unknown): WireError | null {
  return isRecord(value) && typeof value.code === 'string'
    ? { code: value.code, detail: typeof value.detail === 'string' ? value.detail : '' }
    : null;
}

/** An answer that is none, garbled or late is `none`: ask again. */
export type Answer = { kind: 'ok'; id: string } | { kind: 'refused'; error: WireError } | { kind: 'none' };

export function readAnswer(value: unknown): Answer {
  if (!isRecord(value)) return { kind: 'none' };
  if (value.ok === true) return { kind: 'ok', id: typeof value.id === 'string' ? value.id : '' };
  const error = value.ok === false ? readError(value.error) : null;
  return error ? { kind: 'refused', error } : { kind: 'none' };
}

export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
