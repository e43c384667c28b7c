import assert from 'node:assert/strict';
import { createHmac } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { suite, test } from 'node:test';
import fc from 'fast-check';
import { Webhook } from 'standardwebhooks';
import { verifyWebhook, type WebhookRequest } from '../src/client/verify.ts';
import {
  createSigner,
  makeWebhookSecret,
  type SignatureScheme,
  type Signing,
  secretProblem,
  signatureSchemes,
  signRequest,
} from '../src/domain/webhook/signature.ts';

type SignedScheme = Exclude<SignatureScheme, 'none'>;

const signed: readonly SignedScheme[] = ['standard', 'mode', 'biotz'];
const now = Date.parse('2026-03-01T12:00:00Z');
const seconds = now / 1000;
const url = 'https://hooks.example.com/evt';
const modeKey = '6idnnaidkdkdr5zq1838jGV';
const secrets: Record<SignedScheme, string> = {
  standard: 'whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw',
  mode: modeKey,
  biotz: 'whsec_testsecret',
};
const bytes = Uint8Array.from([0xff, 0x00, 0xfe, 0x80, 0x41]);

suite('signatures', () => {
  test('of mode are those of the vectors, bytes for bytes', () => {
    const cases: [string | Uint8Array, string][] = [
      ['', '6461b36a0d9ffad4ac81bbec9946626fefbb49e7d8b8f970306327bfb4a1df72'],
      [
        '{"homeId":4567,"timestamp":"2015-06-02T23:07:48.513902477Z","eventType":"counter","eventData":{"cnt":120},"originDeviceId":1234}',
        'd9ab72661054ee87d7a9e4ca2e4a4128d9e2618b3596141271fa0efff3ab9a85',
      ],
      [bytes, '980a8b0f54df55eb524209415087e465e39ed4cbb60df9f9b61e234ebc7e111c'],
    ];
    for (const [body, signature] of cases) {
      assert.deepEqual(sign('mode', body), { 'X-Mode-Signature': signature });
    }
    assert.notEqual(
      sign('mode', bytes)['X-Mode-Signature'],
      'b7db4f6e0c971b22004674acd4fe610e9b1c25c99c3d84b3f6c5603b012aacf5',
      'not over the text of the bytes',
    );
  });

  test("of mode satisfy a receiver that follows MODE's sample", () => {
    const body = '{"eventType":"abc","eventData":{"x":"é"}}';
    const hmac = createHmac('sha256', modeKey);
    hmac.update(url + body);
    assert.equal(sign('mode', body)['X-Mode-Signature'], hmac.digest('hex'));
  });

  test('of biotz are that of the vector, and follow the recipe', () => {
    assert.deepEqual(sign('biotz', '{"alarm":"a1"}', { timestampSeconds: 1492774577 }), {
      'Biotz-IoT-Signature':
        't=1492774577,v1=0f404a62f317747a34a1f18c3a79039ae1afe96c03078e4f6b2a501c81324372',
    });
    const { 'Biotz-IoT-Signature': header = '' } = sign('biotz', bytes, { secrets: ['new', 'old'] });
    const [time, ...given] = header.split(',');
    assert.equal(time, `t=${seconds}`);
    const recipe = (secret: string) =>
      createHmac('sha256', secret)
        .update(Buffer.concat([Buffer.from(`${seconds}.`), bytes]))
        .digest('hex');
    assert.deepEqual(given, [`v1=${recipe('new')}`, `v1=${recipe('old')}`]);
  });

  test("of standard satisfy Standard Webhooks' own library", () => {
    const timestampSeconds = Math.floor(Date.now() / 1000);
    const body = '{"a":"é"}';
    const accepts = (secret: string, by: Partial<Signing>) => {
      const headers = { 'webhook-id': 'msg_1', ...sign('standard', body, { timestampSeconds, ...by }) };
      return new Webhook(secret).verify(body, headers);
    };
    const [fresh, old] = [makeWebhookSecret('standard'), makeWebhookSecret('standard')];
    const bare = Buffer.from('any bytes').toString('base64');
    assert.deepEqual(accepts(fresh, { secrets: [fresh] }), { a: 'é' });
    assert.deepEqual(accepts(bare, { secrets: [bare] }), { a: 'é' });
    assert.deepEqual(accepts(`whsec_${bare}`, { secrets: [bare] }), { a: 'é' });
    assert.deepEqual(accepts(fresh, { secrets: [fresh, old] }), { a: 'é' }, 'while a secret is rotated');
    assert.deepEqual(accepts(old, { secrets: [fresh, old] }), { a: 'é' }, 'while a secret is rotated');
    assert.throws(() => accepts(old, { secrets: [fresh] }));
    assert.throws(() => accepts(fresh, { secrets: [fresh], id: 'msg_2' }));
  });

  test('of standard name time and signature, the newest first', () => {
    const id = 'msg_p5jXN8AQM9LWM0D4loKWxJek';
    const headers = sign('standard', '{"test": 2432232314}', { id, timestampSeconds: 1614265330 });
    // The vector of the libraries of Standard Webhooks.
    assert.deepEqual(headers, {
      'webhook-timestamp': '1614265330',
      'webhook-signature': 'v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=',
    });
    const one = (secret: string) => sign('standard', 'x', { secrets: [secret] })['webhook-signature'];
    const both = sign('standard', 'x', { secrets: ['bmV3', 'b2xk'] })['webhook-signature'];
    assert.equal(both, `${one('bmV3')} ${one('b2xk')}`);
  });

  test('of none are none', () => {
    assert.deepEqual(sign('none', 'x', { secrets: [] }), {});
  });

  test('come out the same, however the body is cut', () => {
    fc.assert(
      fc.property(fc.constantFrom(...signed), fc.array(fc.uint8Array()), (scheme, chunks) => {
        const signer = createSigner(signing(scheme));
        for (const chunk of chunks) signer.update(chunk);
        assert.deepEqual(signer.headers(), sign(scheme, Buffer.concat(chunks)));
      }),
    );
  });

  test('want a key', () => {
    for (const scheme of signed) {
      assert.throws(() => createSigner(signing(scheme, { secrets: [] })), Error, scheme);
      assert.throws(() => createSigner(signing(scheme, { secrets: [''] })), Error, scheme);
    }
    assert.throws(() => createSigner(signing('standard', { secrets: ['whsec_'] })), Error);
  });

  test('have secrets that we make and secrets that users bring', () => {
    for (const scheme of signed) {
      const [one, other] = [makeWebhookSecret(scheme), makeWebhookSecret(scheme)];
      assert.notEqual(one, other);
      assert.match(one, scheme === 'mode' ? /^[A-Za-z0-9]{24}$/ : /^whsec_[A-Za-z0-9+/]{43}=$/);
      assert.equal(secretProblem(scheme, one), null);
    }
    const base64 = (length: number) => Buffer.alloc(length, 7).toString('base64');
    const good: [SignatureScheme, string][] = [
      ['standard', `whsec_${base64(24)}`],
      ['standard', `whsec_${base64(64)}`],
      ['standard', base64(9)],
      ['mode', '6idnnaidkdkdr5zq1838jGV'],
      ['mode', 'x'],
      ['biotz', 'with a space ~'],
      ['biotz', 'x'.repeat(200)],
    ];
    const bad: [SignatureScheme, string][] = [
      ['standard', ''],
      ['standard', 'whsec_'],
      ['standard', `whsec_${base64(23)}`],
      ['standard', `whsec_${base64(65)}`],
      ['standard', 'not base64!'],
      ['standard', base64(25).replaceAll('=', '')],
      ['mode', ''],
      ['mode', 'x'.repeat(201)],
      ['mode', 'a\nb'],
      ['biotz', 'é'],
      ['none', 'x'],
    ];
    for (const [scheme, secret] of good) assert.equal(secretProblem(scheme, secret), null, secret);
    for (const [scheme, secret] of bad) assert.equal(typeof secretProblem(scheme, secret), 'string', secret);
  });
});

suite('verification', () => {
  test('accepts what was signed, in every form that headers and bodies have', () => {
    for (const scheme of signed) {
      for (const body of ['', '{"a":1}', 'é', bytes]) {
        const given = requestOf(scheme, body);
        const expected = { ok: true, id: 'msg_1', timestamp: scheme === 'mode' ? null : new Date(now) };
        const headers = given.headers as Record<string, string>;
        const inCapitals = Object.entries(headers).map(([name, value]) => [name.toUpperCase(), [value]]);
        assert.deepEqual(verifyWebhook(given), expected, scheme);
        assert.deepEqual(verifyWebhook({ ...given, headers: new Headers(headers) }), expected);
        assert.deepEqual(verifyWebhook({ ...given, headers: Object.fromEntries(inCapitals) }), expected);
        if (typeof body === 'string') {
          assert.deepEqual(verifyWebhook({ ...given, body: Buffer.from(body) }), expected);
        }
      }
    }
    assert.deepEqual(verifyWebhook({ scheme: 'none', secret: '', headers: {}, body: 'x' }), {
      ok: true,
      id: null,
      timestamp: null,
    });
  });

  test('accepts what standardwebhooks and the tolerant form of Biotz write', () => {
    const body = '{"a":1}';
    const signature = new Webhook(secrets.standard).sign('msg_1', new Date(now), body);
    const standard = requestOf('standard', body, { 'webhook-signature': `v2,x v1,bad ${signature}` });
    assert.equal(verifyWebhook(standard).ok, true);
    const { 'Biotz-IoT-Signature': header = '' } = sign('biotz', body);
    for (const form of [
      `${header},`,
      header.replace(',', ', '),
      `v0=1,${header.toUpperCase().replace('T=', 't=').replace('V1', 'v1')}`,
    ]) {
      assert.equal(verifyWebhook(requestOf('biotz', body, { 'Biotz-IoT-Signature': form })).ok, true, form);
    }
  });

  test('knows either secret while it is rotated, on either side', () => {
    const two: Record<SignedScheme, [string, string]> = {
      standard: [makeWebhookSecret('standard'), makeWebhookSecret('standard')],
      mode: ['new', 'old'],
      biotz: ['new', 'old'],
    };
    for (const scheme of signed) {
      const [fresh, old] = two[scheme];
      const verify = (signers: string[], known: string | string[]) => {
        const headers = { 'webhook-id': 'msg_1', ...sign(scheme, 'x', { secrets: signers }) };
        return verifyWebhook({ scheme, secret: known, headers, body: 'x', url, now }).ok;
      };
      assert.equal(verify([fresh, old], fresh), true);
      assert.equal(verify([fresh, old], old), scheme !== 'mode', 'mode has room for one signature');
      assert.equal(verify([old], [fresh, old]), true);
      assert.equal(verify([old], fresh), false);
      assert.equal(verify([old], ['', fresh]), false);
    }
  });

  test('refuses what was changed', () => {
    for (const scheme of signed) {
      const good = requestOf(scheme, '{"a":1}');
      const changes: Partial<WebhookRequest>[] = [
        { body: '{"a":2}' },
        { body: '' },
        { secret: `${secrets[scheme].slice(0, -4)}AAAA` },
        { secret: '' },
        { secret: [] },
        { headers: {} },
        { scheme: signed[(signed.indexOf(scheme) + 1) % signed.length] as SignedScheme },
        ...(scheme === 'mode' ? [{ url: `${url}/` }, { url: '' }] : []),
      ];
      for (const change of changes) {
        const verdict = verifyWebhook({ ...good, ...change });
        assert.equal(verdict.ok, false, `${scheme} ${JSON.stringify(change)}`);
        assert.ok('reason' in verdict && verdict.reason);
      }
      for (const name of Object.keys(good.headers)) {
        // What is in no signature may change: only `standard` signs the id.
        const counts = name !== 'webhook-id' || scheme === 'standard';
        const { [name]: value = '', ...others } = good.headers as Record<string, string>;
        assert.equal(verifyWebhook({ ...good, headers: others }).ok, !counts, `${scheme} without ${name}`);
        const changed = { ...others, [name]: `${value.slice(0, -1)}${value.endsWith('0') ? '1' : '0'}` };
        assert.equal(verifyWebhook({ ...good, headers: changed }).ok, !counts, `${scheme} other ${name}`);
      }
    }
  });

  test('keeps to the window, in both directions', () => {
    for (const scheme of ['standard', 'biotz'] as const) {
      const good = requestOf(scheme, 'x');
      const at = (offset: number, more: Partial<WebhookRequest> = {}) =>
        verifyWebhook({ ...good, now: now + offset * 1000, ...more }).ok;
      assert.deepEqual([at(300), at(301), at(-300), at(-301)], [true, false, true, false]);
      assert.deepEqual([at(9, { toleranceSeconds: 10 }), at(11, { toleranceSeconds: 10 })], [true, false]);
      assert.equal(at(0, { toleranceSeconds: Number.NaN }), false);
      assert.equal(verifyWebhook({ ...good, now: Number.NaN }).ok, false);
    }
    assert.equal(verifyWebhook({ ...requestOf('mode', 'x'), now: 0 }).ok, true, 'mode has no time');
  });

  test('never throws, and says yes to nothing that comes by chance', () => {
    const bad: unknown[] = [
      { body: { parsed: true } },
      { body: undefined },
      { headers: undefined },
      { headers: null },
      { headers: { 'webhook-signature': 7, 'x-mode-signature': [], 'biotz-iot-signature': [7] } },
      { secret: undefined },
      { secret: [null] },
      { scheme: 'md5' },
      { scheme: undefined },
      { url: undefined },
    ];
    for (const scheme of signed) {
      for (const change of bad) {
        const given = { ...requestOf(scheme, 'x'), ...(change as Partial<WebhookRequest>) };
        const harmless = scheme !== 'mode' && 'url' in (change as object);
        assert.equal(verifyWebhook(given).ok, harmless, `${scheme} ${JSON.stringify(change)}`);
      }
    }
    const text = fc.string({ unit: 'binary' });
    fc.assert(
      fc.property(fc.constantFrom(...signed), text, text, text, (scheme, a, b, body) => {
        const headers = {
          'webhook-id': a,
          'webhook-timestamp': String(seconds),
          'webhook-signature': `v1,${b}`,
          'x-mode-signature': b,
          'biotz-iot-signature': `t=${seconds},v1=${b}`,
        };
        const secret = secrets[scheme];
        assert.equal(verifyWebhook({ scheme, secret, headers, body, url, now }).ok, false);
      }),
    );
  });

  test("in plain node:crypto, as the example's README shows it, agrees", async () => {
    const path = join(import.meta.dirname, '../examples/receiver/README.md');
    const [, code] = /```js\n([\s\S]+?)```/.exec(readFileSync(path, 'utf8')) ?? [];
    assert.ok(code);
    const shown = await import(`data:text/javascript,${encodeURIComponent(code)}`);
    const verifiers: Record<SignedScheme, (...args: unknown[]) => boolean> = {
      standard: shown.verifyStandard,
      mode: shown.verifyMode,
      biotz: shown.verifyBiotz,
    };
    const timestampSeconds = Math.floor(Date.now() / 1000);
    for (const scheme of signed) {
      const old = scheme === 'standard' ? 'b2xk' : 'old';
      for (const list of scheme === 'mode' ? [[modeKey]] : [[secrets[scheme]], [old, secrets[scheme]]]) {
        const given = sign(scheme, bytes, { timestampSeconds, secrets: list });
        const headers = Object.fromEntries(
          [['webhook-id', 'msg_1'], ...Object.entries(given)].map(([name = '', value]) => [
            name.toLowerCase(),
            value,
          ]),
        );
        const verify = (secret: string, body: Uint8Array) => verifiers[scheme](secret, headers, body, url);
        assert.equal(verify(secrets[scheme], Buffer.from(bytes)), true, scheme);
        assert.equal(verify(secrets[scheme], Buffer.from('x')), false, scheme);
        assert.equal(verify('b3RoZXI=', Buffer.from(bytes)), false, scheme);
      }
      const stale = {
        ...sign(scheme, 'x', { timestampSeconds: timestampSeconds - 400 }),
        'webhook-id': 'msg_1',
      };
      const lower = Object.fromEntries(
        Object.entries(stale).map(([name, value]) => [name.toLowerCase(), value]),
      );
      assert.equal(verifiers[scheme](secrets[scheme], lower, Buffer.from('x'), url), scheme === 'mode');
      assert.equal(verifiers[scheme](secrets[scheme], {}, Buffer.from('x'), url), false, 'no headers');
    }
  });

  test('has every scheme', () => {
    assert.deepEqual([...signatureSchemes], [...signed, 'none']);
  });
});

function signing(scheme: SignatureScheme, more: Partial<Signing> = {}): Signing {
  const own = scheme === 'none' ? [] : [secrets[scheme]];
  return { scheme, secrets: own, id: 'msg_1', timestampSeconds: seconds, url, ...more };
}

function sign(scheme: SignatureScheme, body: string | Uint8Array, more: Partial<Signing> = {}) {
  return signRequest({ ...signing(scheme, more), body });
}

/** A good request, with what it takes to verify it. */
function requestOf(
  scheme: SignedScheme,
  body: string | Uint8Array,
  headers: Record<string, string> = {},
): WebhookRequest {
  const all = { 'webhook-id': 'msg_1', ...sign(scheme, body), ...headers };
  return { scheme, secret: secrets[scheme], headers: all, body, url, now };
}
