/**
 * JSON MessageChecks (2020-12) that users write and devices' messages are checked against. A schema is a program of a
 * stranger: what could make checking slow, or endless, or reach out of the schema is refused when it is compiled.
 */

import { Ajv2020, type ErrorObject } from 'ajv/dist/2020.js';
import addFormats from 'ajv-formats';
import { RE2JS } from 're2js';
import { Fault } from '../fault.ts';
import { placeOfPointer } from '../input.ts';
import { isExactNumber, jsonDepthMax } from '../json.ts';

/** A message whose JSON is longer can't be checked; whoever calls a check has looked at that. */
export const checkedCharactersMax = 256 * 1024;

const depthMax = 32;
/** Of the schema with every `$ref` replaced by what it leads to. A node is a JSON value of it. */
const nodesMax = 2_000;
const uniqueItemsMax = 1_000;
const patternsMax = 100;
/** Of all patterns together, as RE2 counts them. */
const instructionsMax = 10_000;
const patternCharactersMax = 1_000;
/** Values of the message times nodes of the schema: about what a second is enough for. */
const workMax = 20_000_000;
const problemCharactersMax = 300;

const dialect = /^https?:\/\/json-schema\.org\/draft\/2020-12\/schema#?$/;
/** References that are only known at run time, and the one that would turn a check into a promise. */
const refused = ['$async', '$dynamicRef', '$dynamicAnchor', '$recursiveRef', '$recursiveAnchor'];
const definitions = ['$defs', 'definitions'];
const annotations = ['title', 'description', '$comment', 'examples', 'default'];
/** Keywords with a schema in each member, with one, and with a list of them. All others hold data. */
const schemaMaps = ['properties', 'patternProperties', 'dependentSchemas', 'dependencies'];
const schemaLists = ['allOf', 'anyOf', 'oneOf', 'prefixItems'];
const schemas = [
  ...['items', 'additionalItems', 'unevaluatedItems', 'contains'],
  ...['additionalProperties', 'unevaluatedProperties', 'propertyNames'],
  ...['not', 'if', 'then', 'else', 'contentSchema'],
];

/** What is wrong with a payload, in one line like `temperature: must be number`; null when it fits. */
export type MessageCheck = (payload: unknown) => string | null;

/**
 * Compiles a schema; throws `bad_schema` for one that is none or goes beyond a limit. References are local
 * (`#/...`) and not recursive. Patterns run on RE2, in linear time, so what only backtracking can do (look-around,
 * back-references) is not taken. Formats we don't know are no constraint, as the specification has it.
 */
export function compileMessageSchema(given: object | boolean): MessageCheck {
  if (Array.isArray(given)) throw badSchema('schema: must be an object or a boolean');
  requireLocalIds(given, 0);
  // What is checked has JavaScript's numbers too.
  const { plain } = withPlainNumbers(given);
  const schema = plain as object | boolean;
  const nodes = measureSchema(schema);
  const bare = typeof schema === 'boolean' ? schema : withoutNames(schema);
  if (!meta.validateSchema(bare)) throw badSchema(firstProblem(meta.errors, 'schema'));
  const validate = compile(bare);
  return (payload) => {
    const { plain, values } = withPlainNumbers(payload);
    if (values * nodes > workMax) return `payload: ${values} values are too many for this schema`;
    return validate(plain) ? null : firstProblem(validate.errors, 'payload');
  };
}

function compile(schema: object | boolean) {
  try {
    // Each in an instance of its own, which goes when the check goes: Ajv never forgets what it compiled. Its
    // optimizer takes time that grows with the square of the schema.
    const options = { code: { optimize: false, regExp: engine }, meta: false, validateSchema: false };
    return createAjv({ ...options, ownProperties: true }).compile(schema);
  } catch (error) {
    throw badSchema((error as Error).message);
  }
}

function createAjv(options: object): Ajv2020 {
  const ajv = addFormats.default(new Ajv2020({ strict: false, allErrors: false, logger: false, ...options }));
  // The package's own two need quadratic time.
  ajv.addFormat('url', (text) => URL.canParse(text) && /^(?:https?|ftp):/i.test(text));
  return ajv.addFormat('regex', (text) => typeof compilePattern(text) !== 'string');
}

const engine = Object.assign(
  (pattern: string) => {
    const compiled = compilePattern(pattern);
    if (typeof compiled === 'string') throw new Error(compiled);
    return compiled;
  },
  { code: 'RE2JS.compile' },
);

/** A pattern of ECMAScript for RE2, or why it can't be one. */
function compilePattern(pattern: string): RE2JS | string {
  const shown = JSON.stringify(pattern.slice(0, 100));
  if (pattern.length > patternCharactersMax) {
    return `the pattern ${shown}... has more than ${patternCharactersMax} characters`;
  }
  try {
    return RE2JS.compile(RE2JS.translateRegExp(pattern));
  } catch (error) {
    const why = (error as Error).message.replace(/^error parsing regexp: /, '');
    return `the pattern ${shown} is not one that RE2 takes: ${why}`;
  }
}

/** Checks schemas themselves. */
const meta = createAjv({});

/** The names of the root, to which no reference may lead. */
function withoutNames(schema: object): object {
  const { $id: _id, $schema, ...rest } = schema as { $id?: unknown; $schema?: unknown };
  if ($schema !== undefined && !dialect.test(String($schema))) {
    throw badSchema('"$schema" must be https://json-schema.org/draft/2020-12/schema');
  }
  return rest;
}

/** Wherever it stands, an inner `$id` would give references another meaning. */
function requireLocalIds(value: unknown, depth: number): void {
  if (typeof value !== 'object' || value === null) return;
  if (depth > jsonDepthMax) throw badSchema(`is nested deeper than ${jsonDepthMax}`);
  if (depth > 0 && Object.hasOwn(value, '$id') && typeof (value as { $id: unknown }).$id === 'string') {
    throw badSchema('"$id" is taken at the root alone');
  }
  for (const inner of Object.values(value)) requireLocalIds(inner, depth + 1);
}

/** Walks the schema through its references; the number of its nodes. Throws `bad_schema`. */
function measureSchema(root: object | boolean): number {
  let nodes = 0;
  let instructions = 0;
  const patterns = new Set<string>();

  function visit(schema: unknown, trail: readonly object[]): void {
    countNode();
    if (typeof schema !== 'object' || schema === null) return;
    if (trail.includes(schema)) throw badSchema('recursive schemas are not taken');
    if (trail.length >= depthMax)
      throw badSchema(`schemas are nested deeper than ${depthMax}, "$ref" followed`);
    const inside = [...trail, schema];
    for (const [keyword, value] of Object.entries(schema)) visitKeyword(keyword, value, inside);
    const { uniqueItems, maxItems } = schema as { uniqueItems?: unknown; maxItems?: unknown };
    if (uniqueItems === true && !(typeof maxItems === 'number' && maxItems <= uniqueItemsMax)) {
      throw badSchema(`"uniqueItems" needs "maxItems" of at most ${uniqueItemsMax} beside it`);
    }
  }

  function visitKeyword(keyword: string, value: unknown, trail: readonly object[]): void {
    if (refused.includes(keyword)) throw badSchema(`"${keyword}" is not taken`);
    if (definitions.includes(keyword) || annotations.includes(keyword)) return;
    if (keyword === 'pattern') visitPattern(value);
    if (keyword === '$ref' && typeof value === 'string') visit(follow(value), trail);
    else if (schemas.includes(keyword)) visit(value, trail);
    else if (schemaLists.includes(keyword) && Array.isArray(value)) {
      for (const inner of value) visit(inner, trail);
    } else if (schemaMaps.includes(keyword) && typeof value === 'object' && value !== null) {
      if (keyword === 'patternProperties') Object.keys(value).forEach(visitPattern);
      for (const inner of Object.values(value)) visit(inner, trail);
    } else countData(value);
  }

  function visitPattern(pattern: unknown): void {
    if (typeof pattern !== 'string') return;
    const compiled = compilePattern(pattern);
    if (typeof compiled === 'string') throw badSchema(compiled);
    patterns.add(pattern);
    instructions += compiled.programSize();
    if (patterns.size > patternsMax) throw badSchema(`more than ${patternsMax} patterns`);
    if (instructions > instructionsMax) throw badSchema('its patterns are too large');
  }

  function follow(reference: string): unknown {
    if (!/^#(?:\/|$)/.test(reference)) throw badSchema('"$ref" may be local alone: "#/..."');
    let node: unknown = root;
    for (const step of reference.split('/').slice(1)) {
      const name = unescapePointer(step);
      if (typeof node !== 'object' || node === null || !Object.hasOwn(node, name)) {
        throw badSchema(`"$ref" leads nowhere: ${JSON.stringify(reference.slice(0, 100))}`);
      }
      node = (node as Record<string, unknown>)[name];
    }
    return node;
  }

  function countData(value: unknown): void {
    countNode();
    if (typeof value === 'object' && value !== null) Object.values(value).forEach(countData);
  }

  function countNode(): void {
    nodes += 1;
    if (nodes > nodesMax) throw badSchema(`more than ${nodesMax} nodes, "$ref" followed`);
  }

  visit(root, []);
  return nodes;
}

/** A step of a JSON pointer in a URI fragment (RFC 6901 §6). */
function unescapePointer(step: string): string {
  try {
    return decodeURIComponent(step).replaceAll('~1', '/').replaceAll('~0', '~');
  } catch {
    return step; // no percent-encoding, so no member that it could mean
  }
}

/** The payload with JavaScript's numbers instead of exact ones, copied where it must be, and how large it is. */
function withPlainNumbers(payload: unknown): { plain: unknown; values: number } {
  let values = 0;
  function plainOf(value: unknown): unknown {
    values += 1;
    if (typeof value !== 'object' || value === null) return value;
    if (isExactNumber(value)) return Number(value.rawJSON);
    const members = value as Record<string, unknown>;
    let copy: Record<string, unknown> | null = null;
    for (const key of Object.keys(members)) {
      const plain = plainOf(members[key]);
      if (plain === members[key]) continue;
      copy ??= (Array.isArray(value) ? [...value] : { ...members }) as Record<string, unknown>;
      copy[key] = plain;
    }
    return copy ?? value;
  }
  return { plain: plainOf(payload), values };
}

/** The first problem; of alternatives that all failed, that they did. */
function firstProblem(errors: readonly ErrorObject[] | null | undefined, root: string): string {
  const error = errors?.findLast(({ keyword }) => keyword === 'anyOf' || keyword === 'oneOf') ?? errors?.[0];
  if (!error) return `${root}: does not fit`;
  const extra = error.params.additionalProperty ?? error.params.unevaluatedProperty;
  const named = extra === undefined ? '' : `: ${JSON.stringify(extra)}`;
  return `${placeOfPointer(error.instancePath) || root}: ${error.message}${named}`
    .replace(/[\p{Cc}\u2028\u2029]/gu, ' ')
    .slice(0, problemCharactersMax);
}

function badSchema(detail: string): Fault {
  return new Fault('bad_schema', detail);
}
