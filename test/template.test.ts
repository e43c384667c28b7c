import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import fc from 'fast-check';
import { Fault } from '../src/domain/fault.ts';
import { parseJsonTemplate, parseTemplate, renderTemplate } from '../src/domain/template.ts';

const scope = {
  event_id: 'evac',
  payload: { alert: { title: 'Hot' }, list: ['a', { b: 2 }], nothing: null, zero: 0, no: false },
};

suite('templates', () => {
  test('fill what they name', () => {
    const cases: [string, string][] = [
      ['plain', 'plain'],
      ['{{ event_id }}', 'evac'],
      ['{{event_id}}!', 'evac!'],
      ['{{ payload.alert.title }} {{ payload.list[0] }}', 'Hot a'],
      ['{{ payload.list[1].b }}', '2'],
      ['{{ payload.zero }}{{ payload.no }}', '0false'],
      ['[{{ payload.missing.deep }}]', '[]'],
      ['[{{ payload.list[9] }}]', '[]'],
      ['[{{ payload.nothing }}]', '[]'],
      ['{{ payload.alert }}', '{"title":"Hot"}'],
      ['{{ payload.constructor }}{{ payload.__proto__ }}{{ payload.alert.toString }}', ''],
      ['} } {', '} } {'],
    ];
    for (const [text, expected] of cases)
      assert.equal(renderTemplate(parseTemplate(text), scope), expected, text);
  });

  test('are refused when the notation is broken', () => {
    const broken = [
      '{{ unclosed',
      '{{ wrong..dots }}',
      '{{ wrong[ }}',
      '{{ }}',
      '{{ a.b. }}',
      '{{ a b }}',
      '{{ a[x] }}',
      '{{ 1+1 }}',
      '{{ a() }}',
      '{{ .a }}',
    ];
    for (const text of broken) {
      assert.throws(
        () => parseTemplate(text),
        (error) => error instanceof Fault && error.code === 'bad_template',
        text,
      );
    }
  });

  test('never run or throw, whatever stands between the braces', () => {
    fc.assert(
      fc.property(fc.string(), fc.string(), (inside, outside) => {
        try {
          renderTemplate(parseTemplate(`${outside}{{${inside}}}`), scope);
        } catch (error) {
          assert.ok(error instanceof Fault);
        }
      }),
    );
  });

  test('keep the type of a value that stands alone, and leave out what is missing', () => {
    const template = parseJsonTemplate({
      list: '{{ payload.list }}',
      text: 'a {{ payload.zero }}',
      zero: '{{ payload.zero }}',
      gone: '{{ payload.gone }}',
      deep: { items: ['{{ payload.no }}', '{{ payload.gone }}'] },
    });
    assert.deepEqual(template.fill(scope), {
      list: ['a', { b: 2 }],
      text: 'a 0',
      zero: 0,
      deep: { items: [false, null] },
    });
  });
});
