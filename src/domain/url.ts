/**
 * Web addresses as people write them: normalised where a device gets them, with values filled in where they hold
 * templates. A value is percent-encoded as a component; the host never comes from one.
 */
import { escapeComponent } from './escape.ts';
import { Fault } from './fault.ts';
import { type Reader, readerOf } from './path.ts';
import {
  hasTemplate,
  type JsonTemplate,
  jsonOf,
  parseTemplate,
  singleOf,
  type TellEmpty,
  type Template,
  textOf,
  valueFor,
} from './template.ts';

/** Scheme, host and port, and what ends them. */
const originPattern = /^\s*[a-z][a-z\d+.-]*:\/\/[^/?#\\]+[/?#\\]/i;

/** The address as `new URL` writes it: host names in ASCII, blanks encoded. Null for what is no http or https URL. */
export function normalUrl(text: string): string | null {
  if (!URL.canParse(text)) return null;
  const { protocol, href } = new URL(text);
  return protocol === 'http:' || protocol === 'https:' ? href : null;
}

/** Throws `bad_template` when the notation is broken or the host comes from a value. */
export function parseUrlTemplate(text: string): Template {
  const template = parseTemplate(text);
  if (!hasOwnHost(template))
    throw new Fault('bad_template', "the host of a URL can't come from a value, unless all of the URL does");
  return template;
}

function hasOwnHost(template: Template): boolean {
  const [first] = template;
  return typeof first === 'string' && (template.length === 1 || originPattern.test(first));
}

/** Throws `bad_template` for a URL in params that could never be one, whatever its values are. */
export function requireUrl(text: string): void {
  if (!hasTemplate(text) || singleOf(parseTemplate(text.trim()))) return;
  if (normalUrl(renderUrl(parseUrlTemplate(text), () => 'x')) === null)
    throw new Fault('bad_template', 'it is no http or https URL, whatever is filled in');
}

/** Fills a URL that has a host of its own. */
export function renderUrl(template: Template, read: Reader, tellEmpty?: TellEmpty): string {
  let url = '';
  for (const part of template) {
    if (typeof part === 'string') url += part;
    else {
      const value = valueFor(part, read, tellEmpty);
      const text = escapeComponent(part.asJson ? jsonOf(value) : textOf(value));
      // In a path these are steps, however they are encoded.
      const isStep = (text === '.' || text === '..') && !/[?#]/.test(url);
      if (!isStep) url += text;
    }
  }
  return url;
}

/**
 * A URL in the params of an action. One that is a single template takes the value itself. One whose host would come
 * from a value beside other text can't be saved (`requireUrl`); where it was saved before, it is left out.
 */
export function parseUrlParam(text: string): JsonTemplate {
  const template = parseTemplate(text.trim());
  const only = singleOf(template);
  const fill: JsonTemplate['fill'] = (scope, tellEmpty) => {
    if (only) return valueFor(only, readerOf(scope), tellEmpty);
    return hasOwnHost(template) ? renderUrl(template, readerOf(scope), tellEmpty) : undefined;
  };
  return { fill, templated: true };
}
