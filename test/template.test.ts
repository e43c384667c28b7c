import assert from 'node:assert/strict';
import { validateHeaderValue } from 'node:http';
import { suite, test } from 'node:test';
import fc from 'fast-check';
import { Fault } from '../src/domain/fault.ts';
import { parseJsonExactly } from '../src/domain/json.ts';
import { parseJsonTemplate, parsePath, parseTemplate, renderTemplate } from '../src/domain/template.ts';
import { headerValueOf, parseWebhookTemplate, renderWebhook } from '../src/domain/webhook/template.ts';

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

const event = {
  eventType: 'abc',
  homeId: 173,
  eventData: {
    foo: { bar: 'BAR' },
    buz: ['BUZ-a', 'BUZ-b'],
    said: 'a "quote" \\ and\na line',
    none: null,
    no: false,
    exact: parseJsonExactly('12345678901234567890'),
    deep: parseJsonExactly('{"n":[0.1234567890123456789]}'),
  },
};
const fill = (text: string, json: boolean, charactersMax = 10_000) =>
  renderWebhook(parseWebhookTemplate(text), event, { json, charactersMax });

suite('templates of webhooks', () => {
  test('fill by the rules of seed 001', () => {
    const cases: [string, string][] = [
      ['{"description":"The event type is {{ eventType }}."}', '{"description":"The event type is abc."}'],
      ['{{eventType}}{{ eventType }}{{  homeId}}', 'abcabc173'],
      ['{{ eventData.foo.bar }}', 'BAR'],
      ['{{ eventData.buz[1] }}', 'BUZ-b'],
      ['[{{ eventData.gone }}{{ eventData.buz[2] }}{{ gone.deep }}]', '[]'],
      ['{{ eventData.foo }}', '{\\"bar\\":\\"BAR\\"}'],
      ['{{ eventData.buz }}', '[\\"BUZ-a\\",\\"BUZ-b\\"]'],
      ['[{{ eventData.none }}]', '[]'],
      ['{{ eventData.no }}', 'false'],
      ['{{ eventData.exact }}', '12345678901234567890'],
      ['{{ eventData.deep }}', '{\\"n\\":[0.1234567890123456789]}'],
      ['{{ eventData.exact.rawJSON }}', ''],
    ];
    for (const [text, expected] of cases) {
      assert.equal(fill(text, true), expected, text);
      assert.equal(fill(text, false), expected, text);
    }
  });

  test('keep what a device says inside its string, in JSON', () => {
    const { said } = event.eventData;
    assert.deepEqual(JSON.parse(fill('{"said":"{{ eventData.said }}"}', true)), { said });
    assert.equal(fill('{{ eventData.said }}', false), said);
    const template = parseWebhookTemplate('{"a":"{{ a }}","b":"{{ b }}"}');
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), fc.jsonValue(), (a, b) => {
        const body = renderWebhook(template, { a, b: { b } }, { json: true, charactersMax: 1_000_000 });
        const filled = JSON.parse(body);
        assert.deepEqual(Object.keys(filled), ['a', 'b']);
        assert.equal(filled.a, a);
        assert.equal(filled.b, JSON.stringify({ b }));
      }),
    );
  });

  test('are refused when they are broken or too large', () => {
    const limits = [`${'x'.repeat(64 * 1024)}!`, '{{ a }}'.repeat(201)];
    const broken = [
      '{{ unclosed',
      '{{ wrongDots.. }}',
      '{{ wrongArray[ }}',
      '{{ }}',
      '{{ [0] }}',
      '{{ a..b }}',
    ];
    for (const text of [...limits, ...broken]) {
      assert.throws(() => parseWebhookTemplate(text), hasCode('bad_template'), text.slice(0, 20));
    }
    assert.equal(parseWebhookTemplate('{{ a }}'.repeat(200)).length, 200);
    assert.equal(fill('x'.repeat(64 * 1024), true, 64 * 1024).length, 64 * 1024);
  });

  test('end at the size that was allowed', () => {
    assert.equal(fill('{{ eventType }}!', true, 4), 'abc!');
    assert.throws(() => fill('{{ eventType }}!', true, 3), hasCode('too_large'));
    const bomb = { eventData: { text: 'x'.repeat(1_000_000) } };
    const template = parseWebhookTemplate('{{ eventData }}'.repeat(200));
    assert.throws(
      () => renderWebhook(template, bomb, { json: true, charactersMax: 2_000_000 }),
      hasCode('too_large'),
    );
  });

  test('make values of headers safe', () => {
    const cases: [string, string][] = [
      ['plain', 'plain'],
      [' a\r\nX-Evil: 1\0\t\u007f\u0085b ', 'a  X-Evil: 1    b'],
      ['caf\u00e9 100%', 'caf\u00e9 100%'],
      ['\u20ac 5', '%E2%82%AC 5'],
      ['\u{1f600}', '%F0%9F%98%80'],
      ['\ud800', '%EF%BF%BD'],
      ['\u2028', '%E2%80%A8'],
      ['\r\n', ''],
    ];
    for (const [text, expected] of cases) assert.equal(headerValueOf(text), expected, JSON.stringify(text));
    assert.equal(headerValueOf('x'.repeat(5_000)).length, 4_096);
    assert.equal(headerValueOf('\u20ac'.repeat(5_000)), '%E2%82%AC'.repeat(455), 'cut between characters');
    fc.assert(
      fc.property(fc.string({ unit: 'binary', maxLength: 6_000 }), (text) => {
        assert.doesNotThrow(() => new Headers({ x: headerValueOf(text) }));
        assert.doesNotThrow(() => validateHeaderValue('x', headerValueOf(text)));
      }),
    );
  });

  test('share their paths', () => {
    assert.deepEqual(parsePath('a.b[0].c'), ['a', 'b', 0, 'c']);
    for (const text of ['', ' a', 'a.', '[0]', 'a[01]', 'a[-1]', 'a b'])
      assert.equal(parsePath(text), null, text);
  });
});

function hasCode(code: string) {
  return (error: unknown) => error instanceof Fault && error.code === code;
}
