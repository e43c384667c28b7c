/** What a Retry-After header says, in all its forms. */
import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { retryAfterOf } from '../src/outbound/retry-after.ts';

suite('Retry-After', () => {
  const now = Date.UTC(1994, 10, 6, 8, 49, 7);
  const yearMs = 365 * 24 * 3_600_000;
  const table: [string | undefined, number | null][] = [
    [undefined, null],
    ['', null],
    ['0', 0],
    ['120', 120_000],
    [' 7 ', 7_000],
    ['99999999999999999999', yearMs],
    ['-1', null],
    ['1.5', null],
    ['1e3', null],
    ['12 apples', null],
    ['soon', null],
    ['1994', 1_994_000],
    ['1994-11-06T08:49:37Z', null],
    ['Sun, 06 Nov 1994 08:49:37 GMT', 30_000],
    ['Sunday, 06-Nov-94 08:49:37 GMT', 30_000],
    ['Sun Nov  6 08:49:37 1994', 30_000],
    ['Sun, 06 Nov 1994 08:49:37 PST', null],
    ['Sun, 06 Bad 1994 08:49:37 GMT', null],
    ['Sun, 06 Nov 1994 08:48:00 GMT', 0],
    ['Thu, 06 Nov 2094 08:49:37 GMT', yearMs],
  ];
  for (const [header, expected] of table) {
    test(`${header}`, () => assert.equal(retryAfterOf(header, now), expected));
  }
});
