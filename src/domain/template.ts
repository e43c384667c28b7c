/**
 * `{{ path }}` in a text stands for a value of the call or event: names joined by dots, array places in brackets.
 * A missing node is the empty text. There is no logic and no code in a template: it can only look up.
 */

import { Fault } from './fault.ts';
import { isExactNumber } from './json.ts';
import { isXmlList, textOfXml } from './xml.ts';

export type Path = readonly (string | number)[];
/** Literal texts and paths in turn. */
export type Template = readonly (string | Path)[];

const name = '[A-Za-z_$][\\w$-]*';
const pathPattern = new RegExp(`^${name}(?:\\.${name}|\\[(?:0|[1-9]\\d{0,8})\\])*$`);

/** Throws `bad_template` when the notation is broken, saying where. */
export function parseTemplate(text: string): Template {
  const parts: (string | Path)[] = [];
  let from = 0;
  for (;;) {
    const open = text.indexOf('{{', from);
    if (open < 0) break;
    const close = text.indexOf('}}', open);
    if (close < 0) throw new Fault('bad_template', `"{{" at position ${open} is never closed`);
    if (open > from) parts.push(text.slice(from, open));
    const inside = text.slice(open + 2, close).trim();
    const path = parsePath(inside);
    if (!path) throw new Fault('bad_template', `"{{ ${inside} }}" is not a path`);
    parts.push(path);
    from = close + 2;
  }
  if (from < text.length) parts.push(text.slice(from));
  return parts;
}

/** Reads `a.b[0].c`; null when the text is no path. */
export function parsePath(text: string): Path | null {
  if (!pathPattern.test(text)) return null;
  return [...text.matchAll(/\[(\d+)\]|[^.[\]]+/g)].map((match) =>
    match[1] === undefined ? match[0] : Number(match[1]),
  );
}

export function hasTemplate(text: string): boolean {
  return text.includes('{{');
}

/** The value at the end of a path, `undefined` when there is none. Only own members count. */
export function lookUp(path: Path, scope: unknown): unknown {
  let node = scope;
  for (const step of path) {
    // A sender with one of a thing has no list of it: the first stands for all where no place is named.
    if (typeof step === 'string' && isXmlList(node)) [node] = node;
    if (!isNode(node) || !Object.hasOwn(node, step)) return undefined;
    node = (node as Record<string | number, unknown>)[step];
  }
  return isXmlList(node) ? node : (textOfXml(node) ?? node);
}

/** An object or an array: what a path can go into. A number that is kept exactly is a leaf. */
export function isNode(value: unknown): value is object {
  return typeof value === 'object' && value !== null && !isExactNumber(value);
}

/** Told of each path that leads to nothing: what is there is missing, null or blank. */
export type TellEmpty = (path: Path) => void;

/** Nothing to show and nothing to go by: missing, null, or a text of blanks alone. */
export function isBlank(value: unknown): boolean {
  return value === undefined || value === null || (typeof value === 'string' && value.trim() === '');
}

/** What a template finds at the end of a path; tells of a path that leads to nothing. */
function resolve(path: Path, scope: unknown, tellEmpty?: TellEmpty): unknown {
  const value = lookUp(path, scope);
  if (tellEmpty && isBlank(value)) tellEmpty(path);
  return value;
}

const plainStep = new RegExp(`^${name}$`);

/** A path as people write it. */
export function textOfPath(path: Path): string {
  return path.reduce<string>((text, step) => {
    if (typeof step === 'number') return `${text}[${step}]`;
    if (!plainStep.test(step)) return `${text}[${JSON.stringify(step)}]`;
    return text ? `${text}.${step}` : step;
  }, '');
}

/** Fills a template; objects and arrays appear as their JSON text. */
export function renderTemplate(template: Template, scope: unknown, tellEmpty?: TellEmpty): string {
  return template
    .map((part) => (typeof part === 'string' ? part : textOf(resolve(part, scope, tellEmpty))))
    .join('');
}

export function textOf(value: unknown): string {
  if (value === undefined || value === null) return '';
  return typeof value === 'object' ? (textOfXml(value) ?? JSON.stringify(value)) : String(value);
}

/** A JSON value whose texts may hold templates, parsed once and filled for every call. */
export type JsonTemplate = {
  fill(scope: unknown, tellEmpty?: TellEmpty): unknown;
  readonly templated: boolean;
};

/**
 * Parses the templates in every text of a JSON value. A text that is one single template takes the value itself,
 * with its type, and is left out where the value is missing; any other text becomes text.
 */
export function parseJsonTemplate(value: unknown): JsonTemplate {
  if (typeof value === 'string' && hasTemplate(value)) {
    const template = parseTemplate(value);
    const [only] = template;
    const fill: JsonTemplate['fill'] =
      template.length === 1 && typeof only === 'object'
        ? (scope, tellEmpty) => resolve(only, scope, tellEmpty)
        : (scope, tellEmpty) => renderTemplate(template, scope, tellEmpty);
    return { fill, templated: true };
  }
  if (Array.isArray(value)) {
    const items = value.map(parseJsonTemplate);
    if (!items.some((item) => item.templated)) return { fill: () => value, templated: false };
    return {
      fill: (scope, tellEmpty) => items.map((item) => item.fill(scope, tellEmpty) ?? null),
      templated: true,
    };
  }
  if (typeof value === 'object' && value !== null) {
    const members = Object.entries(value).map(([key, member]) => [key, parseJsonTemplate(member)] as const);
    if (!members.some(([, member]) => member.templated)) return { fill: () => value, templated: false };
    const fill: JsonTemplate['fill'] = (scope, tellEmpty) =>
      Object.fromEntries(
        members
          .map(([key, member]) => [key, member.fill(scope, tellEmpty)])
          .filter(([, filled]) => filled !== undefined),
      );
    return { fill, templated: true };
  }
  return { fill: () => value, templated: false };
}
