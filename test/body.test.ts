/** Bodies are read with their meaning, or refused: by kind, by charset, and for anything that may come. */
import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import fc from 'fast-check';
import { readBase64Payload, readBody, readJsonBody, readMembers, readPayload } from '../src/domain/body.ts';
import { Fault } from '../src/domain/fault.ts';
import { isExactNumber } from '../src/domain/json.ts';
import { parsePath, readerOf } from '../src/domain/path.ts';
import { parseTemplate, renderTemplate, textOf } from '../src/domain/template.ts';

const json = 'application/json';
const form = 'application/x-www-form-urlencoded';
const octets = 'application/octet-stream';

function payloadOf(raw: string | Uint8Array, type?: string): unknown {
  return readPayload(typeof raw === 'string' ? Buffer.from(raw) : raw, type).payload;
}

/** What `{{ path }}` is in such a payload. */
function filled(payload: unknown, path: string): string {
  return renderTemplate(parseTemplate(`{{ payload.${path} }}`), { payload });
}

function codeOf(work: () => unknown): string {
  try {
    work();
    return 'read';
  } catch (error) {
    assert.ok(error instanceof Fault, `${(error as Error).stack}`);
    return error.code;
  }
}

const refused = (raw: string | Uint8Array, type?: string) => codeOf(() => payloadOf(raw, type));

/** A form in parts as a browser sends it, with its content type. */
async function partsOf(fields: [string, string | Blob][]): Promise<{ type: string; bytes: Buffer }> {
  const data = new FormData();
  for (const [name, value] of fields) data.append(name, value);
  const response = new Response(data);
  const type = response.headers.get('content-type') ?? '';
  return { type, bytes: Buffer.from(await response.arrayBuffer()) };
}

suite('what a body is', () => {
  test('I2: JSON is read as JSON, whatever it is announced as', () => {
    const types = [json, 'text/plain', 'text/plain; charset=utf-8', octets, form, undefined, '', 'nonsense'];
    for (const type of [...types, 'multipart/form-data', 'application/xml', 'text/html', 'image/png']) {
      assert.deepEqual(payloadOf('{"message":"Leave by the stairs"}', type), {
        message: 'Leave by the stairs',
      });
      assert.deepEqual(payloadOf(' \r\n[{"a":[]}]\n', type), [{ a: [] }], type);
    }
    for (const [text, value] of [
      ['7', 7],
      ['"x"', 'x'],
      ['null', null],
    ] as const)
      assert.equal(payloadOf(text, json), value);
  });

  test('I2: XML begins with "<", whatever it is announced as', () => {
    for (const type of [
      undefined,
      'text/plain',
      form,
      octets,
      json,
      'application/xml',
      'application/cap+xml',
    ])
      assert.deepEqual(
        payloadOf('\n<alert><title>Hot</title></alert>', type),
        { alert: { title: 'Hot' } },
        type,
      );
  });

  test('I12: text is text, under the type of a form too', () => {
    const texts = [
      'Leave the building',
      'fire',
      'R&D is on fire',
      '100% of smoke',
      '[FIRING:1] Disk = full',
      '[!] Leave',
      '{Alert} Leave',
      '<3 leave',
      '<b>Leave</b> now',
      'Alarm: level=high',
      '==== ALERT ====',
      '-- alarm',
    ];
    for (const text of texts)
      for (const type of [undefined, 'text/plain', form, octets])
        assert.equal(payloadOf(text, type), text, `${type}: ${text}`);
    assert.equal(payloadOf('<!doctype html><p>Leave<br>now', 'text/html'), '<!doctype html><p>Leave<br>now');
  });

  test('a form is one where it is announced and looks like one', () => {
    const forms: [string, object][] = [
      ['message=Leave+now&x=1', { message: 'Leave now', x: '1' }],
      ['message=Leave the building', { message: 'Leave the building' }],
      ['message=%7B%22a%22%3A1%7D', { message: '{"a":1}' }],
      ['a&message=b=c&&', { a: '', message: 'b=c' }],
      ['\r\nmessage=%zz%\r\n', { message: '%zz%' }],
      ['a[b]=1&Alarm+Status=on', { 'a[b]': '1', 'Alarm Status': 'on' }],
    ];
    for (const [text, members] of forms) assert.deepEqual(payloadOf(text, form), members, text);
    assert.deepEqual(Object.keys(payloadOf('__proto__=1', form) as object), ['__proto__']);
    assert.equal(refused('a=1&'.repeat(6_000), form), 'bad_request');
  });

  test('I24, I25: blanks are nothing', () => {
    for (const nothing of ['', ' ', '\r\n\t', '\uFEFF', '\0', ' \0\0'])
      for (const type of [json, form, 'text/plain', 'application/xml', undefined]) {
        assert.deepEqual(readBody(Buffer.from(nothing), type), { kind: 'nothing' });
        assert.deepEqual(payloadOf(nothing, type), {});
        assert.deepEqual(readMembers(Buffer.from(nothing), type).members, {});
        assert.equal(readJsonBody(Buffer.from(nothing), type), undefined);
      }
  });

  test('I8: a byte order mark and the zero bytes behind a text are passed over', () => {
    for (const type of [json, 'text/plain', form, undefined]) {
      assert.deepEqual(payloadOf('\uFEFF{"a":1}\0\0', type), { a: 1 });
      assert.equal(payloadOf('\uFEFFLeave\0', type === json ? undefined : type), 'Leave');
    }
    assert.deepEqual(payloadOf('\uFEFFa=1', form), { a: '1' });
    assert.deepEqual(payloadOf('\uFEFF<a>1</a>', 'text/xml'), { a: '1' });
  });

  test('what is broken is refused, and not taken for something else', () => {
    const broken: [string | Uint8Array, string | undefined, string][] = [
      ['{"message":"Leave"', json, 'bad_request'],
      ['{"message":"Leave"', 'text/plain', 'bad_request'],
      ['{"message":"Leave"', form, 'bad_request'],
      ['[{"message":"Leave"', undefined, 'bad_request'],
      ['Leave', json, 'bad_request'],
      ['message=Leave', json, 'bad_request'],
      ['<a>', json, 'bad_request'],
      ['<a>Leave</b>', undefined, 'bad_request'],
      ['<a>Leave', 'application/xml', 'bad_request'],
      ['Leave', 'application/xml', 'bad_request'],
      ['<!DOCTYPE a [<!ENTITY b "c">]><a>&b;</a>', 'text/xml', 'bad_request'],
      ['<!DOCTYPE a [<!ENTITY b "c">]><a>&b;</a>', undefined, 'bad_request'],
      ['Leave', 'multipart/form-data; boundary=x', 'bad_request'],
      [
        '--x\r\ncontent-disposition: form-data; name="a"\r\n\r\nb',
        'multipart/form-data; boundary=x',
        'bad_request',
      ],
      [Buffer.from('Leave', 'utf16le'), 'text/plain', 'bad_request'],
      [Buffer.from([0x89, 0x50, 0x4e, 0x47]), 'image/png', 'unsupported_media_type'],
      ['%PDF-1.4', 'application/pdf', 'unsupported_media_type'],
      ['Leave', 'video/mp4', 'unsupported_media_type'],
      [Buffer.from([0xa1, 0x00, 0x01]), 'application/cbor', 'unsupported_media_type'],
      [Buffer.from([0xff, 0xd8]), 'application/x-thing', 'unsupported_media_type'],
      [Buffer.from([0xff, 0xd8]), octets, 'bad_request'],
      [`${'['.repeat(65)}${']'.repeat(65)}`, 'text/plain', 'bad_request'],
      [`${'<a>'.repeat(65)}${'</a>'.repeat(65)}`, undefined, 'bad_request'],
      [`${'<a>'.repeat(30_000)}${'</a>'.repeat(30_000)}`, 'text/xml', 'bad_request'],
    ];
    for (const [raw, type, code] of broken)
      assert.equal(refused(raw, type), code, `${type}: ${raw}`.slice(0, 99));
  });

  test('members are those of JSON and forms', () => {
    assert.deepEqual(readMembers(Buffer.from('{"event_id":"evac"}'), 'text/plain').members, {
      event_id: 'evac',
    });
    for (const [raw, type, code] of [
      ['[]', json, 'bad_request'],
      ['7', json, 'bad_request'],
      ['Leave', 'text/plain', 'unsupported_media_type'],
      ['evac', form, 'unsupported_media_type'],
      ['<a/>', 'application/xml', 'unsupported_media_type'],
    ] as const)
      assert.equal(
        codeOf(() => readMembers(Buffer.from(raw), type)),
        code,
        raw,
      );
  });
});

suite('I3: forms in parts', () => {
  test('have their text fields as members, and say what was left out', async () => {
    const { type, bytes } = await partsOf([
      ['message', 'Räumen\r\nsofort'],
      ['message', 'again'],
      ['empty', ''],
      ['photo', new Blob(['not read'], { type: 'image/png' })],
      ['none', new Blob([])],
      ['__proto__', 'x'],
    ]);
    for (const announced of [type, undefined, 'text/plain', 'multipart/form-data', form]) {
      const { payload, leftOut } = readPayload(bytes, announced);
      assert.deepEqual(Object.entries(payload as object), [
        ['message', 'Räumen\r\nsofort'],
        ['empty', ''],
        ['__proto__', 'x'],
      ]);
      assert.deepEqual(leftOut, [
        'the file "photo" was left out',
        'the field "message" came again: the first one counts',
      ]);
    }
  });

  test('have a charset for each part, and lines before the first that mean nothing', () => {
    const part = (headers: string, value: string) => `--b\r\n${headers}\r\n\r\n${value}\r\n`;
    const named = (name: string) => `Content-Disposition: form-data; name="${name}"`;
    const parts = [
      part(`${named('a')}\r\nContent-Type: text/plain; charset=ISO-8859-1`, 'T\u00fcr'),
      part(`${named('b')}\r\nContent-Transfer-Encoding: base64`, 'TGVhdmU='),
      part(`Content-Type: application/json\r\n${named('c')}`, '{"d":1}'),
    ];
    const whole = (all: string[]) => Buffer.from(`preamble\r\n${all.join('')}--b--\r\nepilogue`, 'latin1');
    const type = 'multipart/form-data; boundary=b';
    assert.deepEqual(payloadOf(whole(parts), type), { a: 'Tür', b: 'Leave', c: '{"d":1}' });
    assert.equal(refused(whole([part(named('a'), 'T\u00fcr')]), type), 'bad_request');
    const odd = `${named('a')}\r\nContent-Type: text/plain; charset=x-klingon`;
    assert.equal(refused(whole([part(odd, 'x')]), type), 'unsupported_media_type');
    const quoted = `${named('a')}\r\nContent-Transfer-Encoding: quoted-printable`;
    assert.equal(refused(whole([part(quoted, 'x=3D')]), type), 'unsupported_media_type');
    assert.equal(refused(whole(Array(501).fill(part(named('a'), 'x'))), type), 'too_large');
    assert.equal(
      refused(whole([part(`${named('a')}\r\nX: ${'x'.repeat(5_000)}`, 'x')]), type),
      'bad_request',
    );
  });
});

suite('XML as a value', () => {
  const at = (xml: string, path: string) => filled(payloadOf(xml, 'text/xml'), path);

  test('I14: references are decoded, once', () => {
    const read: [string, string][] = [
      ['T&#252;r', 'Tür'],
      ['&#39;x&#39; &quot;&apos;', "'x' \"'"],
      ['&#x1F525;', '🔥'],
      ['&amp;#252; &amp;lt; &lt;b&gt;', '&#252; &lt; <b>'],
      ['<![CDATA[&amp; <b>]]>', '&amp; <b>'],
      ['Le<!-- x -->ave <?pi y?>now', 'Leave now'],
    ];
    for (const [xml, text] of read) assert.equal(at(`<m>${xml}</m>`, 'm'), text);
    assert.deepEqual(payloadOf('<m a="T&#252;r &amp;lt;"/>'), { m: { '@a': 'Tür &lt;', '#text': '' } });
    for (const bad of ['&#xD800;', '&#0;', '&nothing;', 'R&D'])
      assert.equal(refused(`<m>${bad}</m>`), 'bad_request', bad);
  });

  test('I15: an element with text is its text, and its attributes are members', () => {
    const xml = '<alarm id="7"><message lang="de">Feuer im <b>Keller</b>!</message><n>1</n><e/></alarm>';
    assert.equal(at(xml, 'alarm.message'), 'Feuer im Keller!');
    assert.equal(at(xml, 'alarm.message.b'), 'Keller');
    assert.equal(at(xml, 'alarm.n'), '1');
    assert.equal(at(xml, 'alarm.e'), '');
    const payload = payloadOf(xml);
    assert.equal(readerOf(payload)(['alarm', 'message', '@lang']), 'de');
    assert.equal(readerOf(payload)(['alarm', '@id']), '7');
    assert.deepEqual(JSON.parse(JSON.stringify(payload)), {
      alarm: {
        '@id': '7',
        message: { '@lang': 'de', b: 'Keller', '#text': 'Feuer im Keller!' },
        n: '1',
        e: '',
      },
    });
  });

  test('I15: elements of one name are a list, whose first one is its text', () => {
    const xml = '<a><m lang="de">Feuer</m><m lang="en">Fire</m><i>1</i><i>2</i><o><p>x</p></o><o/></a>';
    const payload = payloadOf(xml);
    assert.equal(filled(payload, 'a.m'), 'Feuer');
    assert.equal(filled(payload, 'a.m[1]'), 'Fire');
    assert.equal(filled(payload, 'a.i'), '1');
    assert.equal(filled(payload, 'a.o.p'), 'x');
    assert.equal(readerOf(payload)(['a', 'm', '@lang']), 'de');
    assert.deepEqual(readerOf(payload)(['a', 'i']), ['1', '2']);
    assert.equal(textOf(['1', '2']), '["1","2"]', 'a list of JSON is none of XML');
  });

  test('names are taken as they are, and set no prototype', () => {
    const payload = payloadOf(
      '<s:E xmlns:s="u"><s:B>x</s:B><__proto__ a="1">y</__proto__><Straße>z</Straße></s:E>',
    );
    const root = (payload as Record<string, object>)['s:E'] ?? {};
    assert.deepEqual(Object.keys(root), ['@xmlns:s', 's:B', '__proto__', 'Straße']);
    assert.equal(Object.getPrototypeOf(root), Object.prototype);
    assert.equal(readerOf(payload)(['s:E', '__proto__', '@a']), '1');
  });
});

suite('I1: charsets', () => {
  test('are those that are announced, by header, declaration or mark', () => {
    const latin = (text: string) => Buffer.from(text, 'latin1');
    const read: [Uint8Array, string | undefined, unknown][] = [
      [
        latin('message=Bitte+das+Geb%E4ude+r%E4umen'),
        `${form}; charset=ISO-8859-1`,
        { message: 'Bitte das Gebäude räumen' },
      ],
      [latin('message=Geb\u00e4ude+r%E4umen'), `${form};charset="latin1"`, { message: 'Gebäude räumen' }],
      [latin('{"m":"T\u00fcr"}'), `${json}; charset=windows-1252`, { m: 'Tür' }],
      [latin('T\u00fcr \u0080'), "text/plain; charset='Windows-1252'", 'Tür €'],
      [latin('<?xml version="1.0" encoding="ISO-8859-1"?><m>T\u00fcr</m>'), 'text/xml', { m: 'Tür' }],
      [latin("<?xml version='1.0' encoding='iso-8859-15' ?><m>\u00a4</m>"), undefined, { m: '€' }],
      [Buffer.from('<?xml version="1.0" encoding="utf-16"?><m>Tür</m>'), undefined, { m: 'Tür' }],
      [
        Buffer.from('<?xml version="1.0" encoding="ISO-8859-1"?><m>Tür</m>'),
        'text/xml; charset=utf-8',
        { m: 'Tür' },
      ],
      [Buffer.from('\uFEFF{"m":"Tür"}', 'utf16le'), json, { m: 'Tür' }],
      [Buffer.from('\uFEFFTür', 'utf16le').swap16(), 'text/plain', 'Tür'],
      [Buffer.from('\uFEFF<m>Tür</m>', 'utf16le'), 'text/xml; charset=utf-8', { m: 'Tür' }],
      [Buffer.from('m=T%C3%BCr', 'utf16le'), `${form}; charset=utf-16le`, { m: 'Tür' }],
      [Buffer.from([0x83, 0x65, 0x83, 0x58, 0x83, 0x67]), 'text/plain; charset=Shift_JIS', 'テスト'],
      [Buffer.from('m=%83e%83X%83g'), `${form}; charset=sjis`, { m: 'テスト' }],
      [Buffer.from('m=%1B$B%25F%259%25H%1B(B'), `${form}; charset=iso-2022-jp`, { m: 'テスト' }],
      [Buffer.from([0xc4, 0xe3, 0xba, 0xc3]), 'text/plain; charset=gb2312', '你好'],
      [Buffer.from([0xef, 0xf0, 0xe8]), 'text/plain; charset=koi8-r', 'ОПХ'],
      [Buffer.from('Tür'), 'text/plain; charset=', 'Tür'],
    ];
    for (const [bytes, type, value] of read) assert.deepEqual(payloadOf(bytes, type), value, `${type}`);
  });

  test('that the bytes are no text of are refused', () => {
    const latin = Buffer.from('m=T\u00fcr', 'latin1');
    for (const type of [form, json, 'text/plain', undefined, octets, 'text/plain; charset=utf-8'])
      assert.equal(refused(latin, type), 'bad_request', type);
    assert.equal(refused('m=T%FCr', form), 'bad_request');
    assert.equal(refused('m%FC=1', form), 'bad_request');
    assert.equal(refused(Buffer.from('Tür'), 'text/plain; charset=us-ascii'), 'bad_request');
    assert.equal(refused(Buffer.from([0x81]), 'text/plain; charset=shift_jis'), 'bad_request');
    assert.equal(refused(Buffer.from('abc'), 'text/plain; charset=utf-16le'), 'bad_request');
    assert.equal(refused('<?xml version="1.0" encoding="us-ascii"?><m>ü</m>'), 'bad_request');
  });

  test('that nobody knows are refused as such', () => {
    for (const charset of ['x-klingon', 'utf-7', 'utf-32', 'cp850', 'binary'])
      for (const type of [json, form, 'text/plain'])
        assert.equal(refused('{"a":1}', `${type}; charset=${charset}`), 'unsupported_media_type', charset);
    assert.equal(refused('<?xml version="1.0" encoding="x"?><m/>'), 'unsupported_media_type');
  });
});

suite('I22: Base64 payloads', () => {
  const base64 = (text: string | Uint8Array) => Buffer.from(text).toString('base64');
  const value = { event_id: 'evac', note: '>>>???', long: 'x'.repeat(200) };

  test('are read in lines, with and without padding, in either alphabet', () => {
    const whole = base64(JSON.stringify(value));
    const lines = whole.replace(/.{76}/g, '$&\r\n');
    for (const text of [whole, lines, `${lines}\n`, whole.replaceAll('+', ' '), whole.replace(/=+$/, '')])
      assert.deepEqual(readBase64Payload(text), value);
    assert.deepEqual(readBase64Payload(Buffer.from(JSON.stringify(value)).toString('base64url')), value);
    assert.deepEqual(readBase64Payload(base64('\uFEFF{"a":1}')), { a: 1 });
    for (const nothing of ['', '  ', '\n', '==', base64(' ')])
      assert.deepEqual(readBase64Payload(nothing), {});
  });

  test('are refused when they are something else', () => {
    for (const bad of [
      '*',
      'abcde',
      'ab=c',
      base64('[]'),
      base64('"x"'),
      base64('{'),
      base64(Buffer.from('{"a":"\xe4"}', 'latin1')),
    ])
      assert.equal(
        codeOf(() => readBase64Payload(bad)),
        'bad_request',
        bad,
      );
    assert.equal(
      codeOf(() => readBase64Payload(base64(`"${'x'.repeat(8_200)}"`))),
      'too_large',
    );
  });

  test('S15: cost no more than they are long', () => {
    const evil = [`${'='.repeat(100_000)}x`, `${' '.repeat(100_000)}x=`, `${'\n'.repeat(100_000)}*`];
    for (const text of evil) assert.ok(millisecondsOf(() => readBase64Payload(text)) < 100);
  });
});

function millisecondsOf(work: () => unknown): number {
  const start = performance.now();
  codeOf(work);
  return performance.now() - start;
}

test('S15: no body costs more than it is long', () => {
  const size = 256 * 1_024;
  const fill = (text: string) => text.repeat(Math.ceil(size / text.length));
  const evil = [
    ...['=', '&', '=&', '%', '%zz', ' ', '\n', '\0', '\0 ', '<', '<a ', '< ', '<!--', '[', '{"', '["'].map(
      fill,
    ),
    `${fill(' ')}x`,
    `${fill('\r\n')}x=1`,
    `${fill('\0')}x`,
    `a=${fill('+')}`,
    `<a ${fill('b="1" ')}/>`,
    `<a>${fill('&')}</a>`,
    `<a>${fill('<b/>')}</a>`,
    `<?xml ${fill(' ')}`,
    `<a>${fill('</')}`,
    `--x\r\n${fill('content-disposition: ')}`,
    `--x\r\ncontent-disposition: form-data; ${fill('a; ')}\r\n\r\n`,
    `[${fill('12345678901234567890,')}1]`,
    `[${fill('1,')}12345678901234567890]`,
    `"${fill('\\"')}`,
    `[${'1'.repeat(size)}]`,
    `{"a":"${fill('1234567890123456 ')}","b":12345678901234567890}`,
  ];
  for (const text of evil)
    for (const type of [json, form, 'text/plain', 'text/xml', 'multipart/form-data; boundary=x', undefined]) {
      const spent = millisecondsOf(() => payloadOf(text, type));
      assert.ok(spent < 1_500, `${type}: ${text.slice(0, 40)} took ${spent} ms`);
    }
  const types = [`${json};${fill(' ')}`, `a/b${fill(';')}`, `${json}; charset="${fill('\\')}`, fill('a/')];
  for (const type of types) assert.ok(millisecondsOf(() => payloadOf('{}', type)) < 500, type.slice(0, 40));
});

// ---------------------------------------------------------------------------------------------- for anything

const singleByte = [
  ...['windows-1250', 'windows-1251', 'windows-1252', 'windows-1253', 'windows-1254', 'windows-1257'],
  ...['iso-8859-1', 'iso-8859-2', 'iso-8859-5', 'iso-8859-7', 'iso-8859-15', 'koi8-r', 'macintosh', 'ibm866'],
];

/** The letters of a charset with their bytes, from what its decoder makes of every single byte. */
function lettersOf(charset: string): Map<string, number> {
  const letters = new Map<string, number>();
  for (let byte = 0x20; byte < 0x100; byte += 1) {
    try {
      const letter = new TextDecoder(charset, { fatal: true }).decode(Uint8Array.of(byte));
      if (!/[\p{Cc}\p{Cn}\uFEFF]/u.test(letter)) letters.set(letter, byte);
    } catch {} // no letter of this charset
  }
  return letters;
}

type Charset = { name: string; encode: (text: string) => Buffer; letters: fc.Arbitrary<string> };
const anyText = fc
  .string({ unit: 'binary' })
  .map((text) => text.replace(/[\p{Cc}\p{Cs}\uFEFF\uFFFE\uFFFF]/gu, ''));
const charsets: Charset[] = [
  { name: 'utf-8', encode: (text) => Buffer.from(text), letters: anyText },
  { name: 'UTF-16LE', encode: (text) => Buffer.from(text, 'utf16le'), letters: anyText },
  { name: 'utf-16be', encode: (text) => Buffer.from(text, 'utf16le').swap16(), letters: anyText },
  ...singleByte.map((name): Charset => {
    const letters = lettersOf(name);
    return {
      name,
      encode: (text) => Buffer.from([...text].map((letter) => letters.get(letter) ?? 0x3f)),
      letters: fc.array(fc.constantFrom(...letters.keys())).map((all) => all.join('')),
    };
  }),
];
const types = [json, form, 'text/plain', octets, 'application/x-anything', 'text/html'];
const escapeXml = (text: string) =>
  text.replace(/[&<>]/g, (letter) => (letter === '&' ? '&amp;' : letter === '<' ? '&lt;' : `&#x${'3e'};`));
const percent = (bytes: Buffer) =>
  [...bytes].map((byte) => `%${byte.toString(16).padStart(2, '0')}`).join('');

suite('anything', () => {
  for (const { name, encode, letters } of charsets) {
    test(`any text in ${name} has its right meaning, under any type`, () => {
      fc.assert(
        fc.property(letters, fc.constantFrom(...types), (text, type) => {
          const announced = `${type}; charset=${name}`;
          const asJson = encode(JSON.stringify({ message: text }));
          assert.deepEqual(payloadOf(asJson, announced), { message: text });
          const asXml = payloadOf(encode(`<a><m x="1">${escapeXml(text)}</m></a>`), announced);
          assert.equal(filled(asXml, 'a.m'), text.trim());
          if (!name.startsWith('utf-16') && !name.startsWith('UTF-16')) {
            const asForm = payloadOf(`message=${percent(encode(text))}`, `${form}; charset=${name}`);
            assert.deepEqual(asForm, { message: text });
          }
          const asText = encode(`Alarm: ${text}`);
          if (type === json) assert.equal(refused(asText, announced), 'bad_request');
          else assert.equal(payloadOf(asText, announced), `Alarm: ${text}`);
        }),
      );
    });
  }

  test('any text behind a byte order mark has its right meaning', () => {
    fc.assert(
      fc.property(anyText, fc.constantFrom(...charsets.slice(0, 3)), (text, { encode }) => {
        for (const type of [undefined, 'text/plain', 'text/plain; charset=iso-8859-1'])
          assert.equal(payloadOf(encode(`\uFEFFAlarm: ${text}`), type), `Alarm: ${text}`);
        assert.deepEqual(payloadOf(encode(`\uFEFF${JSON.stringify([text])}`), json), [text]);
      }),
    );
  });

  test('any bytes under any type are read or refused, and no letter is made up', () => {
    const announced = fc.oneof(
      fc.constantFrom(...types, undefined, 'multipart/form-data; boundary=x', 'text/xml', 'image/png'),
      fc.string(),
    );
    const bytes = fc.oneof(
      fc.uint8Array({ maxLength: 200 }),
      fc.string({ unit: fc.constantFrom(...'{}[]<>="&;%+-\r\n\0a1é') }).map((text) => Buffer.from(text)),
    );
    fc.assert(
      fc.property(bytes, announced, (given, type) => {
        for (const read of [readPayload, readMembers, readJsonBody])
          assert.ok(
            ['read', 'bad_request', 'unsupported_media_type'].includes(codeOf(() => read(given, type))),
          );
        const isMade = Buffer.from(given).includes('\uFFFD') || /charset|utf-?16/i.test(type ?? '');
        const body =
          codeOf(() => payloadOf(given, type)) === 'read' ? JSON.stringify(payloadOf(given, type)) : '';
        assert.ok(isMade || given[0] === 0xff || given[0] === 0xfe || !body?.includes('\uFFFD'));
      }),
      { numRuns: 2_000 },
    );
  });

  test('I6: any JSON document goes in and out as it was written', () => {
    const number = fc.oneof(
      fc.bigInt().map(String),
      fc
        .tuple(fc.bigInt({ min: 1n }), fc.nat(9))
        .map(([digits, last]) => `0.${digits}${last === 0 ? 1 : last}`),
      fc.integer({ min: 309, max: 999 }).map((exponent) => `1e${exponent}`),
    );
    const leaf = fc.oneof(
      number,
      fc.string().map((text) => JSON.stringify(text)),
      fc.constantFrom('true', 'null'),
    );
    const { document } = fc.letrec<{ document: string; value: string }>((tie) => ({
      document: fc.oneof(
        fc.array(tie('value'), { maxLength: 5 }).map((items) => `[${items.join()}]`),
        fc
          .dictionary(fc.string(), tie('value'), { maxKeys: 5 })
          // Names of digits come first in JavaScript, whatever their place was.
          .map((members) => Object.entries(members).filter(([name]) => !/^\d+$/.test(name)))
          .map((members) => `{${members.map(([name, value]) => `${JSON.stringify(name)}:${value}`).join()}}`),
      ),
      value: fc.oneof({ depthSize: 'small' }, leaf, tie('document')),
    }));
    fc.assert(
      fc.property(document, fc.constantFrom(...types, undefined), (text, type) => {
        const expected = JSON.stringify(JSON.parse(text)) === text ? text : null;
        const written = JSON.stringify(payloadOf(text, type));
        assert.ok(written === (expected ?? text) || sameDigits(written, text), `${text} became ${written}`);
      }),
    );
    assert.ok(isExactNumber((payloadOf('{"id":9123456789654321987}', form) as { id: unknown }).id));
  });

  test('I3: any fields go through a form in parts', async () => {
    const name = fc
      .string({ unit: 'grapheme', minLength: 1 })
      .filter((text) => !/["\\;\r\n]|^\s|\s$/.test(text));
    await fc.assert(
      fc.asyncProperty(fc.dictionary(name, anyText, { maxKeys: 5, minKeys: 1 }), async (fields) => {
        const { type, bytes } = await partsOf(Object.entries(fields));
        assert.deepEqual(payloadOf(bytes, type), { ...fields });
      }),
    );
  });
});

/** Numbers that JavaScript holds may be written in other digits of the same value: `0.10` for `0.1`. */
function sameDigits(written: string, text: string): boolean {
  const plain = (json: string) => JSON.stringify(JSON.parse(json));
  return plain(written) === plain(text) && written.length <= text.length;
}

test('paths of templates lead into what was read', () => {
  assert.deepEqual(parsePath('payload.a.b'), ['payload', 'a', 'b']);
  assert.equal(filled(payloadOf('{"a":{"b":9123456789654321987}}'), 'a.b'), '9123456789654321987');
});
