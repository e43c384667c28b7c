import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import fc from 'fast-check';
import { type Condition, conditionSchema, holds } from '../src/domain/condition.ts';
import { Fault } from '../src/domain/fault.ts';
import { parseInput } from '../src/domain/input.ts';
import { parseJsonExactly } from '../src/domain/json.ts';

const payload = {
  temp: 41.5,
  zero: 0,
  name: 'boiler',
  on: true,
  off: false,
  nothing: null,
  list: [{ v: 1 }, { v: 2 }],
  deep: { a: { b: 'x' } },
};
const hot: Condition = { path: 'temp', op: '>', value: 40 };
const cold: Condition = { path: 'temp', op: '<', value: 0 };

suite('conditions', () => {
  test('compare', () => {
    const cases: [string, Parameters<typeof one>[1], unknown, boolean][] = [
      ['temp', '>', 41, true],
      ['temp', '>', 41.5, false],
      ['temp', '>=', 41.5, true],
      ['temp', '<', 41.5, false],
      ['temp', '<=', 41.5, true],
      ['temp', '<', 42, true],
      ['temp', '=', 41.5, true],
      ['temp', '=', '41.5', false],
      ['temp', '!=', '41.5', true],
      ['temp', '!=', 41.5, false],
      ['name', '=', 'boiler', true],
      ['name', '>', 1, false],
      ['name', '<', 1, false],
      ['on', '=', true, true],
      ['on', '=', 1, false],
      ['off', '=', false, true],
      ['off', '=', 0, false],
      ['zero', '=', false, false],
      ['zero', '=', null, false],
      ['zero', '<=', 0, true],
      ['nothing', '=', null, true],
      ['nothing', '!=', null, false],
      ['nothing', '<', 1, false],
      ['nothing', 'exists', undefined, true],
      ['list[1].v', '=', 2, true],
      ['list[2].v', '=', 2, false],
      ['deep.a.b', '=', 'x', true],
      ['deep.a', '=', 'x', false],
      ['deep.a', '!=', 'x', true],
      ['deep', 'exists', true, true],
      ['deep', 'exists', false, false],
      ['deep.z', 'exists', undefined, false],
      ['deep.z', 'exists', false, true],
      ['toString', 'exists', true, false],
      ['__proto__', 'exists', true, false],
      ['missing', '=', null, false],
      ['missing', '!=', 1, false],
      ['missing', '<', 1, false],
      ['missing', '>=', 0, false],
    ];
    for (const [path, op, value, expected] of cases) {
      assert.equal(one(path, op, value, payload), expected, `${path} ${op} ${value}`);
    }
  });

  test('join', () => {
    const cases: [Condition, boolean][] = [
      [{ all: [hot, hot] }, true],
      [{ all: [hot, cold] }, false],
      [{ any: [cold, hot] }, true],
      [{ any: [cold, cold] }, false],
      [{ not_all: [hot, cold] }, true],
      [{ not_all: [hot, hot] }, false],
      [{ not_any: [cold, cold] }, true],
      [{ not_any: [hot, cold] }, false],
      [{ not_any: [{ path: 'missing', op: '=', value: 1 }] }, true],
      [{ all: [{ any: [cold, hot] }, { not_any: [cold] }] }, true],
    ];
    for (const [condition, expected] of cases) {
      assert.equal(holds(condition, payload), expected, JSON.stringify(condition));
    }
  });

  test('hold for an array when one element fits the whole of it', () => {
    const both: Condition = {
      all: [
        { path: 'a', op: '=', value: 1 },
        { path: 'b', op: '=', value: 1 },
      ],
    };
    assert.equal(holds(both, [{ a: 1, b: 1 }, {}]), true);
    assert.equal(holds(both, [{ a: 1 }, { b: 1 }]), false);
    assert.equal(holds({ path: 'a', op: 'exists', value: false }, []), false);
    assert.equal(holds({ not_any: [hot] }, [{ temp: 50 }, { temp: 1 }]), true);
    assert.equal(holds(hot, [1, null, 'x', [{ temp: 50 }]]), false);
  });

  test('take exact numbers for numbers', () => {
    const big = parseJsonExactly('{"n":12345678901234567890,"huge":1e400}');
    assert.equal(one('n', '>', 1e18, big), true);
    assert.equal(one('n', '<', 1e20, big), true);
    assert.equal(one('n', '=', 12345678901234567000, big), true);
    assert.equal(one('n', '!=', 1, big), true);
    assert.equal(one('huge', '>', Number.MAX_VALUE, big), true);
    assert.equal(one('n.rawJSON', 'exists', true, big), false);
  });

  test('I6: tell numbers apart that are one to JavaScript', () => {
    const rule = (text: string) => parseInput(conditionSchema, parseJsonExactly(text));
    const said = parseJsonExactly('{"id":9123456789654321987,"far":1.0e400}');
    const equal = rule('{"path":"id","op":"=","value":9123456789654321987}');
    assert.equal(JSON.stringify(equal), '{"path":"id","op":"=","value":9123456789654321987}');
    assert.equal(holds(equal, said), true);
    assert.equal(holds(rule('{"path":"id","op":"=","value":9123456789654321986}'), said), false);
    assert.equal(holds(rule('{"path":"id","op":"!=","value":9123456789654321986}'), said), true);
    assert.equal(holds(rule('{"path":"id","op":"=","value":-9123456789654321987}'), said), false);
    assert.equal(holds(rule('{"path":"far","op":"=","value":1e400}'), said), true);
    assert.equal(holds(rule('{"path":"id","op":">","value":9123456789654300000}'), said), true);
  });

  test('hold for nothing that has no members', () => {
    for (const bare of [1, 'text', true, null, undefined, []]) assert.equal(holds(hot, bare), false);
  });

  test('O4: an empty path leads to the payload itself', () => {
    const cases: [string, unknown, unknown, boolean][] = [
      ['=', 'ON', 'ON', true],
      ['!=', 'OFF', 'ON', true],
      ['=', 'ON', 'on', false],
      ['>', 20, 21.5, true],
      ['>', 20, '21.5', false],
      ['=', true, true, true],
      ['exists', undefined, '', true],
      ['exists', undefined, undefined, false],
      ['=', 2, [1, 2], true],
      ['=', null, null, true],
    ];
    for (const [op, value, whole, expected] of cases)
      assert.equal(one('', op, value, whole), expected, `${JSON.stringify(whole)} ${op} ${value}`);
  });

  test('I13, I16: share the paths of templates', () => {
    const about = {
      'Alarm Status': 'on',
      24: { h: 1 },
      '@type': 'Alarm',
      Straße: 'Ring',
      json: '{"ref":"x","list":[1,{"n":12345678901234567890}]}',
      text: '{"ref',
    };
    const cases: [string, string, unknown, boolean][] = [
      ['["Alarm Status"]', '=', 'on', true],
      ["['Alarm Status']", '=', 'on', true],
      ['24.h', '=', 1, true],
      ['@type', '=', 'Alarm', true],
      ['Straße', '=', 'Ring', true],
      ['json.ref', '=', 'x', true],
      ['json["list"][1].n', '>', 1e18, true],
      ['json.gone', 'exists', undefined, false],
      ['text.ref', 'exists', undefined, false],
      ['json', '=', about.json, true],
    ];
    for (const [path, op, value, expected] of cases)
      assert.equal(one(path, op, value, about), expected, path);
    assert.equal(one('ref', '=', 'x', about.json), true, 'the payload is a text');
    assert.throws(
      () => parseInput(conditionSchema, { path: 'a.b[x]', op: 'exists' }),
      (error) => error instanceof Fault && /position 4/.test(error.message),
    );
  });

  test('come in with either spelling', () => {
    assert.deepEqual(parseInput(conditionSchema, { any: [{ path: 'a[0].b', op: '==', value: 1 }] }), {
      any: [{ path: 'a[0].b', op: '=', value: 1 }],
    });
    assert.deepEqual(parseInput(conditionSchema, { path: 'a', op: '<>', value: null }), {
      path: 'a',
      op: '!=',
      value: null,
    });
    assert.deepEqual(parseInput(conditionSchema, { path: 'a', op: 'exists' }), { path: 'a', op: 'exists' });
    assert.doesNotThrow(() => parseInput(conditionSchema, nest(16)));
    assert.doesNotThrow(() => parseInput(conditionSchema, { all: Array(200).fill(hot) }));
  });

  test('are refused with the place of what is wrong', () => {
    const cases: [unknown, string][] = [
      [null, ''],
      ['temp > 1', ''],
      [[], ''],
      [{}, 'path'],
      [{ path: 'a', op: '=' }, 'value'],
      [{ path: 'a', op: '~', value: 1 }, 'op'],
      [{ path: 'a', op: 'constructor', value: 1 }, 'op'],
      [{ path: 'a..b', op: '=', value: 1 }, 'path'],
      [{ path: 'a'.repeat(201), op: '=', value: 1 }, 'path'],
      [{ path: ' ', op: 'exists' }, 'path'],
      [{ path: '[0]', op: 'exists' }, 'path'],
      [{ path: 'a["b]', op: 'exists' }, 'path'],
      [{ path: 'a', op: '>', value: '1' }, 'value'],
      [{ path: 'a', op: '<=', value: null }, 'value'],
      [{ path: 'a', op: 'exists', value: 1 }, 'value'],
      [{ path: 'a', op: '=', value: {} }, 'value'],
      [{ path: 'a', op: '=', value: 'x'.repeat(1_001) }, 'value'],
      [{ path: 'a', op: '=', value: 1, extra: 1 }, ''],
      [{ all: [] }, 'all'],
      [{ all: {} }, 'all'],
      [{ all: [hot], any: [hot] }, ''],
      [{ all: [hot, { any: [{ path: 'a', op: '>', value: 'x' }] }] }, 'all[1].any[0].value'],
      [{ not_any: [hot, 7] }, 'not_any[1]'],
      [nest(17), ''],
      [nest(20_000), ''],
      [{ all: Array(201).fill(hot) }, ''],
      [{ all: Array(3).fill({ any: Array(100).fill(hot) }) }, ''],
    ];
    for (const [index, [input, path]] of cases.entries()) {
      const text = `case ${index}, ${path}`;
      assert.throws(
        () => parseInput(conditionSchema, input),
        (error) => {
          assert.ok(error instanceof Fault, text);
          assert.equal(error.code, 'bad_request');
          assert.equal(error.problems[0]?.path, path, text);
          assert.doesNotMatch(error.message, /Invalid input$/, text);
          return true;
        },
        text,
      );
    }
  });

  test('never throw, whatever the payload', () => {
    fc.assert(
      fc.property(fc.jsonValue(), fc.constantFrom('a', 'a.b', 'a[0]', 'length'), (value, path) => {
        const condition: Condition = { path, op: '!=', value: 1 };
        const opposite: Condition = { not_any: [condition] };
        if (!Array.isArray(value)) assert.notEqual(holds(condition, value), holds(opposite, value));
        else holds(condition, value);
      }),
    );
  });
});

function one(path: string, op: string, value: unknown, scope: unknown): boolean {
  return holds(parseInput(conditionSchema, value === undefined ? { path, op } : { path, op, value }), scope);
}

/** A condition of so many levels. */
function nest(depth: number): object {
  let node: object = hot;
  for (let level = 1; level < depth; level += 1) node = { all: [node] };
  return node;
}
