/**
 * What a device can be told. Adding a function is one entry here: its JSON Schema (2020-12), what it is to the
 * device (a state that stays, or a pulse that passes), and what its params are when an action leaves them out.
 */

import { Ajv2020, type ValidateFunction } from 'ajv/dist/2020.js';
import addFormats from 'ajv-formats';
import type { Slot } from '../device/state.ts';
import { Fault, type Problem } from '../fault.ts';
import { placeOf, placeOfPointer } from '../input.ts';
import { type JsonTemplate, parseJsonTemplate } from '../template.ts';

type Schema = {
  type: 'object';
  properties: Record<string, object>;
  required?: string[];
  additionalProperties: boolean;
};

type Entry = {
  description: string;
  /** The member of the state it changes, null for a pulse. */
  slot: Slot | null;
  params: Schema;
  /** Stand in for members that an action leaves out. */
  defaults?: Record<string, unknown>;
};

const secondsMax = 31_536_000;
export const pulseSecondsDefault = 300;

const url = { type: 'string', format: 'uri', pattern: '^https?://', maxLength: 2_048 };
const seconds = { type: 'integer', minimum: 1, maximum: secondsMax };
const text = { type: 'string', maxLength: 2_000 };
const scalar = { type: ['string', 'number', 'boolean', 'null'] };

function params(properties: Record<string, object>, required: string[] = []): Schema {
  return {
    type: 'object',
    properties: { ...properties, expires_in: seconds },
    required,
    additionalProperties: false,
  };
}

export const functionCatalogue: Readonly<Record<string, Entry>> = {
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

/** Params of a step, ready to be filled: what has no template was checked when it was saved. */
export type StepParams = JsonTemplate;

const ajv = addFormats.default(new Ajv2020({ allErrors: true, coerceTypes: true, strict: false }));
const validators = new Map<string, ValidateFunction>();

function validatorOf(key: string, schema: () => object): ValidateFunction {
  const known = validators.get(key);
  if (known) return known;
  const made = ajv.compile(schema());
  validators.set(key, made);
  return made;
}

function entryOf(name: string): Entry {
  const entry = Object.hasOwn(functionCatalogue, name) ? functionCatalogue[name] : undefined;
  if (!entry) throw new Fault('unknown_function', `there is no function "${name}"`);
  return entry;
}

export function slotOf(functionName: string): Slot | null {
  return entryOf(functionName).slot;
}

/**
 * Parses the params of a step when it is saved. Throws `unknown_function`, `bad_template`, or `bad_params` for
 * whatever is wrong already: members that hold no template are checked against the schema now.
 */
export function parseStepParams(functionName: string, given: Record<string, unknown>): StepParams {
  const entry = entryOf(functionName);
  const merged = { ...entry.defaults, ...given };
  const template = parseJsonTemplate(merged);
  if (!template.templated) {
    const checked = checkParams(functionName, structuredClone(merged));
    return { fill: () => checked, templated: false };
  }
  const settled = Object.fromEntries(
    Object.entries(merged).filter(([, value]) => !parseJsonTemplate(value).templated),
  );
  const templated = Object.keys(merged).filter((key) => !Object.hasOwn(settled, key));
  const required = (entry.params.required ?? []).filter((key) => !templated.includes(key));
  const unknown = templated.filter((key) => !Object.hasOwn(entry.params.properties, key));
  if (unknown.length > 0) throw badParams(functionName, [{ path: unknown.join(), detail: 'is not a param' }]);
  const validate = validatorOf(`${functionName} without ${templated.sort().join()}`, () => ({
    ...entry.params,
    required,
  }));
  if (!validate(structuredClone(settled))) throw badParams(functionName, problemsOf(validate));
  return template;
}

/** Fills and checks the params for one call. Throws `bad_params`. */
export function fillParams(
  functionName: string,
  params: StepParams,
  scope: unknown,
): Record<string, unknown> {
  const filled = params.fill(scope) as Record<string, unknown>;
  if (!params.templated) return filled;
  // Filled anew for every call, so it may be coerced where it stands.
  return checkParams(functionName, filled);
}

function checkParams(functionName: string, params: Record<string, unknown>): Record<string, unknown> {
  const validate = validatorOf(functionName, () => entryOf(functionName).params);
  if (!validate(params)) throw badParams(functionName, problemsOf(validate));
  return params;
}

function problemsOf(validate: ValidateFunction): Problem[] {
  return (validate.errors ?? []).map((error) => ({
    path: placeOfPointer(error.instancePath),
    detail: error.message ?? 'is not allowed',
  }));
}

/** `problems` have places inside of the params. */
function badParams(functionName: string, problems: readonly Problem[]): Fault {
  const [first] = problems;
  const place = first?.path ? `${first.path} ` : '';
  return new Fault('bad_params', `${functionName}: ${place}${first?.detail ?? 'bad params'}`, {
    problems: problems.map(({ path, detail }) => ({
      path: placeOf(path ? ['params', path] : ['params']),
      detail,
    })),
  });
}

/** When a command issued at `now` ends, in milliseconds; null for a state that stays. */
export function endOf(functionName: string, params: Record<string, unknown>, now: number): number | null {
  const { expires_in } = params;
  if (typeof expires_in === 'number') return now + expires_in * 1_000;
  return slotOf(functionName) === null ? now + pulseSecondsDefault * 1_000 : null;
}
