import assert from 'node:assert/strict';
import { validateHeaderValue } from 'node:http';
import { suite, test } from 'node:test';
import { parseXml, XmlElement } from '@rgrove/parse-xml';
import fc from 'fast-check';
import { headerValueOf } from '../src/domain/escape.ts';
import { readerOf } from '../src/domain/path.ts';
import { type Syntax, syntaxOf } from '../src/domain/webhook/place.ts';
import { bodyTemplate, parseWebhookTemplate, renderBody } from '../src/domain/webhook/template.ts';

const fill = (text: string, mediaType: string, about: unknown) =>
  renderBody(bodyTemplate(parseWebhookTemplate(text)), mediaType, readerOf(about));
const form = 'application/x-www-form-urlencoded';
const xml = 'application/xml';
const evil = 'x</n><admin a="b" c=\'d\'>&admin=1\r\n]]>--><?x ?>"\\';
const anyText = fc.oneof(
  fc.string({ unit: 'binary' }),
  fc.constantFrom(
    evil,
    '',
    '&',
    '=',
    '"',
    "'",
    '\\',
    '<',
    '>',
    ']]>',
    ']]',
    '>',
    '--',
    '-->',
    '?>',
    '\0',
    '\ud800',
  ),
);

suite('values in their places', () => {
  test('each media type has its syntax', () => {
    const cases: [string, Syntax][] = [
      ['application/json', 'json'],
      ['application/vnd.api+json', 'json'],
      ['text/json', 'json'],
      ['application/x-ndjson', 'json lines'],
      ['application/jsonl', 'json lines'],
      ['application/json-seq', 'json lines'],
      [form, 'form'],
      [xml, 'xml'],
      ['text/xml', 'xml'],
      ['application/soap+xml', 'xml'],
      ['text/html', 'xml'],
      ['image/svg+xml', 'xml'],
      ['text/csv', 'csv'],
      ['text/tab-separated-values', 'lines'],
      ['application/yaml', 'lines'],
      ['text/x-yaml', 'lines'],
      ['application/openmetrics-text', 'lines'],
      ['application/vnd.influxdata.line', 'lines'],
      ['multipart/form-data', 'lines'],
      ['text/plain', 'text'],
      ['application/octet-stream', 'text'],
      ['', 'text'],
    ];
    for (const [mediaType, syntax] of cases) assert.equal(syntaxOf(mediaType), syntax, mediaType);
  });

  test('O8: a form', () => {
    assert.equal(fill('user={{ a }}&role=guest', form, { a: 'a&admin=1' }), 'user=a%26admin%3D1&role=guest');
    assert.equal(fill('{{ k }}={{ a }}', form, { k: 'a=b', a: 'ü +%' }), 'a%3Db=%C3%BC%20%2B%25');
    const object = new URLSearchParams(fill('a={{ o }}&b={{ json o }}', form, { o: { x: 1 } }));
    assert.deepEqual([object.get('a'), object.get('b')], ['{\\"x\\":1}', '{"x":1}']);
    fc.assert(
      fc.property(anyText, anyText, (a, b) => {
        const read = new URLSearchParams(fill('a={{ a }}&b=x{{ b }}y&c={{ a }}{{ b }}', form, { a, b }));
        const [one, other] = [a.toWellFormed(), b.toWellFormed()];
        assert.deepEqual(
          [...read],
          [
            ['a', one],
            ['b', `x${other}y`],
            ['c', one + other],
          ],
        );
      }),
    );
  });

  test('O8: JSON in a field of a form', () => {
    for (const text of [
      'token=1&payload={"text":"{{ a }}","n":{{ b }}}&x={{ a }}',
      'token=1&payload=%7B%22text%22%3A+%22{{ a }}%22,"n":{{ b }}%7D&x={{ a }}',
    ]) {
      fc.assert(
        fc.property(anyText, fc.jsonValue(), (a, b) => {
          const read = new URLSearchParams(fill(text, form, { a, b }));
          assert.deepEqual([...read.keys()], ['token', 'payload', 'x']);
          const payload = JSON.parse(read.get('payload') ?? '');
          assert.deepEqual(Object.keys(payload), ['text', 'n']);
          assert.equal(payload.text, a);
          if (typeof b !== 'string') assert.deepEqual(payload.n, JSON.parse(JSON.stringify(b)));
          assert.equal(read.get('x'), a.toWellFormed());
        }),
      );
    }
  });

  test('O8: XML', () => {
    assert.equal(
      fill('<n>{{ a }}</n>', xml, { a: '</n><admin>&"\'' }),
      '<n>&lt;/n&gt;&lt;admin&gt;&amp;&quot;&#39;</n>',
    );
    assert.equal(fill('<n a="{{ a }}"/>', xml, { a: 'x" y="1\n' }), '<n a="x&quot; y=&quot;1&#10;"/>');
    assert.equal(fill('<{{ a }}/>', xml, { a: 'a b="1"' }), '<a_b__1_/>');
    assert.equal(fill('<a href={{ a }}>', 'text/html', { a: 'x y>' }), '<a href=x&#32;y&gt;>');
    assert.equal(
      fill('<n>{{ o }}</n>', xml, { o: { x: '<' } }),
      '<n>{\\&quot;x\\&quot;:\\&quot;&lt;\\&quot;}</n>',
    );
  });

  test('O8: nothing leaves its place in XML', () => {
    const text =
      '<?xml version="1.0"?><!-- {{ a }} {{ b }}--><r x="{{ a }}" y=\'{{ b }}\'><a>{{ a }}</a><b><![CDATA[]{{ b }}]]></b><c>{{ a }}{{ b }}</c></r>';
    /** Attributes and elements of the root with their texts. */
    const read = (filled: string): Record<string, string> => {
      const { root } = parseXml(filled);
      assert.ok(root);
      const elements = root.children.filter((child) => child instanceof XmlElement);
      for (const { attributes, children } of elements) {
        assert.deepEqual(Object.keys(attributes), []);
        assert.ok(!children.some((child) => child instanceof XmlElement));
      }
      return { ...root.attributes, ...Object.fromEntries(elements.map(({ name, text }) => [name, text])) };
    };
    // What XML can't hold is one sign for all of it.
    const kept = (said: string) =>
      // biome-ignore lint/suspicious/noControlCharactersInRegex: these are what XML can't hold.
      said.toWellFormed().replaceAll(/[\u0000-\u0008\u000b\u000c\u000e-\u001f\ufffe\uffff]/g, '\ufffd');
    fc.assert(
      fc.property(anyText, anyText, (a, b) => {
        const [one, other] = [kept(a), kept(b)];
        const filled = fill(text, xml, { a, b });
        assert.deepEqual(read(filled), { x: one, y: other, a: one, b: `]${other}`, c: one + other }, filled);
      }),
    );
  });

  test('O8: CSV and other lines', () => {
    const about = { a: 'x\r\n1,2\n"', b: 'y\u2028z' };
    assert.equal(fill('{{ a }},{{ b }}\n', 'text/csv', about), 'x 1,2 ",y z\n');
    assert.equal(fill('"{{ a }}",{{ b }}\n', 'text/csv', about), '"x 1,2 """,y z\n');
    assert.equal(fill('t,x={{ a }} v=1\n', 'application/vnd.influx', about), 't,x=x 1,2 " v=1\n');
    assert.equal(fill('a: {{ a }}\nb: 1', 'application/yaml', about), 'a: x 1,2 "\nb: 1');
    assert.equal(fill('{{ a }}', 'text/plain', about), about.a);
    fc.assert(
      fc.property(anyText, (a) => {
        assert.equal(fill('{{ a }}\n"{{ a }}"\n', 'text/csv', { a }).split(/[\r\n\u2028\u2029]/).length, 3);
      }),
    );
  });

  test('O7, O8: nothing leaves its place in JSON', () => {
    const text =
      '{"a":"x{{ a }}y{{ b }}","b":{{ b }},"c":[{{ a }}],"d":[1,{{ b }}],"e":"\\{{ a }}","f":{"{{ a }}":0}}';
    const names = ['a', 'b', 'c', 'd', 'e', 'f'];
    fc.assert(
      fc.property(anyText, fc.oneof(anyText, fc.jsonValue()), (a, b) => {
        const filled = JSON.parse(fill(text, 'application/json', { a, b }));
        assert.deepEqual(Object.keys(filled), names);
        assert.ok(filled.a.startsWith(`x${a}y`));
        assert.ok(filled.c.length <= 1);
        assert.equal(filled.d.length, 2);
        assert.equal(filled.e, `\\${a}`);
        assert.deepEqual(Object.keys(filled.f), [a]);
        if (typeof b !== 'string') assert.deepEqual(filled.b, JSON.parse(JSON.stringify(b)));
      }),
    );
    fc.assert(
      fc.property(anyText, (a) => {
        const lines = fill('{"a":"{{ a }}"}\n{"b":{{ a }}}\n{{ a }}', 'application/x-ndjson', { a }).split(
          '\n',
        );
        assert.deepEqual(
          lines.slice(0, 2).map((line) => Object.keys(JSON.parse(line)).join()),
          ['a', 'b'],
        );
        assert.equal(lines.length, 3);
      }),
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
});
