/** Texts made safe for one kind of place each, so that what comes in with a value never gets out of it. */

/** Inside the quotes of a JSON text. */
export function escapeJson(text: string): string {
  return JSON.stringify(text).slice(1, -1);
}

/** A name or a value of a form, or a component of a URL. */
export function escapeComponent(text: string): string {
  return encodeURIComponent(text.toWellFormed());
}

const entities: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  "'": '&#39;',
  '\r': '&#13;',
};
// biome-ignore lint/suspicious/noControlCharactersInRegex: XML 1.0 has no place for them, not even escaped.
const noXml = /[\u0000-\u0008\u000b\u000c\u000e-\u001f\ufffe\uffff]/g;

/** The content of an XML or HTML element. What XML can't hold at all becomes U+FFFD. */
export function escapeXml(text: string): string {
  return text
    .toWellFormed()
    .replaceAll(noXml, '\ufffd')
    .replaceAll(/[&<>"'\r]/g, (letter) => entities[letter] ?? letter);
}

/** Between quotes of an attribute, where line ends and tabs would become spaces. */
export function escapeAttribute(text: string): string {
  return escapeXml(text).replaceAll(/[\n\t]/g, characterReference);
}

/** In a comment, where two hyphens end it. */
export function escapeComment(text: string): string {
  return escapeXml(text).replaceAll('-', '&#45;');
}

/** An attribute without quotes, as HTML has them: whatever could end it is written as its number. */
export function escapeBareAttribute(text: string): string {
  return escapeXml(text).replaceAll(/[^\p{L}\p{N}_.:&#;-]/gu, characterReference);
}

const characterReference = (letter: string) => `&#${letter.codePointAt(0)};`;

/** The name of an element or an attribute: anything else in it becomes `_`. */
export function escapeXmlName(text: string): string {
  return text.replaceAll(/[^\p{L}\p{N}_.:-]/gu, '_');
}

/** One line of CSV and other formats of lines: line ends become spaces. */
export function escapeLine(text: string): string {
  return text.replaceAll(/\r\n|[\n\v\f\r\u0085\u2028\u2029]/g, ' ');
}

/** The same between the quotes of a CSV field. */
export function escapeCsv(text: string): string {
  return escapeLine(text).replaceAll('"', '""');
}

export const headerCharactersMax = 4_096;

/**
 * The value of a header (RFC 9110 §5.5), cut to `headerCharactersMax`: control characters, line ends among them, become
 * spaces, and none are left around it. Latin-1 stays, to be sent as its bytes; any other character is percent-encoded as
 * UTF-8.
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
