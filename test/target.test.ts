import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import fc from 'fast-check';
import {
  coversTarget,
  matchesTarget,
  scopesOfDevice,
  scopesOfTarget,
  type Target,
  type Targetable,
} from '../src/domain/device/target.ts';

/** Groups 1 to 6 as a tree: 1 > 2 > 3, 1 > 4, 5 > 6. */
const paths: Record<number, number[]> = { 1: [1], 2: [1, 2], 3: [1, 2, 3], 4: [1, 4], 5: [5], 6: [5, 6] };
const pathOf = (id: number) => paths[id] ?? [id];

const some = <T>(values: fc.Arbitrary<T>) => fc.uniqueArray(values, { minLength: 1, maxLength: 3 });
const groups = fc.integer({ min: 1, max: 6 });
const tags = fc.constantFrom('a', 'b', 'c');
const targets: fc.Arbitrary<Target> = fc.oneof(
  fc.constant({ all: true as const }),
  fc.record({ groups: some(groups) }),
  fc.record({ devices: some(fc.integer({ min: 1, max: 5 })) }),
  fc.record({ tags: some(tags), match: fc.constantFrom('any' as const, 'all' as const) }),
);
const devices: fc.Arbitrary<Targetable> = fc.record({
  id: fc.integer({ min: 1, max: 5 }),
  groupPath: fc.option(groups).map((group) => (group === null ? [] : pathOf(group))),
  tags: fc.uniqueArray(tags).map((list) => new Set(list)),
});

suite('targets', () => {
  test('that cover another match every device the other matches', () => {
    fc.assert(
      fc.property(targets, targets, devices, (wide, narrow, device) => {
        if (!coversTarget(wide, narrow, pathOf) || !matchesTarget(narrow, device)) return;
        assert.ok(matchesTarget(wide, device));
      }),
      { numRuns: 2_000 },
    );
  });

  test('cover themselves, and "all" covers everything', () => {
    fc.assert(
      fc.property(targets, (target) => {
        assert.ok(coversTarget(target, target, pathOf));
        assert.ok(coversTarget({ all: true }, target, pathOf));
      }),
    );
  });

  test('are found by every device they match under one of its scopes', () => {
    fc.assert(
      fc.property(targets, devices, (target, device) => {
        if (!matchesTarget(target, device)) return;
        const own = new Set(scopesOfDevice(device));
        assert.ok(scopesOfTarget(target).some((scope) => own.has(scope)));
      }),
      { numRuns: 2_000 },
    );
  });

  test('of very many ids are filed in one place', () => {
    const many = { devices: Array.from({ length: 5_000 }, (_, place) => place + 1) };
    assert.deepEqual(scopesOfTarget(many), ['all']);
  });
});
