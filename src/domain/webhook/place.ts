/**
 * Where in a text of some syntax the placeholders of a template stand, and how a value is written there: what the
 * receiver reads in that place is the value, and nothing beside it changes. Everywhere but outside the quotes of JSON,
 * a value is what MODE's webhooks make of it: an object or an array is its JSON escaped for a JSON text.
 */
import { escapeComponent, escapeCsv, escapeJson, escapeLine } from '../escape.ts';
import { isNode } from '../path.ts';
import { jsonOf, type Placeholder, type Template, textOf } from '../template.ts';
import { xmlWriters } from './place-in-xml.ts';

export type Writer = (value: unknown, placeholder: Placeholder) => string;
/** Texts, and placeholders with what writes their values. */
export type PlacedTemplate = readonly (string | { placeholder: Placeholder; write: Writer })[];
export type Syntax = 'json' | 'json lines' | 'form' | 'xml' | 'csv' | 'lines' | 'text';

const syntaxes: readonly (readonly [Syntax, RegExp])[] = [
  ['json lines', /\b(?:nd-?json|ld-?json|json-?l|json-?lines|json-?seq)$/],
  ['json', /[/+.-]json5?$/],
  ['form', /^application\/x-www-form-urlencoded$/],
  ['xml', /[/+.-](?:xml|html)$/],
  ['csv', /\b(?:csv|comma-separated-values)$/],
  ['lines', /\b(?:tab-separated-values|tsv|ya?ml|uri-list|event-stream)$|openmetrics|influx|line-?protocol/],
  ['lines', /^multipart\//],
];

/** `mediaType` without its parameters, in lower case. */
export function syntaxOf(mediaType: string): Syntax {
  return syntaxes.find(([, pattern]) => pattern.test(mediaType))?.[0] ?? 'text';
}

export function placeTemplate(template: Template, syntax: Syntax): PlacedTemplate {
  const writers = writersOf(template, syntax);
  return template.map((part) =>
    typeof part === 'string' ? part : { placeholder: part, write: writers.shift() ?? writeText },
  );
}

function writersOf(template: Template, syntax: Syntax): Writer[] {
  if (syntax === 'json') return jsonWriters(template, false);
  if (syntax === 'json lines') return jsonWriters(template, true);
  if (syntax === 'form') return formWriters(template);
  if (syntax === 'xml') return xmlWriters(template, writeText);
  if (syntax === 'csv') return csvWriters(template);
  return template.filter(isPlaceholder).map(() => (syntax === 'lines' ? writeLine : writeText));
}

const isPlaceholder = (part: string | Placeholder) => typeof part !== 'string';

/** A value by the rules of MODE, or its JSON where a template asks for that. */
const writeText: Writer = (value, { asJson }) => {
  if (asJson) return jsonOf(value);
  return isNode(value) ? escapeJson(JSON.stringify(value)) : textOf(value);
};
const writeLine: Writer = (value, placeholder) => escapeLine(writeText(value, placeholder));

function csvWriters(template: Template): Writer[] {
  const writers: Writer[] = [];
  let isQuoted = false;
  for (const part of template) {
    // An odd number of quotes parts it into an even number of pieces.
    if (typeof part === 'string') isQuoted = isQuoted !== (part.split('"').length % 2 === 0);
    else if (isQuoted) writers.push((value, placeholder) => escapeCsv(writeText(value, placeholder)));
    else writers.push(writeLine);
  }
  return writers;
}

/** Field by field; a value that begins as JSON is JSON, which many receivers want in a form. */
function formWriters(template: Template): Writer[] {
  const fields: (string | Placeholder)[][] = [[]];
  for (const part of template) {
    const [first = part, ...others] = typeof part === 'string' ? part.split('&') : [part];
    fields.at(-1)?.push(first);
    for (const other of others) fields.push([other]);
  }
  return fields.flatMap((field) => {
    const equals = field.findIndex((part) => typeof part === 'string' && part.includes('='));
    const begins = field[equals];
    const value =
      typeof begins === 'string'
        ? [begins.slice(begins.indexOf('=') + 1), ...field.slice(equals + 1)].map(decodeLiteral)
        : [];
    const [start] = value;
    const isJson = typeof start === 'string' && /^\s*[[{]/.test(start);
    const inner = isJson ? jsonWriters(value, false) : [];
    return field.filter(isPlaceholder).map((_, place, all): Writer => {
      // Those of the field's name come first, and are not among the ones inside.
      const write = inner[place - (all.length - inner.length)] ?? writeText;
      return (found, placeholder) => escapeComponent(write(found, placeholder));
    });
  });
}

function decodeLiteral(part: string | Placeholder): string | Placeholder {
  if (typeof part !== 'string') return part;
  try {
    return decodeURIComponent(part.replaceAll('+', ' '));
  } catch {
    return part;
  }
}

/** `isLines`: every line is a JSON value of its own. */
function jsonWriters(template: Template, isLines: boolean): Writer[] {
  const writers: Writer[] = [];
  let inText = false;
  let isEscaped = false;
  /** The last that counts outside of texts; nothing at the beginning. */
  let before = '';
  for (const [place, part] of template.entries()) {
    if (typeof part !== 'string') {
      if (inText) writers.push(isEscaped ? writeBehindBackslash : writeInQuotes);
      else writers.push(outsideQuotes(before, following(template, place, isLines)));
      isEscaped = false;
      if (!inText) before = 'value';
      continue;
    }
    for (const letter of part) {
      if (isLines && letter === '\n') [inText, isEscaped, before] = [false, false, ''];
      else if (isEscaped) isEscaped = false;
      else if (inText && letter === '\\') isEscaped = true;
      else if (letter === '"') [inText, before] = [!inText, letter];
      else if (!inText && !' \t\r\n'.includes(letter)) before = letter;
    }
  }
  return writers;
}

/** What counts next behind a placeholder, nothing at the end. */
function following(template: Template, place: number, isLines: boolean): string {
  for (const part of template.slice(place + 1)) {
    if (typeof part !== 'string') return 'value';
    const next = /[^ \t\r\n]/.exec(isLines ? (part.split('\n', 1)[0] ?? '') : part);
    if (next) return next[0];
    if (isLines && part.includes('\n')) return '';
  }
  return '';
}

const writeInQuotes: Writer = (value, { asJson }) => escapeJson(asJson ? jsonOf(value) : textOf(value));
/** The backslash of the template would take the first letter of the value with it: it is made one of the text. */
const writeBehindBackslash: Writer = (value, placeholder) => `\\${writeInQuotes(value, placeholder)}`;

function outsideQuotes(before: string, after: string): Writer {
  if ((before === '{' || before === ',') && after === ':') return (value) => JSON.stringify(textOf(value));
  const isWhole = ['', '[', ',', ':'].includes(before) && ['', ']', ',', '}'].includes(after);
  if (!isWhole) return writeFragment;
  return before === '[' && after === ']' ? writeOnlyElement : writeValue;
}

/**
 * A value of its own. A text that is JSON as it stands, `21.5` or `[1,2]`, goes in as it stands, as MODE does it: what
 * holds quotes never is, since they would be escaped.
 */
const writeValue: Writer = (value, { asJson }) => {
  if (asJson || typeof value !== 'string') return jsonOf(value);
  const escaped = escapeJson(value);
  return isJson(escaped) ? escaped : JSON.stringify(value);
};

/** In an array of nothing else, what is missing leaves it empty. */
const writeOnlyElement: Writer = (value, placeholder) =>
  !placeholder.asJson && textOf(value) === '' ? '' : writeValue(value, placeholder);

/** Beside something else: parts of a number or a word, as they are. Anything more would be another value beside it. */
const writeFragment: Writer = (value, { asJson }) => {
  const text = textOf(value);
  return !asJson && /^[\w+.-]*$/.test(text) ? text : jsonOf(value);
};

function isJson(text: string): boolean {
  if (!/^\s*[-\d[{tfn]/.test(text)) return false;
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}
