/** Templates of webhooks: their limits, how they are filled, and what is found wrong with them before they are saved. */

import { headerCharactersMax, headerValueOf } from '../escape.ts';
import { Fault } from '../fault.ts';
import { isJsonType } from '../media-type.ts';
import type { Reader } from '../path.ts';
import { parseTemplate, type Template, valueFor } from '../template.ts';
import { type PlacedTemplate, placeTemplate, type Syntax, syntaxOf } from './place.ts';

export const jsonType = 'application/json';
const templateCharactersMax = 64 * 1024;
const placeholdersMax = 200;
/** What a body may grow to when it is filled. */
const bodyCharactersMax = 4 * 1_024 * 1_024;

/** A template for a webhook's body or for one of its headers; throws `bad_template`. */
export function parseWebhookTemplate(text: string): Template {
  if (text.length > templateCharactersMax) {
    throw new Fault('bad_template', `a template has at most ${templateCharactersMax} characters`);
  }
  const template = parseTemplate(text);
  const placeholders = template.filter((part) => typeof part !== 'string').length;
  if (placeholders > placeholdersMax) {
    throw new Fault('bad_template', `${placeholders} placeholders, ${placeholdersMax} is the most`);
  }
  return template;
}

/** Fills a template; `end` is told what would come out when that is more than `charactersMax`, and ends it. */
function render(
  template: PlacedTemplate,
  read: Reader,
  { charactersMax, end }: { charactersMax: number; end: (text: string) => string },
): string {
  let text = '';
  for (const part of template) {
    text += typeof part === 'string' ? part : part.write(valueFor(part.placeholder, read), part.placeholder);
    if (text.length > charactersMax) return end(text);
  }
  return text;
}

/** The value of a header, made safe and cut to what a header holds. */
export function renderHeader(template: PlacedTemplate, read: Reader): string {
  return headerValueOf(render(template, read, { charactersMax: headerCharactersMax, end: (text) => text }));
}

/** Says of a template what it is like as a body of some media type, in lower case and without its parameters. */
export type BodyTemplate = (mediaType: string) => PlacedTemplate;

export function bodyTemplate(template: Template): BodyTemplate {
  const placed = new Map<Syntax, PlacedTemplate>();
  return (mediaType) => {
    const syntax = syntaxOf(mediaType);
    const made = placed.get(syntax) ?? placeTemplate(template, syntax);
    placed.set(syntax, made);
    return made;
  };
}

/**
 * Fills a body. Throws `too_large` when more than `charactersMax` characters would come out, and `bad_request` when it
 * is announced as JSON and is none.
 */
export function renderBody(
  template: BodyTemplate,
  mediaType: string,
  read: Reader,
  charactersMax = bodyCharactersMax,
): string {
  const end = () => {
    throw new Fault('too_large', `the filled template has more than ${charactersMax} characters`);
  };
  const text = render(template(mediaType), read, { charactersMax, end });
  const problem = isJsonType(mediaType) ? problemOfJson(text) : null;
  if (problem !== null) throw new Fault('bad_request', `the body is not JSON after substitution: ${problem}`);
  return text;
}

function problemOfJson(text: string): string | null {
  try {
    JSON.parse(text);
    return null;
  } catch (error) {
    return (error as Error).message;
  }
}

/** What values may be: one of them at least has to give a body that can be sent. */
const samples = [1, 'text', undefined, { a: 1 }];

/** Throws `bad_template` for a body that is not JSON, where it should be, whatever the values are. */
export function tryBody(template: Template, mediaType: string): void {
  if (!isJsonType(mediaType)) return;
  const body = bodyTemplate(template)(mediaType);
  const problems = samples.map((sample) =>
    problemOfJson(
      render(body, () => sample, { charactersMax: Number.POSITIVE_INFINITY, end: (text) => text }),
    ),
  );
  if (!problems.includes(null))
    throw new Fault('bad_template', `it is not JSON when it is filled: ${problems[0]}`);
}

export function mediaTypeOf(header: string): string {
  return header.split(';', 1)[0]?.trim().toLowerCase() ?? '';
}
