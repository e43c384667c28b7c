/**
 * Paths into JSON, the same in templates, filters, alarm rules and conditions: `a.b[0].c`. Names take letters and
 * digits of any script and `_ $ @ # : -`; any other one stands in brackets and quotes, `["Alarm Status"]`, where a
 * backslash stands before a quote or a backslash. A text that is JSON can be looked into like the JSON it is.
 */
import { isExactNumber, readJson } from './json.ts';
import { isXmlList, textOfXml } from './xml.ts';

/** At least one step, and the first of them is a name. */
export type Path = readonly (string | number)[];
export type Reader = (path: Path) => unknown;

export type Read<T> = { value: T; end: number } | { problem: string; at: number };

const letters = '[\\p{L}\\p{M}\\p{N}\\p{ID_Continue}\\u200c\\u200d_$@#:-]+';
const namePattern = new RegExp(letters, 'uy');
const wholeNamePattern = new RegExp(`^${letters}$`, 'u');
const placePattern = /\[(0|[1-9]\d{0,8})\]/y;

/** Reads the path that stands at `from`; it ends where neither a dot nor a bracket goes on. */
export function readPath(text: string, from: number): Read<Path> {
  const path: (string | number)[] = [];
  let at = from;
  for (;;) {
    const isFirst = path.length === 0;
    const step = readStep(text, at, isFirst);
    if ('problem' in step) return step;
    path.push(step.value);
    at = step.end;
    if (text[at] !== '.' && text[at] !== '[') return { value: path, end: at };
  }
}

function readStep(text: string, at: number, isFirst: boolean): Read<string | number> {
  if (text[at] === '[') {
    const place = isFirst ? null : match(placePattern, text, at);
    if (place) return { value: Number(place[1]), end: at + place[0].length };
    return readQuotedName(text, at);
  }
  const from = isFirst ? at : at + 1;
  const name = match(namePattern, text, from);
  if (name) return { value: name[0], end: from + name[0].length };
  return { problem: 'a name is missing, or has to stand in quotes, as in ["a b"]', at: from };
}

function readQuotedName(text: string, at: number): Read<string> {
  const quote = text[at + 1];
  if (quote !== '"' && quote !== "'")
    return { problem: 'in brackets stands a place, as in [0] (not first), or a name in quotes', at: at + 1 };
  const name = readQuoted(text, at + 1);
  if ('problem' in name) return name;
  return text[name.end] === ']'
    ? { value: name.value, end: name.end + 1 }
    : { problem: 'a bracket is never closed', at: name.end };
}

/** A text in the quotes that stand at `at`; a backslash in it stands before a quote or a backslash. */
export function readQuoted(text: string, at: number): Read<string> {
  const quote = text[at];
  let value = '';
  for (let place = at + 1; place < text.length; place += 1) {
    let letter = text.charAt(place);
    if (letter === quote) return { value, end: place + 1 };
    if (letter === '\\') {
      place += 1;
      letter = text.charAt(place);
      if (letter !== '"' && letter !== "'" && letter !== '\\')
        return { problem: 'in quotes, a backslash stands before a quote or a backslash', at: place - 1 };
    }
    value += letter;
  }
  return { problem: 'a quote is never closed', at };
}

function match(pattern: RegExp, text: string, at: number): RegExpExecArray | null {
  pattern.lastIndex = at;
  return pattern.exec(text);
}

/** The path that the whole of a text is; null when it is none. */
export function parsePath(text: string): Path | null {
  const read = readPath(text, 0);
  return 'problem' in read || read.end < text.length ? null : read.value;
}

/** Why the whole of a text is no path, and where; null when it is one. */
export function pathProblem(text: string): string | null {
  const read = readPath(text, 0);
  if ('problem' in read) return `${read.problem} (position ${read.at})`;
  return read.end < text.length ? `the path has to end at position ${read.end}` : null;
}

/** A path as people write it. */
export function textOfPath(path: Path): string {
  return path.reduce<string>((text, step) => {
    if (typeof step === 'number') return `${text}[${step}]`;
    if (!wholeNamePattern.test(step)) return `${text}["${step.replaceAll(/["\\]/g, '\\$&')}"]`;
    return text ? `${text}.${step}` : step;
  }, '');
}

/** An object or an array: what a path can go into. A number that is kept exactly is a leaf. */
export function isNode(value: unknown): value is object {
  return typeof value === 'object' && value !== null && !isExactNumber(value);
}

/** Of one text, and of all those of one scope together: what is larger is not looked into. */
const openedCharactersMax = 256 * 1_024;
const openedInAllMax = 1_024 * 1_024;

const readers = new WeakMap<object, Reader>();

/**
 * Finds values in `scope`, `undefined` where there is none; only own members count. A text that is JSON is parsed when
 * a path goes into it, once for the scope, however many templates and conditions look.
 */
export function readerOf(scope: unknown): Reader {
  const known = isNode(scope) ? readers.get(scope) : undefined;
  if (known) return known;
  let opened: Map<string, unknown> | undefined;
  let left = openedInAllMax;

  function open(text: string): unknown {
    if (opened?.has(text)) return opened.get(text);
    if (text.length > Math.min(left, openedCharactersMax) || !/^\s*[[{]/.test(text)) return undefined;
    left -= text.length;
    const value = jsonIn(text);
    opened ??= new Map();
    opened.set(text, value);
    return value;
  }

  const reader: Reader = (path) => {
    let node = scope;
    for (const step of path) {
      // A sender with one of a thing has no list of it: the first stands for all where no place is named.
      if (typeof step === 'string' && isXmlList(node)) [node] = node;
      if (typeof node === 'string') node = open(node);
      if (!isNode(node) || !Object.hasOwn(node, step)) return undefined;
      node = (node as Record<string | number, unknown>)[step];
    }
    return isXmlList(node) ? node : (textOfXml(node) ?? node);
  };
  if (isNode(scope)) readers.set(scope, reader);
  return reader;
}

function jsonIn(text: string): unknown {
  try {
    return readJson(Buffer.from(text));
  } catch {
    // It only looks like JSON, or goes too deep: then it is a text and has nothing inside.
    return undefined;
  }
}
