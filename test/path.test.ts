import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import fc from 'fast-check';
import { conditionSchema, holds } from '../src/domain/condition.ts';
import { parseInput } from '../src/domain/input.ts';
import { type Path, parsePath, pathProblem, readerOf, textOfPath } from '../src/domain/path.ts';
import { parseTemplate, renderTemplate } from '../src/domain/template.ts';

const find = (text: string, scope: unknown) => readerOf(scope)(parsePath(text) ?? ['that is no path']);

suite('paths', () => {
  test('are names and places', () => {
    const cases: [string, Path][] = [
      ['a.b[0].c', ['a', 'b', 0, 'c']],
      ['a[0][1]', ['a', 0, 1]],
      ['a.0', ['a', '0']],
      ['24h', ['24h']],
      ['_$@:#-', ['_$@:#-']],
      ['Straße.größe', ['Straße', 'größe']],
      ['हिन्दी.ไทย', ['हिन्दी', 'ไทย']],
      ['["a b"].c', ['a b', 'c']],
      ["a['b.c'][\"d['e\"]", ['a', 'b.c', "d['e"]],
      ['a["\\"\\\\\\\'"]', ['a', '"\\\'']],
      ['a["0"]', ['a', '0']],
      ['a["]"]["}}"]["\n"][""]', ['a', ']', '}}', '\n', '']],
    ];
    for (const [text, path] of cases) assert.deepEqual(parsePath(text), path, text);
  });

  test('are refused with the place', () => {
    const cases: [string, number][] = [
      ['', 0],
      [' a', 0],
      ['.a', 0],
      ['a.', 2],
      ['a..b', 2],
      ['[0]', 1],
      ['a[01]', 2],
      ['a[-1]', 2],
      ['a[]', 2],
      ['a b', 1],
      ['a/b', 1],
      ['a["b', 2],
      ['a["b"', 5],
      ['a["b"]c', 6],
      ['a["\\n"]', 3],
    ];
    for (const [text, at] of cases) {
      assert.equal(parsePath(text), null, text);
      assert.match(pathProblem(text) ?? '', new RegExp(`position ${at}\\b`), text);
    }
    assert.equal(pathProblem('a.b'), null);
  });

  const step = fc.oneof(fc.string({ unit: 'binary' }), fc.string({ unit: 'grapheme' }), fc.nat(999_999_999));
  const anyPath = fc
    .tuple(fc.string({ unit: 'binary' }), fc.array(step, { maxLength: 6 }))
    .map(([first, others]): Path => [first, ...others]);

  test('can be written, saved and found again, whatever their names', () => {
    fc.assert(
      fc.property(anyPath, fc.oneof(fc.integer(), fc.boolean(), fc.constant('text')), (path, value) => {
        const text = textOfPath(path);
        assert.deepEqual(parsePath(text), path);
        const scope = path.reduceRight<unknown>((inner, each) => {
          if (typeof each === 'string') return Object.fromEntries([[each, inner]]);
          return Object.assign(Object.create(null), { [each]: inner });
        }, value);
        assert.equal(readerOf(scope)(path), value);
        assert.equal(renderTemplate(parseTemplate(`{{${text}}}`), scope), String(value));
        assert.equal(renderTemplate(parseTemplate(`{{ ${text} | 'x' }}`), scope), String(value));
        if (text.length > 200) return;
        const condition = parseInput(
          conditionSchema,
          JSON.parse(JSON.stringify({ path: text, op: '=', value })),
        );
        // What JSON makes of a half character is not the same name any more.
        if (text.isWellFormed()) assert.equal(holds(condition, scope), true);
      }),
    );
  });

  test('never throw, whatever the text', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), fc.jsonValue(), (text, scope) => {
        const path = parsePath(text);
        assert.equal(path === null, pathProblem(text) !== null);
        if (path) readerOf(scope)(path);
      }),
    );
  });

  test('I13: go into a text that is JSON, and only so far', () => {
    const about = { text: ' {"a":{"b":[1,"{\\"c\\":2}"]}}', plain: 'a', number: '7', half: '{"a":' };
    const cases: [string, unknown][] = [
      ['text.a.b[0]', 1],
      ['text.a.b[1].c', 2],
      ['text.gone', undefined],
      ['text.length', undefined],
      ['plain.length', undefined],
      ['plain.0', undefined],
      ['number.a', undefined],
      ['half.a', undefined],
    ];
    for (const [text, expected] of cases) assert.deepEqual(find(text, about), expected, text);
    assert.equal(readerOf('{"a":1}')(['a']), 1);
    const large = JSON.stringify({ fill: 'x'.repeat(256 * 1_024), a: 1 });
    assert.equal(find('text.a', { text: large }), undefined);
    const nearly = JSON.stringify({ fill: 'x'.repeat(250 * 1_024), a: 1 });
    const many = Object.fromEntries(
      Array.from({ length: 9 }, (_, place) => [`t${place}`, `${nearly}${' '.repeat(place)}`]),
    );
    const found = Object.keys(many).filter((name) => find(`${name}.a`, many) === 1);
    assert.deepEqual(found, ['t0', 't1', 't2', 't3'], 'of all texts together, a megabyte');
    const deep = `{"a":${'['.repeat(70)}1${']'.repeat(70)}}`;
    assert.equal(find('text.a', { text: deep }), undefined);
  });

  test('I13: parse a text once, however often they look', (t) => {
    const parse = t.mock.method(JSON, 'parse');
    const scope = { text: '{"a":1,"b":2}' };
    for (const name of ['a', 'b', 'c', 'a']) find(`text.${name}`, scope);
    assert.equal(parse.mock.callCount(), 1);
  });
});
