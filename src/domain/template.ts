/**
 * `{{ path }}` in a text stands for a value of the call or event: see path.ts for what a path is. What is missing is the
 * empty text, or what stands behind a bar: `{{ a.b | 'text' }}`, `| 0`, `| true`, `| null`, for what is blank too.
 * `{{ json a.b }}` is the JSON of the value. There is no logic and no code in a template: it can only look up.
 */

import { Fault } from './fault.ts';
import { parseJsonExactly } from './json.ts';
import { isNode, type Path, type Read, type Reader, readerOf, readPath, readQuoted } from './path.ts';
import { textOfXml } from './xml.ts';

export type Placeholder = {
  path: Path;
  /** Whether it stands for the JSON of the value. */
  asJson: boolean;
  /** In place of what is blank; undefined when there is nothing. */
  fallback: unknown;
};
/** Literal texts and placeholders in turn. */
export type Template = readonly (string | Placeholder)[];

/** Told of each path that leads to nothing and has nothing in its place. */
export type TellEmpty = (path: Path) => void;

const shownMax = 60;

/** Throws `bad_template` when the notation is broken, saying where. */
export function parseTemplate(text: string): Template {
  const parts: (string | Placeholder)[] = [];
  let from = 0;
  for (;;) {
    const open = text.indexOf('{{', from);
    if (open < 0) break;
    if (open > from) parts.push(text.slice(from, open));
    const read = readPlaceholder(text, open + 2);
    if ('problem' in read) throw badTemplate(text, open, read);
    parts.push(read.value);
    from = read.end;
  }
  if (from < text.length) parts.push(text.slice(from));
  return parts;
}

function badTemplate(text: string, open: number, { problem, at }: { problem: string; at: number }): Fault {
  const close = text.indexOf('}}', open);
  if (close < 0) return new Fault('bad_template', `"{{" at position ${open} is never closed`);
  const shown = text.slice(open, close + 2);
  const short = shown.length > shownMax ? `${shown.slice(0, shownMax)}…` : shown;
  return new Fault('bad_template', `"${short}" at position ${open}: ${problem} (position ${at})`);
}

function readPlaceholder(text: string, from: number): Read<Placeholder> {
  const jsonWord = matchAt(/\s*json\s+(?![\s|}])/y, text, from);
  const path = readPath(text, from + (jsonWord ?? matchAt(/\s*/y, text, from) ?? '').length);
  if ('problem' in path) return path;
  const bar = matchAt(/\s*\|\s*/y, text, path.end);
  const fallback: Read<unknown> =
    bar === null ? { value: undefined, end: path.end } : readFallback(text, path.end + bar.length);
  if ('problem' in fallback) return fallback;
  const close = matchAt(/\s*\}\}/y, text, fallback.end);
  if (close === null) {
    const at = fallback.end + (matchAt(/\s*/y, text, fallback.end) ?? '').length;
    return { problem: bar === null ? '"}}" or "|" has to stand here' : '"}}" has to stand here', at };
  }
  const value = { path: path.value, asJson: jsonWord !== null, fallback: fallback.value };
  return { value, end: fallback.end + close.length };
}

function readFallback(text: string, at: number): Read<unknown> {
  if (text[at] === '"' || text[at] === "'") return readQuoted(text, at);
  const word = matchAt(/(?:true|false|null|-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?)(?![\w.])/y, text, at);
  if (word !== null) return { value: parseJsonExactly(word), end: at + word.length };
  return { problem: 'behind "|" stands a text in quotes, a number, true, false or null', at };
}

function matchAt(pattern: RegExp, text: string, at: number): string | null {
  pattern.lastIndex = at;
  return pattern.exec(text)?.[0] ?? null;
}

export function hasTemplate(text: string): boolean {
  return text.includes('{{');
}

/** Nothing to show and nothing to go by: missing, null, or a text of blanks alone. */
export function isBlank(value: unknown): boolean {
  return value === undefined || value === null || (typeof value === 'string' && value.trim() === '');
}

/** What a placeholder stands for: the value, or what stands in its place. */
export function valueFor({ path, fallback }: Placeholder, read: Reader, tellEmpty?: TellEmpty): unknown {
  const value = read(path);
  if (!isBlank(value)) return value;
  if (fallback !== undefined) return fallback;
  tellEmpty?.(path);
  return value;
}

export function textOf(value: unknown): string {
  if (value === undefined || value === null) return '';
  return typeof value === 'object' ? (textOfXml(value) ?? JSON.stringify(value)) : String(value);
}

/** The JSON of a value; what is missing is `null`. */
export function jsonOf(value: unknown): string {
  return JSON.stringify(value ?? null);
}

/** The texts of a template and, written by `write`, its values. */
export function renderParts(
  template: Template,
  read: Reader,
  write: (value: unknown, placeholder: Placeholder) => string,
  tellEmpty?: TellEmpty,
): string {
  return template
    .map((part) => (typeof part === 'string' ? part : write(valueFor(part, read, tellEmpty), part)))
    .join('');
}

/** Fills a template; objects and arrays appear as their JSON text. */
export function renderTemplate(template: Template, scope: unknown, tellEmpty?: TellEmpty): string {
  return renderParts(template, readerOf(scope), plainText, tellEmpty);
}

const plainText = (value: unknown, { asJson }: Placeholder) => (asJson ? jsonOf(value) : textOf(value));

/** A JSON value whose texts may hold templates, parsed once and filled for every call. */
export type JsonTemplate = {
  fill(scope: unknown, tellEmpty?: TellEmpty): unknown;
  readonly templated: boolean;
};

/**
 * Parses the templates in every text of a JSON value. A text that is one single template takes the value itself,
 * with its type, and is left out where the value is missing; any other text becomes text. `parseText` is for texts that
 * are filled by rules of their own.
 */
export function parseJsonTemplate(
  value: unknown,
  parseText: (text: string) => JsonTemplate = parseTextTemplate,
): JsonTemplate {
  if (typeof value === 'string' && hasTemplate(value)) return parseText(value);
  if (Array.isArray(value)) {
    const items = value.map((item) => parseJsonTemplate(item, parseText));
    if (!items.some((item) => item.templated)) return { fill: () => value, templated: false };
    return {
      fill: (scope, tellEmpty) => items.map((item) => item.fill(scope, tellEmpty) ?? null),
      templated: true,
    };
  }
  if (isNode(value)) {
    const members = Object.entries(value).map(
      ([key, member]) => [key, parseJsonTemplate(member, parseText)] as const,
    );
    const joined = joinMembers(Object.fromEntries(members));
    return joined.templated ? joined : { fill: () => value, templated: false };
  }
  return { fill: () => value, templated: false };
}

function parseTextTemplate(text: string): JsonTemplate {
  const template = parseTemplate(text);
  const only = singleOf(template);
  const fill: JsonTemplate['fill'] = (scope, tellEmpty) => {
    if (!only || only.asJson) return renderTemplate(template, scope, tellEmpty);
    return valueFor(only, readerOf(scope), tellEmpty);
  };
  return { fill, templated: true };
}

/** The placeholder that is all of a template. */
export function singleOf(template: Template): Placeholder | null {
  const [only] = template;
  return template.length === 1 && typeof only === 'object' ? only : null;
}

/** An object of templates; what is missing is left out. */
export function joinMembers(templates: Readonly<Record<string, JsonTemplate>>): JsonTemplate {
  const members = Object.entries(templates);
  return {
    templated: members.some(([, member]) => member.templated),
    fill: (scope, tellEmpty) =>
      Object.fromEntries(
        members
          .map(([key, member]) => [key, member.fill(scope, tellEmpty)])
          .filter(([, filled]) => filled !== undefined),
      ),
  };
}
