/** A condition on a JSON payload: comparisons of what a path leads to, joined by all, any and their opposites. */
import { z } from 'zod';
import { type ExactNumber, isSameNumber, numberOf } from './json.ts';
import { type Path, parsePath, pathProblem, type Reader, readerOf } from './path.ts';

const depthMax = 16;
const leavesMax = 200;
const pathCharactersMax = 200;
const valueCharactersMax = 1_000;

const ops = ['>', '>=', '<', '<=', '=', '!=', 'exists'] as const;
type Op = (typeof ops)[number];
/** The same under another name, taken on the way in. */
const otherNames: Readonly<Record<string, Op>> = { '==': '=', '<>': '!=' };
const joins = ['all', 'any', 'not_all', 'not_any'] as const;

type Value = number | ExactNumber | string | boolean | null;
/** An empty `path` leads to the payload itself. */
export type Comparison = { path: string; op: Op; value?: Value | undefined };
export type Condition =
  | Comparison
  | { all: Condition[] }
  | { any: Condition[] }
  | { not_all: Condition[] }
  | { not_any: Condition[] };

const numberSchema = z.custom<number | ExactNumber>((value) => numberOf(value) !== null);
const comparisonSchema = z
  .strictObject({
    path: z
      .string()
      .max(pathCharactersMax)
      .superRefine((text, ctx) => {
        const problem = text === '' ? null : pathProblem(text);
        if (problem !== null) ctx.addIssue(`must be a path like a.b[0]["c d"]: ${problem}`);
      }),
    op: z.preprocess((op) => (typeof op === 'string' ? (otherNames[op] ?? op) : op), z.enum(ops)),
    value: z
      .union([numberSchema, z.string().max(valueCharactersMax), z.boolean(), z.null()], {
        error: `must be a number, true, false, null or a text of at most ${valueCharactersMax} characters`,
      })
      .optional(),
  })
  .superRefine(({ op, value }, ctx) => {
    const problem = problemOfValue(op, value);
    if (problem) ctx.addIssue({ code: 'custom', path: ['value'], message: problem });
  });

function problemOfValue(op: Op, value: Comparison['value']): string | null {
  if (op === 'exists')
    return value === undefined || typeof value === 'boolean' ? null : 'must be true or false';
  if (value === undefined) return 'is missing';
  if (op === '=' || op === '!=' || numberOf(value) !== null) return null;
  return `must be a number, since "${op}" compares numbers`;
}

const listSchema = z.array(z.lazy(() => nodeSchema)).min(1, 'must not be empty');

/** By its members a node says which kind it is, and then it is told what is wrong with it as one of that kind. */
const nodeSchema: z.ZodType<Condition> = z
  .record(z.string(), z.unknown(), { error: 'must be a condition' })
  .transform((node, ctx): Condition => {
    const join = joins.find((name) => Object.hasOwn(node, name));
    const schema = join ? z.strictObject({ [join]: listSchema }) : comparisonSchema;
    const result = schema.safeParse(node);
    if (result.success) return result.data as Condition;
    for (const { path, message } of result.error.issues) ctx.addIssue({ code: 'custom', path, message });
    return z.NEVER;
  });

/** Takes a condition from outside; the size is looked at before anything else walks it. */
export const conditionSchema: z.ZodType<Condition> = z
  .unknown()
  .superRefine((input, ctx) => {
    const leaves = countLeaves(input, 1);
    if (leaves === null) ctx.addIssue(`is nested deeper than ${depthMax}`);
    else if (leaves > leavesMax) ctx.addIssue(`has ${leaves} comparisons, ${leavesMax} is the most`);
  })
  .pipe(nodeSchema);

/** Null when `node` goes too deep; what is no condition at all counts as one leaf. */
function countLeaves(node: unknown, depth: number): number | null {
  const lists =
    typeof node === 'object' && node !== null
      ? joins.map((join) => (node as Record<string, unknown>)[join]).filter(Array.isArray)
      : [];
  if (lists.length === 0) return 1;
  if (depth >= depthMax) return null;
  let leaves = 0;
  for (const inner of lists.flat()) {
    const more = countLeaves(inner, depth + 1);
    if (more === null) return null;
    leaves += more;
  }
  return leaves;
}

/** Every comparison in a condition. */
export function comparisonsOf(condition: Condition): Comparison[] {
  if ('path' in condition) return [condition];
  return Object.values(condition).flat().flatMap(comparisonsOf);
}

/**
 * Whether `condition` holds for `payload`; for an array it does when it does for one of its elements, which fits
 * the whole condition alone. Ordering compares numbers and nothing else; `=` and `!=` compare type and value, so
 * `"1"` is not `1`. Where a path leads nowhere, no comparison holds, `!=` neither: only `exists` can ask for that.
 */
export function holds(condition: Condition, payload: unknown): boolean {
  if (Array.isArray(payload)) return payload.some((element) => holdsFor(condition, element));
  return holdsFor(condition, payload);
}

/** The same for a value as a whole, also where it is an array. */
export function holdsFor(condition: Condition, scope: unknown): boolean {
  return meets(condition, readerOf(scope));
}

function meets(condition: Condition, read: Reader): boolean {
  const one = (inner: Condition) => meets(inner, read);
  if ('all' in condition) return condition.all.every(one);
  if ('any' in condition) return condition.any.some(one);
  if ('not_all' in condition) return !condition.not_all.every(one);
  if ('not_any' in condition) return !condition.not_any.some(one);
  const path = pathOf(condition);
  const found = path ? read(path) : undefined;
  if (condition.op === 'exists') return (found !== undefined) === (condition.value ?? true);
  return found !== undefined && compares(condition, found);
}

const paths = new WeakMap<Comparison, Path | null>();

/** Read once for a condition, not for every message. */
function pathOf(comparison: Comparison): Path | null {
  const known = paths.get(comparison);
  if (known !== undefined) return known;
  const path = comparison.path === '' ? [] : parsePath(comparison.path);
  paths.set(comparison, path);
  return path;
}

function compares({ op, value }: Comparison, found: unknown): boolean {
  if (op === '=') return isSame(found, value);
  if (op === '!=') return !isSame(found, value);
  const [number, limit] = [numberOf(found), numberOf(value)];
  if (number === null || limit === null) return false;
  if (op === '>') return number > limit;
  if (op === '>=') return number >= limit;
  if (op === '<') return number < limit;
  return number <= limit;
}

function isSame(found: unknown, value: unknown): boolean {
  return found === value || isSameNumber(found, value);
}
