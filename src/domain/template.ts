/**
 * `{{ path }}` in a text stands for a value of the call or event: names joined by dots, array places in brackets.
 * A missing node is the empty text. There is no logic and no code in a template: it can only look up.
 */

import { Fault } from './fault.ts';
import { isExactNumber } from './json.ts';

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
    if (!isNode(node) || !Object.hasOwn(node, step)) return undefined;
    node = (node as Record<string | number, unknown>)[step];
  }
  return node;
}

/** An object or an array: what a path can go into. A number that is kept exactly is a leaf. */
function isNode(value: unknown): value is object {
  return typeof value === 'object' && value !== null && !isExactNumber(value);
}

/** Fills a template; objects and arrays appear as their JSON text. */
export function renderTemplate(template: Template, scope: unknown): string {
  return template.map((part) => (typeof part === 'string' ? part : textOf(lookUp(part, scope)))).join('');
}

function textOf(value: unknown): string {
  if (value === undefined || value === null) return '';
  return typeof value === 'object' ? JSON.stringify(value) : String(value);
}

const webhookTemplateCharactersMax = 64 * 1024;
const webhookPlaceholdersMax = 200;

/** A template for a webhook's body or for one of its headers; throws `bad_template`. */
export function parseWebhookTemplate(text: string): Template {
  if (text.length > webhookTemplateCharactersMax) {
    throw new Fault('bad_template', `a template has at most ${webhookTemplateCharactersMax} characters`);
  }
  const template = parseTemplate(text);
  const placeholders = template.filter((part) => typeof part !== 'string').length;
  if (placeholders > webhookPlaceholdersMax) {
    throw new Fault('bad_template', `${placeholders} placeholders, ${webhookPlaceholdersMax} is the most`);
  }
  return template;
}

/**
 * Fills a webhook's template by MODE's rules: what is missing is the empty text (and so is null), and an object or
 * an array becomes its JSON text escaped for a JSON string, in bodies and headers alike. With `json`, texts are
 * escaped too, so that what a device says stays inside the string it was put in; without, they go in as they are.
 * Throws `too_large` as soon as more than `charactersMax` characters would come out.
 */
export function renderWebhook(
  template: Template,
  scope: unknown,
  { json, charactersMax }: { json: boolean; charactersMax: number },
): string {
  let text = '';
  for (const part of template) {
    const next = typeof part === 'string' ? part : webhookTextOf(lookUp(part, scope), json);
    if (text.length + next.length > charactersMax) {
      throw new Fault('too_large', `the filled template has more than ${charactersMax} characters`);
    }
    text += next;
  }
  return text;
}

function webhookTextOf(value: unknown, json: boolean): string {
  if (isNode(value)) return escapeForJson(JSON.stringify(value));
  return typeof value === 'string' && json ? escapeForJson(value) : textOf(value);
}

function escapeForJson(text: string): string {
  return JSON.stringify(text).slice(1, -1);
}

const headerCharactersMax = 4_096;

/**
 * A text made safe as the value of a header (RFC 9110 §5.5), cut to `headerCharactersMax`: control characters, line
 * ends among them, become spaces, and none are left around it. Latin-1 stays, to be sent as its bytes; any other
 * character is percent-encoded as UTF-8.
 */
export function headerValueOf(text: string): string {
  let value = '';
  for (const character of text.slice(0, headerCharactersMax + 1).toWellFormed()) {
    const safe = safeInHeader(character);
    if (value.length + safe.length > headerCharactersMax) break;
    value += safe;
  }
  return value.trim();
}

function safeInHeader(character: string): string {
  const code = character.codePointAt(0) ?? 0;
  if (code < 0x20 || (code >= 0x7f && code < 0xa0)) return ' ';
  return code <= 0xff ? character : encodeURIComponent(character);
}

/** A JSON value whose texts may hold templates, parsed once and filled for every call. */
export type JsonTemplate = { fill(scope: unknown): unknown; readonly templated: boolean };

/**
 * Parses the templates in every text of a JSON value. A text that is one single template takes the value itself,
 * with its type, and is left out where the value is missing; any other text becomes text.
 */
export function parseJsonTemplate(value: unknown): JsonTemplate {
  if (typeof value === 'string' && hasTemplate(value)) {
    const template = parseTemplate(value);
    const [only] = template;
    const fill =
      template.length === 1 && typeof only === 'object'
        ? (scope: unknown) => lookUp(only, scope)
        : (scope: unknown) => renderTemplate(template, scope);
    return { fill, templated: true };
  }
  if (Array.isArray(value)) {
    const items = value.map(parseJsonTemplate);
    if (!items.some((item) => item.templated)) return { fill: () => value, templated: false };
    return { fill: (scope) => items.map((item) => item.fill(scope) ?? null), templated: true };
  }
  if (typeof value === 'object' && value !== null) {
    const members = Object.entries(value).map(([key, member]) => [key, parseJsonTemplate(member)] as const);
    if (!members.some(([, member]) => member.templated)) return { fill: () => value, templated: false };
    const fill = (scope: unknown) =>
      Object.fromEntries(
        members
          .map(([key, member]) => [key, member.fill(scope)])
          .filter(([, filled]) => filled !== undefined),
      );
    return { fill, templated: true };
  }
  return { fill: () => value, templated: false };
}
