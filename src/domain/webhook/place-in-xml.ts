/** Where in XML or HTML the placeholders of a template stand, and how a value is written there. */
import { escapeAttribute, escapeBareAttribute, escapeComment, escapeXml, escapeXmlName } from '../escape.ts';
import type { Placeholder, Template } from '../template.ts';

type Writer = (value: unknown, placeholder: Placeholder) => string;
type Place = 'content' | 'tag' | 'bare attribute' | '"' | "'" | 'cdata' | 'comment' | 'instruction';

/** What begins in content, the longest first. */
const beginnings: readonly (readonly [string, Place])[] = [
  ['<![CDATA[', 'cdata'],
  ['<!--', 'comment'],
  ['<?', 'instruction'],
  ['<', 'tag'],
];
const endings: Partial<Record<Place, readonly [string, Place]>> = {
  cdata: [']]>', 'content'],
  comment: ['-->', 'content'],
  instruction: ['?>', 'content'],
  '"': ['"', 'tag'],
  "'": ["'", 'tag'],
};

const escapes: Record<Place, (text: string) => string> = {
  content: escapeXml,
  tag: escapeXmlName,
  'bare attribute': escapeBareAttribute,
  '"': escapeAttribute,
  "'": escapeAttribute,
  // The section is left for it: nothing is escaped inside, and what ends it must not come together from parts.
  cdata: (text) => `]]>${escapeXml(text)}<![CDATA[`,
  comment: escapeComment,
  instruction: escapeXml,
};

/** `write` says what the text of a value is. */
export function xmlWriters(template: Template, write: Writer): Writer[] {
  const writers: Writer[] = [];
  let place: Place = 'content';
  for (const part of template) {
    if (typeof part === 'string') place = placeBehind(part, place);
    else {
      const escapeText = escapes[place];
      writers.push((value, placeholder) => escapeText(write(value, placeholder)));
    }
  }
  return writers;
}

function placeBehind(text: string, from: Place): Place {
  let place = from;
  for (let at = 0; at < text.length; ) {
    const ending = endings[place];
    if (ending) {
      const [mark, next] = ending;
      const end = text.indexOf(mark, at);
      if (end < 0) return place;
      at = end + mark.length;
      place = next;
    } else if (place === 'content') {
      const open = text.indexOf('<', at);
      if (open < 0) return place;
      const [mark, next] = beginnings.find(([begins]) => text.startsWith(begins, open)) ?? ['<', 'tag'];
      at = open + mark.length;
      place = next;
    } else {
      place = insideTag(text.charAt(at), place);
      at += 1;
    }
  }
  return place;
}

function insideTag(letter: string, place: Place): Place {
  if (letter === '>') return 'content';
  if (letter === '"' || letter === "'") return letter;
  if (letter === '=') return 'bare attribute';
  return /\s/.test(letter) ? 'tag' : place;
}
