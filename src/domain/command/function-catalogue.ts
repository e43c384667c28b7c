/**
 * What a device can be told. Adding a function is one entry here: its JSON Schema (2020-12), what it is to the
 * device (a state that stays, or a pulse that passes), and what its params are when an action leaves them out.
 */

import type { Slot } from '../device/state.ts';
import { Fault } from '../fault.ts';

type ParamSchema = {
  type?: string | string[];
  enum?: readonly string[];
  maxLength?: number;
  [keyword: string]: unknown;
};
type Schema = {
  type: 'object';
  properties: Record<string, ParamSchema>;
  required?: string[];
  additionalProperties: boolean;
};

export type FunctionEntry = {
  description: string;
  /** The member of the state it changes, null for a pulse. */
  slot: Slot | null;
  params: Schema;
  /** Templates that stand in for members that an action leaves out. */
  defaults?: Record<string, string>;
  /** Params that people read: cut where they are too long. */
  texts?: readonly string[];
  /**
   * Of what has to be shown in any case: the params that say what. A param that can't be used is left out, and with
   * none of these there is the name of the action in the place of the first.
   */
  shows?: readonly string[];
};

const secondsMax = 31_536_000;
export const pulseSecondsDefault = 300;

/** `httpUrl` is a keyword of ours (params.ts): http or https, with at most so many characters. */
const url = { type: 'string', httpUrl: 2_048 };
const seconds = { type: 'integer', minimum: 1, maximum: secondsMax };
const text = { type: 'string', maxLength: 2_000 };
const scalar = { type: ['string', 'number', 'boolean', 'null'] };

function params(properties: Record<string, ParamSchema>, required: string[] = []): Schema {
  return {
    type: 'object',
    properties: { ...properties, expires_in: seconds },
    required,
    additionalProperties: false,
  };
}

export const functionCatalogue: Readonly<Record<string, FunctionEntry>> = {
  load_url: {
    description: 'Show a page instead of the usual content.',
    slot: 'content',
    params: params({ url }, ['url']),
  },
  enable_emergency: {
    description: 'Show an emergency over everything else.',
    slot: 'emergency',
    params: params({
      message: text,
      url,
      level: { enum: ['info', 'warning', 'critical'] },
      priority: { type: 'integer', minimum: 0, maximum: 100 },
      drill: { type: 'boolean' },
    }),
    texts: ['message'],
    shows: ['message', 'url'],
  },
  disable_emergency: {
    description: 'End every emergency that the targets show.',
    slot: 'emergency',
    params: { type: 'object', properties: {}, additionalProperties: false },
  },
  pause_loop: {
    description: 'Hold the content loop where it is.',
    slot: 'loop',
    params: { type: 'object', properties: {}, additionalProperties: false },
  },
  resume_loop: {
    description: 'Let the content loop go on.',
    slot: 'loop',
    params: { type: 'object', properties: {}, additionalProperties: false },
  },
  refresh_datasource: {
    description: 'Read a data source again, or all of them.',
    slot: null,
    params: params({ datasource_id: { type: ['string', 'integer'] } }),
  },
  refresh_content: { description: 'Read the content again.', slot: null, params: params({}) },
  send_sensor_event: {
    description: 'Hand a sensor event to the content, usually the sensor_data of the call.',
    slot: null,
    params: params({ id: { type: ['string', 'integer'], minLength: 1 }, event: scalar, value: scalar }, [
      'id',
    ]),
    defaults: {
      id: '{{ sensor_data.id }}',
      event: '{{ sensor_data.event }}',
      value: '{{ sensor_data.value }}',
    },
  },
  restart_device: {
    description: 'Restart. With a jitter (seconds) each device waits a random part of it first.',
    slot: null,
    params: params({ jitter: { type: 'number', minimum: 0, maximum: 3_600 } }),
  },
  show_toast: {
    description: 'Show a short message over the content.',
    slot: null,
    params: params(
      { message: { ...text, minLength: 1 }, seconds: { type: 'integer', minimum: 1, maximum: 3_600 } },
      ['message'],
    ),
    texts: ['message'],
  },
  custom: {
    description: 'Anything else that the device knows by name.',
    slot: null,
    params: params(
      { action: { type: 'string', minLength: 1, maxLength: 200 }, parameters: { type: 'object' } },
      ['action'],
    ),
  },
};

export function entryOf(name: string): FunctionEntry {
  const entry = Object.hasOwn(functionCatalogue, name) ? functionCatalogue[name] : undefined;
  if (!entry) throw new Fault('unknown_function', `there is no function "${name}"`);
  return entry;
}

export function slotOf(functionName: string): Slot | null {
  return entryOf(functionName).slot;
}

/** When a command issued at `now` ends, in milliseconds; null for a state that stays. */
export function endOf(functionName: string, params: Record<string, unknown>, now: number): number | null {
  const { expires_in } = params;
  if (typeof expires_in === 'number') return now + expires_in * 1_000;
  return slotOf(functionName) === null ? now + pulseSecondsDefault * 1_000 : null;
}
