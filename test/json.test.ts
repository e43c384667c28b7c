import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import fc from 'fast-check';
import {
  isExactNumber,
  isMembers,
  numberOf,
  parseJsonExactly,
  readJson,
  withoutByteOrderMark,
} from '../src/domain/json.ts';

suite('exact JSON', () => {
  test('writes numbers out as they came in', () => {
    const texts = [
      '9007199254740993',
      '-9007199254740993',
      '12345678901234567890',
      '[18446744073709551615,1]',
      '{"a":{"b":[0.1234567890123456789]}}',
      '12345678.123456789012',
      '1e400',
      '-1e-400',
      '1.7976931348623157e309',
      '{"id":"12345678901234567890","n":12345678901234567890}',
      `${'9'.repeat(5_000)}`,
    ];
    for (const text of texts) assert.equal(JSON.stringify(parseJsonExactly(text)), text);
  });

  test('keeps what JavaScript knows as a number', () => {
    const texts = [
      '0',
      '-0',
      '1',
      '9007199254740991',
      '0.1',
      '1.10',
      '1e15',
      '1.0000000000000000',
      '0.00000000000000000',
      '0e999',
      '5e-324',
      '0.30000000000000004',
      '2.2250738585072014e-308',
    ];
    for (const text of texts) {
      assert.deepEqual(parseJsonExactly(text), JSON.parse(text), text);
      assert.equal(typeof parseJsonExactly(text), 'number', text);
    }
  });

  test('knows an exact number from what looks like one', () => {
    assert.ok(isExactNumber(parseJsonExactly('9007199254740993')));
    for (const other of [1, '1', null, undefined, {}, { rawJSON: '1' }, []]) {
      assert.equal(isExactNumber(other), false);
    }
    assert.ok(isExactNumber(parseJsonExactly('9007199254740992')), 'an unsafe integer, though even');
    assert.ok(!isExactNumber(parseJsonExactly('{"rawJSON":"9007199254740993"}')));
    assert.equal(numberOf(parseJsonExactly('12345678901234567890')), 12345678901234567000);
    assert.equal(numberOf(parseJsonExactly('1e400')), Number.POSITIVE_INFINITY);
    assert.equal(numberOf(2), 2);
    assert.equal(numberOf('2'), null);
  });

  test('sets no prototype and refuses what JSON.parse refuses', () => {
    const value = parseJsonExactly('{"__proto__":{"n":12345678901234567890}}') as object;
    assert.deepEqual(Object.keys(value), ['__proto__']);
    assert.equal(Object.getPrototypeOf(value), Object.prototype);
    for (const bad of ['', '{', '01', '1234567890123456x', '[12345678901234567890,]']) {
      assert.throws(() => parseJsonExactly(bad), SyntaxError, bad);
    }
  });

  test('says any integer and any decimal again, with its value', () => {
    fc.assert(
      fc.property(fc.bigInt(), (integer) => {
        assert.equal(JSON.stringify(parseJsonExactly(`[${integer}]`)), `[${integer}]`);
      }),
    );
    fc.assert(
      fc.property(
        fc.bigInt({ min: 0n }),
        fc.nat(40),
        fc.integer({ min: -400, max: 400 }),
        (digits, places, e) => {
          const text = `0.${'0'.repeat(places)}${digits}e${e}`;
          const said = JSON.stringify(parseJsonExactly(text));
          assert.ok(said === text || sameValue(said, text), `${text} became ${said}`);
        },
      ),
    );
  });

  test('parses what JSON.parse does where no number suffers', () => {
    fc.assert(
      fc.property(fc.jsonValue(), (value) => {
        const text = JSON.stringify(value);
        assert.equal(JSON.stringify(parseJsonExactly(text)), JSON.stringify(JSON.parse(text)));
      }),
    );
  });
});

/** Compares two decimals as fractions of whole numbers, without the code under test. */
function sameValue(a: string, b: string): boolean {
  const [x, y] = [fractionOf(a), fractionOf(b)];
  return x.top * y.bottom === y.top * x.bottom;
}

function fractionOf(text: string): { top: bigint; bottom: bigint } {
  const [mantissa = '', exponent = '0'] = text.split(/e/i);
  const [whole = '', fraction = ''] = mantissa.split('.');
  const e = Number(exponent) - fraction.length;
  const top = BigInt(whole + fraction);
  return e >= 0 ? { top: top * 10n ** BigInt(e), bottom: 1n } : { top, bottom: 10n ** BigInt(-e) };
}

suite('reading JSON from bytes', () => {
  const codeOf = (work: () => unknown) => {
    try {
      work();
      return 'read';
    } catch (error) {
      return (error as { code?: string }).code;
    }
  };
  const mark = Buffer.from('\uFEFF');
  const latin = Buffer.from('{"why":"\xe9"}', 'latin1');

  test('a byte order mark is passed over', () => {
    assert.deepEqual(readJson(Buffer.concat([mark, Buffer.from('{"a":1}')])), { a: 1 });
    assert.deepEqual(readJson(Buffer.concat([mark, Buffer.from('{"a":1}')]), { isLenient: true }), { a: 1 });
    assert.equal(Buffer.from(withoutByteOrderMark(Buffer.concat([mark, latin]))).compare(latin), 0);
    assert.equal(withoutByteOrderMark(latin), latin);
    assert.equal(withoutByteOrderMark(mark.subarray(0, 2)).length, 2);
  });

  test('what is too large, too deep, no UTF-8 or no JSON is refused', () => {
    assert.equal(
      codeOf(() => readJson(Buffer.from('[1]'), { bytesMax: 3 })),
      'read',
    );
    assert.equal(
      codeOf(() => readJson(Buffer.from('[1,2]'), { bytesMax: 3 })),
      'too_large',
    );
    assert.equal(
      codeOf(() => readJson(Buffer.from('['.repeat(65) + ']'.repeat(65)))),
      'bad_request',
    );
    assert.equal(
      codeOf(() => readJson(latin)),
      'bad_request',
    );
    assert.equal(
      codeOf(() => readJson(Buffer.from('{"a":'))),
      'bad_request',
    );
    assert.equal(
      codeOf(() => readJson(Buffer.alloc(0))),
      'bad_request',
    );
  });

  test('numbers are exact, and letters where nobody reads them need not be', () => {
    const long = Buffer.from('12345678901234567890');
    assert.ok(isExactNumber(readJson(long)));
    assert.ok(isExactNumber(readJson(long, { isLenient: true })));
    assert.deepEqual(readJson(latin, { isLenient: true }), { why: '\uFFFD' });
  });

  test('members are those of objects alone', () => {
    assert.ok(isMembers({}));
    const others = [null, [], 'a', 1, Buffer.from('a'), readJson(Buffer.from('12345678901234567890'))];
    for (const value of others) assert.ok(!isMembers(value));
  });
});
