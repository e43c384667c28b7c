/**
 * XML as a value that templates and conditions can look into: an element is a member of the one around it, its attributes
 * are members with an "@" before their names, elements of one name are a list, and one that holds nothing but text is that
 * text. Where a text is asked for, an element with attributes or with other elements in its text is its text too, and a
 * list is its first element: which of them is meant cannot be seen from outside, since a sender that has one of a thing
 * today may have two tomorrow.
 */
import { parseXml, XmlElement, XmlText } from '@rgrove/parse-xml';
import { Fault } from './fault.ts';
import { jsonDepthMax } from './json.ts';

/** What an element or a list of elements is where a text is asked for. JSON does not show it. */
const asText = Symbol('as text');

/** Throws `bad_request` for what is not well-formed, is nested too deep, or has a document type. */
export function readXml(text: string): unknown {
  // Entities of a document type can be made to grow without end, and no caller needs one.
  if (/<!DOCTYPE/i.test(text)) throw new Fault('bad_request', 'XML with a document type is not taken');
  try {
    const { root } = parseXml(text.trim());
    if (!root) throw new Error('it has no element');
    return { [root.name]: readElement(root, 1) };
  } catch (error) {
    if (error instanceof Fault) throw error;
    const [why = ''] = (error as Error).message.split('\n');
    throw new Fault('bad_request', `the body is not XML: ${why}`);
  }
}

/** The text of what `readXml` made of an element or a list of them; undefined for any other value. */
export function textOfXml(value: unknown): string | undefined {
  if (typeof value !== 'object' || value === null) return undefined;
  return (value as { [asText]?: string })[asText];
}

/** Whether `value` is a list that `readXml` made of elements of one name. */
export function isXmlList(value: unknown): value is readonly unknown[] {
  return Array.isArray(value) && asText in value;
}

function readElement(element: XmlElement, depth: number): unknown {
  if (depth >= jsonDepthMax) throw new Fault('bad_request', `the XML is nested deeper than ${jsonDepthMax}`);
  const elements = element.children.filter((child) => child instanceof XmlElement);
  const attributes = Object.entries(element.attributes);
  const text = element.text.trim();
  if (elements.length === 0 && attributes.length === 0) return text;

  const members = new Map<string, unknown>(attributes.map(([name, value]) => [`@${name}`, value]));
  for (const [name, named] of Map.groupBy(elements, (child) => child.name)) {
    const values = named.map((child) => readElement(child, depth + 1));
    members.set(name, values.length === 1 ? values[0] : listOf(values));
  }
  const hasText = element.children.some((child) => child instanceof XmlText && child.text.trim() !== '');
  if (!hasText && elements.length > 0) return Object.fromEntries(members);
  members.set('#text', text);
  return marked(Object.fromEntries(members), text);
}

function listOf(values: unknown[]): unknown[] {
  const [first] = values;
  return marked(values, typeof first === 'string' ? first : (textOfXml(first) ?? JSON.stringify(first)));
}

function marked<T extends object>(value: T, text: string): T {
  return Object.defineProperty(value, asText, { value: text });
}
