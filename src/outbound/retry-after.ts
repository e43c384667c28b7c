/** What a receiver says about when to come back (RFC 9110 §10.2.3). Pure. */

/** Nobody is waited for longer; it also keeps a time plus a delay a number that can be counted with. */
const delayMsMax = 365 * 24 * 3_600_000;

/**
 * The milliseconds to wait from `now` (epoch milliseconds): from seconds, or from a date in one of the three forms
 * of RFC 9110 §5.6.7. 0 for a date that has passed, null when the header is missing or says neither.
 */
export function retryAfterOf(header: string | undefined, now: number): number | null {
  const text = header?.trim() ?? '';
  const delayMs = /^\d+$/.test(text) ? Number(text) * 1_000 : parseDate(text) - now;
  return Number.isNaN(delayMs) ? null : Math.min(Math.max(delayMs, 0), delayMsMax);
}

/** NaN for anything else: `Date.parse` alone would take "12 apples" for a month. */
function parseDate(text: string): number {
  if (/^[A-Z][a-z]{2,8}, \d\d[ -][A-Z][a-z]{2}[ -]\d{2,4} \d\d:\d\d:\d\d GMT$/.test(text))
    return Date.parse(text);
  // The form of asctime names no zone; it means GMT, where Date.parse would take the machine's.
  if (/^[A-Z][a-z]{2} [A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d \d{4}$/.test(text))
    return Date.parse(`${text} GMT`);
  return Number.NaN;
}
