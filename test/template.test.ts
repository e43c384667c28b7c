import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import fc from 'fast-check';
import { Fault } from '../src/domain/fault.ts';
import { parseJsonExactly } from '../src/domain/json.ts';
import { readerOf } from '../src/domain/path.ts';
import { parseJsonTemplate, parseTemplate, renderTemplate } from '../src/domain/template.ts';
import { parseUrlParam, parseUrlTemplate, renderUrl, requireUrl } from '../src/domain/url.ts';
import { placeTemplate } from '../src/domain/webhook/place.ts';
import {
  bodyTemplate,
  parseWebhookTemplate,
  renderBody,
  renderHeader,
  tryBody,
} from '../src/domain/webhook/template.ts';

const scope = {
  event_id: 'evac',
  payload: { alert: { title: 'Hot' }, list: ['a', { b: 2 }], nothing: null, zero: 0, no: false },
};

suite('templates', () => {
  test('I16: find names of any kind', () => {
    const payload = {
      'Alarm Status': 'on',
      'PM2.5': 12,
      Straße: 'Ring',
      '24h': 1,
      '@type': 'Alarm',
      'soap:Envelope': { 'a-b': 2 },
      '#text': 'hot',
      温度: 31,
      'a}}b': 3,
      'q"\'\\': 4,
      '': 5,
      list: [{ 'x y': 6 }],
    };
    const cases: [string, string][] = [
      ['{{ payload["Alarm Status"] }}', 'on'],
      ["{{ payload['Alarm Status'] }}", 'on'],
      ['{{ payload["PM2.5"] }}', '12'],
      ['{{ payload.Straße }}', 'Ring'],
      ['{{ payload.24h }}', '1'],
      ['{{ payload.@type }}', 'Alarm'],
      ['{{ payload.soap:Envelope.a-b }}', '2'],
      ['{{payload.#text}}', 'hot'],
      ['{{ payload.温度 }}', '31'],
      ['{{ payload["a}}b"] }}}}', '3}}'],
      ['{{ payload["q\\"\'\\\\"] }}', '4'],
      ['{{ payload[""] }}', '5'],
      ['{{ payload["list"][0]["x y"] }}', '6'],
      ['{{ ["payload"].list[0]["x y"] }}', '6'],
    ];
    for (const [text, expected] of cases)
      assert.equal(renderTemplate(parseTemplate(text), { payload }), expected, text);
  });

  test('I13: look into a text that is JSON', () => {
    const payload = {
      payload: '{"ref":"x","n":12345678901234567890,"deep":"[{\\"a\\":1}]"}',
      not: '{a',
      n: '[1',
    };
    const cases: [string, string][] = [
      ['{{ payload.payload.ref }}', 'x'],
      ['{{ payload.payload.n }}', '12345678901234567890'],
      ['{{ payload.payload.deep[0].a }}', '1'],
      ['{{ payload.payload.gone.x }}{{ payload.not.a }}{{ payload.n[0] }}{{ payload.payload.length }}', ''],
      ['{{ payload.not }}', '{a'],
    ];
    for (const [text, expected] of cases)
      assert.equal(renderTemplate(parseTemplate(text), { payload }), expected, text);
    assert.deepEqual(parseJsonTemplate({ a: '{{ payload.payload.deep[0] }}' }).fill({ payload }), {
      a: { a: 1 },
    });
    assert.equal(renderTemplate(parseTemplate('{{ payload[0].a }}'), { payload: ' [{"a":7}]' }), '7');
  });

  test('O25: take something else for what is missing or blank', () => {
    const about = { a: { blank: ' \t', none: null, zero: 0, no: false, empty: '', list: [] } };
    const cases: [string, unknown][] = [
      ["{{ a.gone | 'nobody' }}", 'nobody'],
      ['{{ a.blank|"it\'s }} \\"here\\""}}', 'it\'s }} "here"'],
      ['{{ a.none | 0 }}', 0],
      ['{{ a.empty | -1.5e3 }}', -1500],
      ['{{ a.gone.deep | true }}', true],
      ['{{ gone | false }}', false],
      ['{{ gone | null }}', null],
      ["{{ a.zero | 'x' }}", 0],
      ["{{ a.no | 'x' }}", false],
      ["{{ a.list | 'x' }}", []],
      ["{{ gone | '' }}", ''],
    ];
    for (const [text, expected] of cases) {
      assert.deepEqual(parseJsonTemplate({ a: text }).fill(about), { a: expected }, text);
      const shown =
        typeof expected === 'string' ? expected : expected === null ? '' : JSON.stringify(expected);
      assert.equal(renderTemplate(parseTemplate(`<${text}>`), about), `<${shown}>`, text);
    }
    for (const text of [
      '{{ a | }}',
      '{{ a | b }}',
      "{{ a | 'x }}",
      '{{ a | 1 2 }}',
      '{{ a || 1 }}',
      '{{ a | 01 }}',
    ])
      assert.throws(() => parseTemplate(text), hasCode('bad_template'), text);
  });

  test('say where they are broken', () => {
    const cases: [string, RegExp][] = [
      ['{{ unclosed', /"\{\{" at position 0 is never closed/],
      ['ab {{ a..b }}', /"\{\{ a\.\.b \}\}" at position 3: a name is missing.*position 8/],
      ['{{ a b }}', /has to stand here \(position 5\)/],
      ['{{ a["x] }}', /quote is never closed \(position 5\)/],
      ['{{ a[x] }}', /in brackets.*\(position 5\)/],
      ['{{ a["\\n"] }}', /backslash.*\(position 6\)/],
      ['{{ a | x }}', /behind "\|".*\(position 7\)/],
      [`{{ ${'a'.repeat(100)} b }}`, /a…" at position 0/],
    ];
    for (const [text, expected] of cases) assert.throws(() => parseTemplate(text), expected, text);
  });

  test('tell of what they found empty', () => {
    const told: string[] = [];
    const template = parseJsonTemplate({
      a: '{{ x.y }}',
      b: ["{{ z | 'z' }}", 'is {{ x["a b"] }}'],
      c: '{{ n }}',
    });
    template.fill({ n: 0 }, (path) => told.push(path.join('/')));
    assert.deepEqual(told, ['x/y', 'x/a b']);
  });

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
      '{{ a[01] }}',
      '{{ a["b }}',
      '{{ a[0 }}',
      '{{ a["b"]c }}',
      '{{ a.["b"] }}',
      '{{ a | }}',
      '{{ json a b }}',
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
const fillAs = (text: string, mediaType: string, about: unknown = event, charactersMax = 10_000) =>
  renderBody(bodyTemplate(parseWebhookTemplate(text)), mediaType, readerOf(about), charactersMax);
/** A body of a syntax that nobody checks. */
const fill = (text: string, about: unknown = event) => fillAs(text, 'text/plain', about);
const fillJson = (text: string, about: unknown = event) => fillAs(text, 'application/json', about);
const fillHeader = (text: string, about: unknown = event) =>
  renderHeader(placeTemplate(parseWebhookTemplate(text), 'text'), readerOf(about));

suite('templates of webhooks', () => {
  test('fill by the rules of seed 001', () => {
    const cases: [string, string][] = [
      ['{"description":"The event type is {{ eventType }}."}', '{"description":"The event type is abc."}'],
      ['"{{eventType}}{{ eventType }}{{  homeId}}"', '"abcabc173"'],
      ['"{{ eventData.foo.bar }}"', '"BAR"'],
      ['"{{ eventData.buz[1] }}"', '"BUZ-b"'],
      ['[{{ eventData.gone }}{{ eventData.buz[2] }}{{ gone.deep }}]', '[]'],
      ['[{{ eventData.gone }}]', '[]'],
      ['"{{ eventData.foo }}"', '"{\\"bar\\":\\"BAR\\"}"'],
      ['"{{ eventData.buz }}"', '"[\\"BUZ-a\\",\\"BUZ-b\\"]"'],
      ['[{{ eventData.none }}]', '[]'],
      ['{{ eventData.no }}', 'false'],
      ['{{ eventData.exact }}', '12345678901234567890'],
      ['[1{{ homeId }}.5]', '[1173.5]'],
      ['{"v":-{{ homeId }}}', '{"v":-173}'],
      ['"{{ eventData.deep }}"', '"{\\"n\\":[0.1234567890123456789]}"'],
      ['"{{ eventData.exact.rawJSON }}"', '""'],
    ];
    for (const [text, expected] of cases) {
      assert.equal(fillJson(text), expected, text);
      assert.equal(fill(text), expected, text);
      assert.equal(fillHeader(text), expected, text);
    }
  });

  test('O7: outside of quotes, JSON takes the JSON itself', () => {
    const { foo, buz, said } = event.eventData;
    const about = {
      ...event,
      number: '21.5',
      list: '[1,[2]]',
      yes: 'true',
      word: 'ON',
      out: '1,2',
      blank: '',
    };
    const cases: [string, unknown][] = [
      ['{"payload":{{ eventData.foo }}}', { payload: foo }],
      ['[{{ eventData.foo }},{{ eventData.buz }}]', [foo, buz]],
      ['{{ eventData.foo }}', foo],
      ['{"said":{{ eventData.said }},"type": {{ eventType }} }', { said, type: 'abc' }],
      ['{"gone":{{ eventData.gone }},"none":{{ eventData.none }}}', { gone: null, none: null }],
      ['[1,{{ eventData.gone }}]', [1, null]],
      ['{{ gone }}', null],
      ['{"blank":{{ blank }},"list":[{{ blank }}]}', { blank: '', list: [] }],
      ['{{{ eventType }}:1}', { abc: 1 }],
      // As seed 001 has it: a text that is JSON as it stands stands for itself.
      ['[{{ number }},{{ list }},{{ yes }},{{ word }}]', [21.5, [1, [2]], true, 'ON']],
      ['[{{ out }}]', ['1,2']],
      ['[{{ out }}{{ gone }}]', ['1,2']],
    ];
    for (const [text, expected] of cases.filter(([text]) => !text.startsWith('{{{')))
      assert.deepEqual(JSON.parse(fillJson(text, about)), expected, text);
    assert.equal(fillJson('{ {{ eventType }} : 1}'), '{ "abc" : 1}');
    assert.equal(
      fillAs('{"a":{{ word }}}\n{"b":"{{ said }}"}\n{{ word }}\n', 'application/x-ndjson', {
        word: 'O\nN',
        said: 'x"\ny',
      }),
      '{"a":"O\\nN"}\n{"b":"x\\"\\ny"}\n"O\\nN"\n',
    );
  });

  test('O7: {{ json … }} is the JSON itself, in whatever place', () => {
    const about = { a: { b: 'x"<&\n' }, t: '21.5', json: { c: 1 } };
    const json = JSON.stringify(about.a);
    assert.equal(fill('{{ json a }}', about), json);
    assert.equal(fill('{{json  a.b}} {{ json gone }} {{ json t }}', about), '"x\\"<&\\n" null "21.5"');
    assert.equal(fillHeader('{{ json a }}', about), json);
    assert.deepEqual(JSON.parse(fillJson('{"a":{{ json a }},"t":{{ json t }},"s":"{{ json a }}"}', about)), {
      a: about.a,
      t: '21.5',
      s: json,
    });
    const form = new URLSearchParams(fillAs('a={{ json a }}', 'application/x-www-form-urlencoded', about));
    assert.equal(form.get('a'), json);
    assert.equal(fill('{{ json }}{{ json.c }}{{ json json }}', about), '{\\"c\\":1}1{"c":1}');
    const params = parseJsonTemplate({ one: '{{ json a }}', more: 'is {{ json a }}' });
    assert.deepEqual(params.fill(about), { one: json, more: `is ${json}` });
  });

  test('keep what a device says inside its string, in JSON', () => {
    const { said } = event.eventData;
    assert.deepEqual(JSON.parse(fillJson('{"said":"{{ eventData.said }}"}')), { said });
    assert.equal(fill('{{ eventData.said }}'), said);
    const template = bodyTemplate(
      parseWebhookTemplate('{"a":"{{ a }}","b":"{{ b }}","c":{{ b.b }},"d":{{ a }}}'),
    );
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), fc.jsonValue(), (a, b) => {
        const body = renderBody(template, 'application/json', readerOf({ a, b: { b } }));
        const filled = JSON.parse(body);
        assert.deepEqual(Object.keys(filled), ['a', 'b', 'c', 'd']);
        assert.equal(filled.a, a);
        assert.equal(filled.b, JSON.stringify({ b }));
        if (typeof b !== 'string') assert.deepEqual(filled.c, JSON.parse(JSON.stringify(b)));
        if (typeof filled.d !== 'string') assert.deepEqual(filled.d, JSON.parse(a));
        else assert.equal(filled.d, a);
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
    assert.equal(fillAs('x'.repeat(64 * 1024), 'text/plain', {}, 64 * 1024).length, 64 * 1024);
  });

  test('O7: a body that no value makes JSON is found before it is saved', () => {
    const never = [
      'Type: {{ a }}',
      '{"a":{{ b }}',
      '{"a":"{{ b }}}',
      '{"a" {{ b }}}',
      "{'a':{{ b }}}",
      '{"a":nope}',
    ];
    for (const text of never)
      assert.throws(
        () => tryBody(parseTemplate(text), 'application/json'),
        (error) =>
          error instanceof Fault && error.code === 'bad_template' && /is not JSON/.test(error.message),
        text,
      );
    const sometimes = [
      '{"a":{{ b }}}',
      '{"a":"{{ b }}"}',
      '-{{ a }}',
      '[{{ a }}{{ b }}]',
      '{{ a }}',
      '1{{ a }}.5',
    ];
    for (const text of sometimes) tryBody(parseTemplate(text), 'application/json');
    for (const type of ['text/plain', 'application/xml']) tryBody(parseTemplate('Type: {{ a }}'), type);
  });

  test('end at the size that was allowed', () => {
    assert.equal(fillAs('{{ eventType }}!', 'text/plain', event, 4), 'abc!');
    assert.throws(() => fillAs('{{ eventType }}!', 'text/plain', event, 3), hasCode('too_large'));
    const bomb = { eventData: { text: 'x'.repeat(1_000_000) } };
    assert.throws(
      () => fillAs(`"${'{{ eventData }}'.repeat(200)}"`, 'application/json', bomb, 2_000_000),
      hasCode('too_large'),
    );
  });

  test('O9: the value of a header is cut where it is too long', () => {
    const about = { long: 'x'.repeat(4_097), words: 'a b'.repeat(9_999), text: 'é'.repeat(5_000) };
    assert.equal(fillHeader('{{ long }}', about), 'x'.repeat(4_096));
    assert.equal(fillHeader('{{ long }}{{ long }}', about).length, 4_096);
    assert.equal(fillHeader('{{ words }}', about).length, 4_096);
    assert.equal(fillHeader(`${'y'.repeat(4_095)}{{ text }}`, about), `${'y'.repeat(4_095)}é`);
  });
});

suite('URLs with templates', () => {
  const fillUrl = (text: string, about: unknown) => renderUrl(parseUrlTemplate(text), readerOf(about));
  const about = { id: 7, said: 'a b&c=ü/..?#', up: '..', dot: '.', empty: '', node: { a: [1] } };

  test('O20: take values as components', () => {
    const cases: [string, string][] = [
      ['https://h.example/d/{{ id }}', 'https://h.example/d/7'],
      ['https://h.example/?q={{ said }}&n={{id}}', 'https://h.example/?q=a%20b%26c%3D%C3%BC%2F..%3F%23&n=7'],
      ['https://h.example:8080/{{ said }}', 'https://h.example:8080/a%20b%26c%3D%C3%BC%2F..%3F%23'],
      ['https://h.example/a/{{ up }}/{{ dot }}{{ dot }}/b', 'https://h.example/a///b'],
      ['https://h.example/?v={{ up }}', 'https://h.example/?v=..'],
      ['https://h.example/{{ gone }}x{{ empty }}', 'https://h.example/x'],
      ["https://h.example/{{ gone | 'none' }}", 'https://h.example/none'],
      ['https://h.example?{{ node }}', 'https://h.example?%7B%22a%22%3A%5B1%5D%7D'],
    ];
    for (const [text, expected] of cases) assert.equal(fillUrl(text, about), expected, text);
  });

  test('I10, O20: never take the host from a value', () => {
    const foreign = [
      'https://{{ host }}/a',
      'https://h.example{{ host }}/a',
      'https://{{ user }}@h.example/a',
      'https://h.example:{{ port }}/a',
      '{{ scheme }}://h.example/a',
      '{{ base }}/a',
      '{{ one }}{{ two }}',
      'https:{{ rest }}',
      'https:///{{ rest }}',
      'https:/\\{{ rest }}',
    ];
    for (const text of foreign) {
      assert.throws(() => parseUrlTemplate(text), hasCode('bad_template'), text);
      assert.throws(() => requireUrl(text), hasCode('bad_template'), text);
      assert.equal(parseUrlParam(text).fill({ host: 'x', base: 'https://x.example' }), undefined, text);
    }
    for (const text of ['ftp://h.example/{{ a }}', 'https://h ex/{{ a }}', 'x {{ a }}'])
      assert.throws(() => requireUrl(text), hasCode('bad_template'), text);
    for (const text of ['{{ a }}', " {{ a | 'https://h.example/' }} ", 'HTTPS://münchen.example/ü {{ a }}'])
      requireUrl(text);
  });

  test('no value leaves its place', () => {
    const template = parseUrlTemplate(
      'https://h.example/a/{{ a }}/b/{{ b }}{{ a }}?c={{ b }}&d={{ a }}#{{ b }}',
    );
    const text = fc.oneof(
      fc.string({ unit: 'binary' }),
      fc.constantFrom('.', '..', '%2e%2E', '/', '\\', '?#&=@:'),
    );
    fc.assert(
      fc.property(text, text, (a, b) => {
        const url = new URL(renderUrl(template, readerOf({ a, b })));
        assert.equal(url.origin, 'https://h.example');
        assert.equal(url.username, '');
        assert.equal(url.pathname.split('/').length, 5);
        assert.deepEqual([...url.searchParams.keys()], ['c', 'd']);
        assert.deepEqual([...url.searchParams.values()], [b.toWellFormed(), a.toWellFormed()]);
        assert.equal(decodeURIComponent(url.hash.slice(1)), b.toWellFormed());
        const isStep = a === '.' || a === '..';
        assert.equal(decodeURIComponent(url.pathname.split('/')[2] ?? ''), isStep ? '' : a.toWellFormed());
      }),
    );
  });
});

function hasCode(code: string) {
  return (error: unknown) => error instanceof Fault && error.code === code;
}
