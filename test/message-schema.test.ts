import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import fc from 'fast-check';
import { checkedCharactersMax, compileMessageSchema } from '../src/domain/device/message-schema.ts';
import { Fault } from '../src/domain/fault.ts';
import { parseJsonExactly } from '../src/domain/json.ts';

const reading = {
  type: 'object',
  required: ['temperature'],
  properties: {
    temperature: { type: 'number', maximum: 100 },
    serial: { type: 'integer' },
    tags: { type: 'array', items: { type: 'string', pattern: '^[a-z]+$' }, uniqueItems: true, maxItems: 5 },
    at: { type: 'string', format: 'date-time' },
    site: { $ref: '#/$defs/site' },
    'a/b': { type: 'null' },
  },
  additionalProperties: false,
  $defs: { site: { enum: ['north', 'south'] } },
};
/** Longest text of a message that is checked at all. */
const long = checkedCharactersMax;

suite('schemas of messages', () => {
  test('say what does not fit', () => {
    const check = compileMessageSchema(reading);
    const cases: [unknown, string | null][] = [
      [{ temperature: 1 }, null],
      [{ temperature: 1, at: '2026-01-01T00:00:00Z', tags: ['a', 'b'], site: 'north' }, null],
      [{ temperature: '1' }, 'temperature: must be number'],
      [{ temperature: 101 }, 'temperature: must be <= 100'],
      [{}, "payload: must have required property 'temperature'"],
      [[], 'payload: must be object'],
      [{ temperature: 1, tags: ['a', 'B'] }, 'tags[1]: must match pattern "^[a-z]+$"'],
      [
        { temperature: 1, tags: ['a', 'a'] },
        'tags: must NOT have duplicate items (items ## 1 and 0 are identical)',
      ],
      [{ temperature: 1, at: 'now' }, 'at: must match format "date-time"'],
      [{ temperature: 1, site: 'west' }, 'site: must be equal to one of the allowed values'],
      [{ temperature: 1, 'a/b': 1 }, 'a/b: must be null'],
      [{ temperature: 1, 'x\ny': 1 }, 'payload: must NOT have additional properties: "x\\ny"'],
    ];
    for (const [payload, expected] of cases) {
      // Twice: a check keeps nothing of the one before.
      for (const _ of [1, 2]) assert.equal(check(payload), expected, JSON.stringify(payload));
    }
    const alternatives = compileMessageSchema({
      properties: { a: { anyOf: [{ type: 'string' }, { const: 1 }] } },
    });
    assert.equal(alternatives({ a: 2 }), 'a: must match a schema in anyOf');
    assert.equal(compileMessageSchema(true)({}), null);
    assert.equal(compileMessageSchema(false)({}), 'payload: boolean schema is false');
    assert.equal(compileMessageSchema({})(undefined), null);
  });

  test('see own members alone', () => {
    assert.notEqual(compileMessageSchema({ required: ['toString'] })({}), null);
    assert.equal(compileMessageSchema({ properties: { constructor: { type: 'string' } } })({}), null);
  });

  test('take exact numbers for numbers and leave the payload as it is', () => {
    const check = compileMessageSchema(reading);
    const text = '{"temperature":0.1234567890123456789,"serial":12345678901234567890,"tags":["a"]}';
    const payload = parseJsonExactly(text);
    assert.equal(check(payload), null);
    assert.equal(JSON.stringify(payload), text);
    assert.equal(
      check(parseJsonExactly('{"temperature":12345678901234567890}')),
      'temperature: must be <= 100',
    );
    const list = compileMessageSchema({ type: 'array', items: { type: 'integer' } });
    assert.equal(list(parseJsonExactly('[1,12345678901234567890]')), null);
    assert.equal(list(parseJsonExactly('[1,1.1234567890123456789]')), '[1]: must be integer');
    const hidden = parseJsonExactly('{"__proto__":{"n":12345678901234567890},"temperature":1}');
    assert.equal(check(hidden), 'payload: must NOT have additional properties: "__proto__"');
  });

  test('are refused when they are none, or can do harm', () => {
    const ref = (name: string) => ({ $ref: `#/$defs/${name}` });
    const doubling = Object.fromEntries(
      Array.from({ length: 20 }, (_, level) => [
        `d${level}`,
        level === 0 ? { type: 'number' } : { allOf: [ref(`d${level - 1}`), ref(`d${level - 1}`)] },
      ]),
    );
    const cases: [string, unknown][] = [
      ['unknown type', { type: 'telephone' }],
      ['wrong keyword', { properties: { a: { minimum: 'x' } } }],
      ['schema in a wrong place', { items: 'number' }],
      ['an array', [{ type: 'number' }]],
      ['another dialect', { $schema: 'http://json-schema.org/draft-07/schema#' }],
      ['look-ahead', { pattern: '(?=a)b' }],
      ['look-behind', { pattern: '(?<=a)b' }],
      ['back-reference', { properties: { a: { pattern: '(a)\\1' } } }],
      ['broken pattern', { pattern: '(' }],
      ['look-ahead in a name', { patternProperties: { '(?!x)': true } }],
      ['long pattern', { pattern: 'a'.repeat(1_001) }],
      ['large patterns', { allOf: Array(12).fill({ pattern: '(abc){300}' }) }],
      ['many patterns', { allOf: Array.from({ length: 101 }, (_, index) => ({ pattern: `p${index}` })) }],
      ['recursion', { properties: { child: { $ref: '#' } } }],
      ['recursion by names', { ...ref('a'), $defs: { a: { items: ref('b') }, b: { not: ref('a') } } }],
      ['recursion without end', { $ref: '#/$defs/a', $defs: { a: { $ref: '#/$defs/a' } } }],
      ['reference to nothing', { $ref: '#/$defs/none' }],
      ['reference to what every object has', { $ref: '#/constructor' }],
      ['broken reference', { $ref: '#/%ff' }],
      ['remote reference', { $ref: 'https://example.com/schema.json' }],
      ['relative reference', { $ref: 'other.json' }],
      ['anchor', { $ref: '#here', $defs: { a: { $anchor: 'here' } } }],
      ['dynamic reference', { items: { $dynamicRef: '#x' } }],
      ['recursive reference', { items: { $recursiveRef: '#' } }],
      ['a promise', { $async: true, type: 'object' }],
      ['inner names', { $defs: { a: { $id: 'https://example.com/a', $ref: '#/$defs/b' } } }],
      ['unique items without end', { uniqueItems: true }],
      ['many unique items', { uniqueItems: true, maxItems: 1_001 }],
      ['unique items by reference', { items: ref('u'), $defs: { u: { uniqueItems: true } } }],
      ['doubling', { ...ref('d19'), $defs: doubling }],
      ['many values', { enum: Array.from({ length: 2_001 }, (_, index) => index) }],
      ['too deep', nest(33)],
      ['much too deep', nest(5_000)],
      ['deep data', { const: nest(100) }],
    ];
    for (const [name, schema] of cases) {
      assert.throws(
        () => compileMessageSchema(schema as object),
        (error) => error instanceof Fault && error.code === 'bad_schema' && !error.message.includes('\n'),
        name,
      );
    }
  });

  test('are taken up to the limits', () => {
    const cases: [string, object | boolean][] = [
      ['deep', nest(32)],
      ['dialect', { $schema: 'https://json-schema.org/draft/2020-12/schema', $id: 'https://example.com/a' }],
      [
        'the name of the dialect itself',
        { $id: 'https://json-schema.org/draft/2020-12/schema', type: 'object' },
      ],
      [
        'members named like keywords',
        { properties: { $ref: { type: 'string' }, enum: {}, $async: true, $id: {} } },
      ],
      ['data that looks like a schema', { const: { $ref: 'x', pattern: '(' }, default: { $ref: 'y' } }],
      ['unknown keyword and format', { 'x-unit': { $ref: '?' }, format: 'cron' }],
      ['unique items', { uniqueItems: true, maxItems: 1_000 }],
      ['escaped reference', { $ref: '#/$defs/a~1b%20c', $defs: { 'a/b c': { type: 'number' } } }],
      [
        'the same reference twice',
        { properties: { a: { $ref: '#/$defs/n' }, b: { $ref: '#/$defs/n' } }, $defs: { n: {} } },
      ],
      ['patterns of ECMAScript', { pattern: '^\\u00e9\\/(?<name>x)\\cA[^\\d]$' }],
      ['many members', wide(660)],
    ];
    for (const [name, schema] of cases) {
      for (const _ of [1, 2]) assert.equal(typeof compileMessageSchema(schema), 'function', name);
    }
    assert.equal(compileMessageSchema(wide(660))({ p1: 1 }), null);
    assert.equal(compileMessageSchema(wide(660))({ p659: 'x' }), 'p659: must be number');
  });

  test('keep their patterns apart', () => {
    const check = compileMessageSchema({
      properties: { a: { pattern: '^a+$' }, b: { pattern: '^b+$' } },
      patternProperties: { '^x_': { type: 'number' } },
    });
    assert.equal(check({ a: 'aa', b: 'bb', x_1: 1, y: 'y' }), null);
    assert.equal(check({ b: 'aa' }), 'b: must match pattern "^b+$"');
    assert.equal(check({ x_1: 'x' }), 'x_1: must be number');
  });

  test('check in time that grows with the message', () => {
    const texts = [
      `${'a'.repeat(long)}!`,
      `http://${':'.repeat(long)}!`,
      `a@${'a-'.repeat(long / 2)}!`,
      '/'.repeat(long),
      '('.repeat(long),
      '1:'.repeat(long / 2),
    ];
    const patterns = ['^(a+)+$', '^(a|a)*$', '(.*a){20}$', '^(([a-z])+.)+[A-Z]([a-z])+$'];
    const formats = [
      'url',
      'uri',
      'uri-reference',
      'email',
      'hostname',
      'ipv6',
      'date-time',
      'duration',
      'regex',
    ];
    const schemas = [...patterns.map((pattern) => ({ pattern })), ...formats.map((format) => ({ format }))];
    for (const schema of schemas) {
      const check = compileMessageSchema({ type: 'string', ...schema });
      for (const text of texts) {
        const started = performance.now();
        check(text);
        const took = performance.now() - started;
        assert.ok(took < 2_000, `${JSON.stringify(schema)} on ${text.slice(0, 10)} took ${took} ms`);
      }
    }
    const everything = compileMessageSchema({ allOf: Array(200).fill({ items: { type: 'number' } }) });
    assert.match(everything(Array(long / 2).fill(1)) ?? '', /too many/);
  });

  test('format "url" and "regex" mean what they say', () => {
    const url = compileMessageSchema({ format: 'url' });
    for (const good of ['http://example.com/a?b', 'https://a.example:8080', 'ftp://x.example']) {
      assert.equal(url(good), null, good);
    }
    for (const bad of ['example.com', 'javascript:alert(1)', 'http://', ''])
      assert.notEqual(url(bad), null, bad);
    const regex = compileMessageSchema({ format: 'regex' });
    assert.equal(regex('^a+$'), null);
    assert.notEqual(regex('('), null);
  });

  test('never throw, whatever the payload', () => {
    const check = compileMessageSchema(reading);
    fc.assert(
      fc.property(fc.jsonValue(), (payload) => {
        const problem = check(payload);
        assert.ok(problem === null || (/^[^\n]+: [^\n]+$/.test(problem) && problem.length <= 300));
      }),
    );
  });
});

/** A schema of so many levels. */
function nest(depth: number): object {
  let schema: object = { type: 'number' };
  for (let level = 1; level < depth; level += 1) schema = { items: schema };
  return schema;
}

function wide(members: number): object {
  const names = Array.from({ length: members }, (_, index) => `p${index}`);
  return { properties: Object.fromEntries(names.map((name) => [name, { type: 'number' }])) };
}
