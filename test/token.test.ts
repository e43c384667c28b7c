import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { createSeal } from '../src/domain/access/seal.ts';
import { hashToken, isWellFormed, makeToken } from '../src/domain/access/token.ts';
import { firstIdAt, newId } from '../src/domain/id.ts';

suite('tokens, seals and ids', () => {
  test('a token knows itself; any letter changed, cut or added is noticed', () => {
    for (const prefix of ['fhk', 'fhd', 'fhl'] as const) {
      const token = makeToken(prefix);
      assert.match(token, new RegExp(`^${prefix}_[0-9A-Za-z]{38}$`));
      assert.ok(isWellFormed(token, prefix));
      for (let place = prefix.length + 1; place < token.length; place += 1) {
        const other = token[place] === 'a' ? 'b' : 'a';
        assert.ok(
          !isWellFormed(token.slice(0, place) + other + token.slice(place + 1), prefix),
          `place ${place}`,
        );
      }
      for (const wrong of [token.slice(0, -1), `${token}a`, '', prefix, `${prefix}_`]) {
        assert.ok(!isWellFormed(wrong, prefix), wrong);
      }
    }
    assert.ok(!isWellFormed(makeToken('fhk'), 'fhd'));
  });

  test('a hash is SHA-256', () => {
    assert.equal(hashToken('abc'), 'ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad');
  });

  test('what is sealed opens with the same secret and label alone', () => {
    const seal = createSeal('one secret of many');
    const sealed = seal.close('key', 'fhk_secret');
    assert.equal(seal.open('key', sealed), 'fhk_secret');
    assert.notEqual(seal.close('key', 'fhk_secret'), sealed);
    assert.ok(!sealed.includes('secret'));
    assert.throws(() => seal.open('link', sealed));
    assert.throws(() => createSeal('another secret here').open('key', sealed));
    assert.throws(() => seal.open('key', `${sealed.slice(0, -2)}AA`));
    assert.throws(() => seal.open('key', 'nonsense'));
  });

  test('the order of ids is the order of time', () => {
    const ids = Array.from({ length: 10_000 }, () => newId(Date.now()));
    assert.deepEqual([...ids].sort(), ids);
    assert.equal(new Set(ids).size, ids.length);
    const [later, earlier] = [newId(Date.now()), newId(Date.now() - 60_000)];
    assert.ok(later < earlier, 'a clock that goes back does not turn the order round');
    const now = Date.now();
    assert.ok(firstIdAt(now - 1_000) < newId(now) && newId(now) < firstIdAt(now + 60_000));
    assert.match(firstIdAt(0), /^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-8[0-9a-f]{3}-[0-9a-f]{12}$/);
  });
});
