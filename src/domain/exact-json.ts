/**
 * JSON whose numbers stay what they were written as. JavaScript has one kind of number, and a counter or an id of
 * 20 digits would leave us as another one. Such numbers are held as raw JSON (the ECMAScript proposal "JSON.parse
 * source text access", in Node since 22), which `JSON.stringify` writes out as it came in.
 */

/** Made by `JSON.rawJSON`, frozen; its one member is the number's text. */
export type ExactNumber = { readonly rawJSON: string };

type JsonWithSource = {
  rawJSON(text: string): ExactNumber;
  isRawJSON(value: unknown): value is ExactNumber;
  parse(
    text: string,
    revive: (key: string, value: unknown, context: { source?: string }) => unknown,
  ): unknown;
};
/** TypeScript does not know these members yet. */
const json = JSON as unknown as JsonWithSource;

/**
 * Fifteen digits always survive, and so does an exponent of two digits with them. Texts of other kinds may look
 * like this too, and merely take the slower way.
 */
const maySuffer = /\d[\d.]{15}|\d[eE][+-]?\d{3}/;

/**
 * Like `JSON.parse`, and throws the same `SyntaxError`; integers beyond `Number.MAX_SAFE_INTEGER` and any number
 * that JavaScript would write down with another value become an `ExactNumber`. Walks by recursion: whoever takes
 * texts from outside looks at their depth first (`requireShallow`).
 */
export function parseJsonExactly(text: string): unknown {
  if (!maySuffer.test(text)) return JSON.parse(text);
  return json.parse(text, (_key, value, { source }) =>
    typeof value === 'number' && source !== undefined && !survives(value, source)
      ? json.rawJSON(source)
      : value,
  );
}

export function isExactNumber(value: unknown): value is ExactNumber {
  return json.isRawJSON(value);
}

/** A number of either kind as JavaScript's nearest one (infinite when it is too large); null for anything else. */
export function numberOf(value: unknown): number | null {
  if (typeof value === 'number') return value;
  return isExactNumber(value) ? Number(value.rawJSON) : null;
}

function survives(value: number, source: string): boolean {
  if (Number.isInteger(value) && !Number.isSafeInteger(value)) return false;
  const kept = decimalOf(String(value));
  const meant = decimalOf(source);
  return kept?.digits === meant?.digits && kept?.exponent === meant?.exponent;
}

/** `digits` times ten to the `exponent`, with no zeros around the digits; the sign never gets lost. */
function decimalOf(text: string): { digits: string; exponent: number } | null {
  const [, whole, fraction = '', exponent = '0'] =
    /^-?(\d+)(?:\.(\d+))?(?:[eE]([+-]?\d+))?$/.exec(text) ?? [];
  if (whole === undefined) return null;
  const all = whole + fraction;
  let from = 0;
  let to = all.length;
  while (from < to && all[from] === '0') from += 1;
  while (to > from && all[to - 1] === '0') to -= 1;
  if (from === to) return { digits: '', exponent: 0 };
  return { digits: all.slice(from, to), exponent: Number(exponent) - fraction.length + (all.length - to) };
}
