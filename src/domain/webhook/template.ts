/** Templates of webhooks' bodies and headers, filled by the rules of MODE and made safe for where they go. */

import { Fault } from '../fault.ts';
import { isNode, lookUp, parseTemplate, type Template, textOf } from '../template.ts';

const templateCharactersMax = 64 * 1024;
const placeholdersMax = 200;

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
