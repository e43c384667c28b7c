/** Rooms take `unknown` from outside and parse it once, here, into what they work with. */
import { z } from 'zod';
import { Fault, type Problem } from './fault.ts';
import { type ExactNumber, isExactNumber, isMembers, type Members } from './json.ts';

const problemsMax = 20;

/** Parses `input` or throws `bad_request` with every problem and its place. */
export function parseInput<T>(schema: z.ZodType<T>, input: unknown): T {
  const result = schema.safeParse(input);
  if (result.success) return result.data;
  const problems = result.error.issues
    .slice(0, problemsMax)
    .map((issue): Problem => ({ path: placeOf(issue.path), detail: issue.message }));
  const [first] = problems;
  throw new Fault('bad_request', first ? `${first.path || 'input'}: ${first.detail}` : 'bad input', {
    problems,
  });
}

/** A place in the input, such as `steps[0].params.url`; nothing for the input itself. */
export function placeOf(path: readonly PropertyKey[]): string {
  return path.reduce<string>((place, step) => {
    if (typeof step === 'number') return `${place}[${step}]`;
    return place ? `${place}.${String(step)}` : String(step);
  }, '');
}

/** The same of a JSON pointer (RFC 6901), as validators of JSON Schema say it; steps of digits are places in a list. */
export function placeOfPointer(pointer: string, ...inside: string[]): string {
  const steps = pointer
    .split('/')
    .slice(1)
    .map((step) => step.replaceAll('~1', '/').replaceAll('~0', '~'))
    .map((step) => (/^\d+$/.test(step) ? Number(step) : step));
  return placeOf([...steps, ...inside]);
}

const nameMax = 200;
const metadataBytesMax = 16_384;

/** Names are trimmed, since one database takes trailing spaces for equal and the other doesn't. */
export const nameSchema = z
  .string()
  .trim()
  .min(1)
  .max(nameMax)
  // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what it refuses.
  .regex(/^[^\u0000-\u001f\u007f]*$/, 'must not hold control characters');

/** A whole number beyond those that JavaScript knows. */
const exactIntegerSchema = z.custom<ExactNumber>(
  (value) => isExactNumber(value) && /^-?\d+$/.test(value.rawJSON),
);

/** Numbers are taken as the text they are written as: event ids in the wild are often digits. */
export const eventIdSchema = z
  .union([z.string(), z.int().transform(String), exactIntegerSchema.transform((number) => number.rawJSON)])
  .pipe(nameSchema)
  .refine((text) => !text.includes('/'), 'must not hold a slash');

/** Members as they are: the values inside may be numbers that only their text holds exactly, and must not be copied. */
export const membersSchema = z.custom<Members>(isMembers, 'must be an object');

export const metadataSchema = membersSchema.refine(
  (value) => JSON.stringify(value).length <= metadataBytesMax,
  `at most ${metadataBytesMax} characters of JSON`,
);

/** An RFC 3339 instant, as milliseconds. */
export const instantSchema = z.iso.datetime({ offset: true }).transform((text) => Date.parse(text));

/** A yes or no that may come as text from a query. */
export const flagSchema = z
  .enum(['true', 'false'])
  .transform((text) => text === 'true')
  .or(z.boolean());

/** Numbers that may come as text from a query. */
export const idSchema = z.coerce.number().pipe(z.int().positive());

/** A cursor that holds what the list goes on from. */
export const cursorOf = (pattern: RegExp) =>
  z
    .string()
    .refine(
      (text) => text === '' || pattern.test(Buffer.from(text, 'base64url').toString('utf8')),
      'is not a cursor of ours',
    )
    .optional();

export const pageSchema = z.object({
  limit: z.coerce.number().pipe(z.int().min(1)).optional(),
  cursor: cursorOf(/^[\x20-\x7e]{1,100}$/),
});
/** For lists of what has ids of time, newest first. */
export const timedPageSchema = pageSchema.extend({ cursor: cursorOf(/^[0-9a-f-]{36}$/) });
/** For lists in the order of numbers. */
export const numberedPageSchema = pageSchema.extend({ cursor: cursorOf(/^\d{1,15}$/) });

/** Milliseconds as RFC 3339 UTC; null stays null. */
export function instant(time: number): string;
export function instant(time: number | null): string | null;
export function instant(time: number | null): string | null {
  return time === null ? null : new Date(time).toISOString();
}
