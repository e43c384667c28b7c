/** Forms and queries: names and values, URL-encoded. The escapes stand for bytes, which are text in some charset. */
import { decodeIn } from './charset.ts';
import { Fault } from './fault.ts';

const fieldsMax = 5_000;

export type Field = readonly [name: string, value: string];

/** The fields of `bytes` in their order. Throws like `decodeIn`, and `bad_request` for too many. */
export function readFields(bytes: Uint8Array, charset: string, what = 'the body'): Field[] {
  const text = Buffer.from(bytes).toString('latin1');
  const parts = text.split('&', fieldsMax + 1).filter((part) => part !== '');
  if (parts.length > fieldsMax) throw new Fault('bad_request', `${what} has more than ${fieldsMax} fields`);
  const read = (escaped: string) => decodeEscaped(escaped, charset, what);
  return parts.map((part) => {
    const equals = part.indexOf('=');
    return equals < 0 ? [read(part), ''] : [read(part.slice(0, equals)), read(part.slice(equals + 1))];
  });
}

/** In ISO-2022-JP an escape character makes other letters of what follows. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: it is what tells ASCII from that.
const plain = /^[\x00-\x1a\x1c-\x7f]*$/;

/** `escaped` holds one byte in each letter. */
function decodeEscaped(escaped: string, charset: string, what: string): string {
  const bytes = escaped
    .replaceAll('+', ' ')
    .replace(/%([\da-f]{2})/gi, (_escape, hex: string) => String.fromCharCode(Number.parseInt(hex, 16)));
  return plain.test(bytes) ? bytes : decodeIn(charset, Buffer.from(bytes, 'latin1'), what).text;
}

/** The query of a URL, the part behind the question mark. */
export function readQuery(query: string): Field[] {
  return readFields(Buffer.from(query, 'latin1'), 'utf-8', 'the query');
}

/** The value of each name; of a name that stands twice the first one, and the name is told. */
export function membersOf(fields: Iterable<Field>): { members: Record<string, string>; repeated: string[] } {
  const members = new Map<string, string>();
  const repeated = new Set<string>();
  for (const [name, value] of fields) {
    if (members.has(name)) repeated.add(name);
    else members.set(name, value);
  }
  return { members: Object.fromEntries(members), repeated: [...repeated] };
}

/** Whether a text that is announced as a form is one: tools announce one whatever they send. A name has no blanks. */
export function isForm(text: string): boolean {
  const equals = text.indexOf('=');
  return equals > 0 && !/\s/.test(text.slice(0, equals).trimStart());
}
