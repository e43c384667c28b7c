/**
 * Params of a function: parsed when a step is saved, filled and checked for each call. What is blank counts as
 * missing, texts that are too long are cut, and an emergency is shown with what can be shown; warnings say so.
 */

import { Ajv2020, type ErrorObject, type ValidateFunction } from 'ajv/dist/2020.js';
import type { DataValidateFunction } from 'ajv/dist/types/index.js';
import addFormats from 'ajv-formats';
import { Fault, type Problem } from '../fault.ts';
import { placeOf, placeOfPointer } from '../input.ts';
import { isExactNumber } from '../json.ts';
import { type Path, textOfPath } from '../path.ts';
import { isBlank, type JsonTemplate, parseJsonTemplate } from '../template.ts';
import { normalUrl, parseUrlParam, requireUrl } from '../url.ts';
import { cutText } from '../warning.ts';
import { textOfXml } from '../xml.ts';
import { entryOf, type FunctionEntry } from './function-catalogue.ts';

type Params = Record<string, unknown>;

/** Params of a step, ready to be filled. */
export type StepParams = {
  /** Those without templates, checked when they were saved. */
  settled: Params;
  /** `isDefault` is of what the action left out: nobody is told when that leads to nothing. */
  templates: readonly { name: string; template: JsonTemplate; isDefault: boolean }[];
};

/** What devices get; `warnings` name a param first. */
export type FilledParams = { params: Params; warnings: string[] };

const ajv = addFormats.default(new Ajv2020({ allErrors: true, coerceTypes: true, strict: false }));
ajv.addKeyword({ keyword: 'httpUrl', type: 'string', modifying: true, compile: urlCheck });
const validators = new Map<string, ValidateFunction>();

function validatorOf(key: string, schema: () => object): ValidateFunction {
  const known = validators.get(key);
  if (known) return known;
  const made = ajv.compile(schema());
  validators.set(key, made);
  return made;
}

/** Puts what `new URL` makes of a URL in its place: no device has to know better how one is written. */
function urlCheck(charactersMax: number): DataValidateFunction {
  const check: DataValidateFunction = (text: string, of) => {
    const normal = normalUrl(text);
    if (normal !== null && normal.length <= charactersMax) {
      if (of) of.parentData[of.parentDataProperty] = normal;
      return true;
    }
    const message =
      normal === null ? 'must be an http or https URL' : `must have at most ${charactersMax} characters`;
    check.errors = [{ keyword: 'httpUrl', message, params: {} }];
    return false;
  };
  return check;
}

/**
 * Parses the params of a step when it is saved. Throws `unknown_function`, `bad_template`, or `bad_params` for
 * whatever is wrong already: members that hold no template are checked against the schema now.
 */
export function parseStepParams(functionName: string, given: Params): StepParams {
  const entry = entryOf(functionName);
  const own = withoutBlanks(entry, asAsked(entry, given));
  const parsed = Object.entries({ ...entry.defaults, ...own }).map(([name, value]) => ({
    name,
    value,
    template: inParam(name, () => parseJsonTemplate(value, isUrl(entry, name) ? parseUrlParam : undefined)),
    isDefault: !Object.hasOwn(own, name),
  }));
  const templates = parsed.filter(({ template }) => template.templated);
  const unknown = templates.filter(({ name }) => !Object.hasOwn(entry.params.properties, name));
  if (unknown.length > 0) {
    const path = unknown.map(({ name }) => name).join();
    throw badParams(functionName, [{ path, detail: 'is not a param' }]);
  }
  const settled = Object.fromEntries(
    parsed.filter(({ template }) => !template.templated).map(({ name, value }) => [name, value]),
  );
  const later = templates.map(({ name }) => name).sort();
  const required = (entry.params.required ?? []).filter((name) => !later.includes(name));
  const validate = validatorOf(`${functionName} without ${later.join()}`, () => ({
    ...entry.params,
    required,
  }));
  respell(entry, settled);
  if (!coerceParams(validate, entry, settled)) throw badParams(functionName, problemsOf(validate));
  return { settled, templates };
}

const isUrl = ({ params: { properties } }: FunctionEntry, name: string) =>
  Object.hasOwn(properties, name) && properties[name]?.httpUrl !== undefined;

/** Throws `bad_template` for URLs that a value could lead elsewhere: those that were saved before fire without it. */
export function requireUrls(functionName: string, given: Params): void {
  const entry = entryOf(functionName);
  for (const [name, value] of Object.entries(given)) {
    if (isUrl(entry, name) && typeof value === 'string') inParam(name, () => requireUrl(value));
  }
}

/** Names the param in whatever is wrong with its template. */
function inParam<T>(name: string, parse: () => T): T {
  try {
    return parse();
  } catch (error) {
    if (!(error instanceof Fault)) throw error;
    const problems = [{ path: placeOf(['params', name]), detail: error.message }];
    throw new Fault(error.code, `${name}: ${error.message}`, { problems });
  }
}

/** Fills and checks the params for one call of the action with this name. Throws `bad_params`. */
export function fillParams(
  functionName: string,
  { settled, templates }: StepParams,
  scope: unknown,
  actionName: string,
): FilledParams {
  const warnings: string[] = [];
  if (templates.length === 0)
    return { params: withName(functionName, settled, actionName, warnings), warnings };
  const { properties } = entryOf(functionName).params;
  const filled = { ...settled };
  for (const { name, template, isDefault } of templates) {
    const empty: Path[] = [];
    const value = valueAsAsked(
      properties[name],
      template.fill(scope, (path) => empty.push(path)),
    );
    if (!isDefault && empty.length > 0) {
      if (isBlank(value)) warnings.push(`${name} is empty`);
      else for (const path of empty) warnings.push(`${name}: ${textOfPath(path)} is empty`);
    }
    if (value !== undefined) filled[name] = value;
  }
  const params = checkParams(functionName, withoutBlanks(entryOf(functionName), filled), warnings);
  return { params: withName(functionName, params, actionName, warnings), warnings };
}

/** Checks params that are given without a call: there is nothing for templates to look into. Throws `bad_params`. */
export function readParams(functionName: string, given: Params): FilledParams {
  const entry = entryOf(functionName);
  if (parseJsonTemplate(given).templated)
    throw new Fault('bad_params', 'a command issued directly has no call for templates to look into');
  const warnings: string[] = [];
  const params = { ...withoutBlanks(entry, asAsked(entry, given)) };
  cutTexts(entry, params, warnings);
  respell(entry, params);
  requireFit(functionName, params);
  return { params: withName(functionName, params, null, warnings), warnings };
}

/** Optional params that are blank count as missing; a required one stays, and is judged as it is. */
function withoutBlanks({ params: { properties, required = [] } }: FunctionEntry, given: Params): Params {
  const isLeftOut = ([name, value]: [string, unknown]) =>
    isBlank(value) && Object.hasOwn(properties, name) && !required.includes(name);
  const entries = Object.entries(given);
  return entries.some(isLeftOut) ? Object.fromEntries(entries.filter((entry) => !isLeftOut(entry))) : given;
}

/** Cuts and coerces `params` where they stand; they are made anew for each call. */
function checkParams(functionName: string, params: Params, warnings: string[]): Params {
  const entry = entryOf(functionName);
  cutTexts(entry, params, warnings);
  respell(entry, params);
  if (entry.shows) leaveOutUnusable(functionName, params, warnings);
  requireFit(functionName, params);
  return params;
}

function wholeValidatorOf(functionName: string): ValidateFunction {
  return validatorOf(functionName, () => entryOf(functionName).params);
}

function requireFit(functionName: string, params: Params): void {
  const validate = wholeValidatorOf(functionName);
  if (!coerceParams(validate, entryOf(functionName), params))
    throw badParams(functionName, problemsOf(validate));
}

/**
 * Whether the params fit; they are coerced where they stand. Ajv knows JavaScript's numbers alone: an exact one is shown
 * as the nearest of those, and is itself again afterwards unless it is one that we count with.
 */
function coerceParams(
  validate: ValidateFunction,
  { params: { properties } }: FunctionEntry,
  params: Params,
): boolean {
  const exact = Object.entries(params).flatMap(([name, value]) =>
    isExactNumber(value) ? [{ name, value }] : [],
  );
  for (const { name, value } of exact) {
    const nearest = Number(value.rawJSON);
    params[name] = Math.max(-Number.MAX_VALUE, Math.min(Number.MAX_VALUE, nearest));
  }
  const fits = validate(params);
  for (const { name, value } of exact) {
    if (typeof params[name] === 'string') params[name] = value.rawJSON;
    else if (!fits || properties[name]?.maximum === undefined) params[name] = value;
  }
  return fits;
}

/** Where a text is asked for, elements of XML and numbers are the texts they are written as. */
function asAsked({ params: { properties } }: FunctionEntry, given: Params): Params {
  return Object.fromEntries(
    Object.entries(given).map(([name, value]) => [name, valueAsAsked(properties[name], value)]),
  );
}

function valueAsAsked(
  schema: FunctionEntry['params']['properties'][string] | undefined,
  value: unknown,
): unknown {
  if (schema === undefined || schema.type === 'object') return value;
  if (schema.type === 'string' && isExactNumber(value)) return value.rawJSON;
  return textOfXml(value) ?? value;
}

function cutTexts({ texts = [], params: { properties } }: FunctionEntry, params: Params, warnings: string[]) {
  for (const name of texts) {
    const text = params[name];
    const charactersMax = properties[name]?.maxLength;
    if (typeof text !== 'string' || charactersMax === undefined) continue;
    const cut = cutText(text, charactersMax);
    if (cut === text) continue;
    params[name] = cut;
    warnings.push(`${name} was cut to ${charactersMax} characters`);
  }
}

const words: Readonly<Record<string, boolean>> = {
  true: true,
  yes: true,
  on: true,
  1: true,
  false: false,
  no: false,
  off: false,
  0: false,
};

/** Words that stand for one of a few values are taken as people and forms write them: `Critical`, `on`, `yes`. */
function respell({ params: { properties } }: FunctionEntry, params: Params): void {
  for (const [name, schema] of Object.entries(properties)) {
    const value = params[name];
    if (typeof value !== 'string') continue;
    const word = value.trim().toLowerCase();
    if (schema.enum?.includes(word)) params[name] = word;
    else if (schema.type === 'boolean' && Object.hasOwn(words, word)) params[name] = words[word];
  }
}

function leaveOutUnusable(functionName: string, params: Params, warnings: string[]): void {
  const entry = entryOf(functionName);
  const { required = [] } = entry.params;
  const validate = wholeValidatorOf(functionName);
  if (coerceParams(validate, entry, params)) return;
  for (const error of validate.errors ?? []) {
    const name = error.instancePath.split('/')[1] ?? '';
    if (!Object.hasOwn(params, name) || required.includes(name)) continue;
    delete params[name];
    warnings.push(`${name} was left out: ${reasonOf(error, name)}`);
  }
}

function reasonOf({ keyword, params, message }: ErrorObject, name: string): string {
  if (name === 'url') return 'it is not an http or https URL';
  if (keyword === 'enum') return `it is none of ${(params.allowedValues as string[]).join(', ')}`;
  return `it ${message ?? 'is not allowed'}`;
}

/** With nothing to show there is the name of the action, which says what this is about. */
function withName(
  functionName: string,
  params: Params,
  actionName: string | null,
  warnings: string[],
): Params {
  const { shows } = entryOf(functionName);
  if (!shows?.every((name) => isBlank(params[name]))) return params;
  const [first = ''] = shows;
  const isEmpty = `${first} is empty`;
  if (!warnings.some((warning) => warning.startsWith(`${first} `))) warnings.push(isEmpty);
  if (actionName === null) return params;
  warnings.push(`the action's name is shown, since there is no ${shows.join(' and no ')}`);
  return { ...params, [first]: actionName };
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
