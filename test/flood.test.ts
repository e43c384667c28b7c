import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { createFlood, createFloods } from '../src/domain/device/flood.ts';

const mebibyte = 1_024 * 1_024;

suite('how fast a device may speak', () => {
  test('a burst of 500 passes, then 100 a second', () => {
    let now = 0;
    const flood = createFlood(() => now);
    const takes = (count: number) => Array.from({ length: count }, () => flood.take()).filter(Boolean).length;
    assert.equal(takes(600), 500);
    now = 1_000;
    assert.equal(takes(600), 100);
    now = 1_000_000;
    assert.equal(takes(600), 500);
  });

  test('64 MiB pass, then 16 MiB a second; what is refused costs nothing', () => {
    let now = 0;
    const flood = createFlood(() => now);
    for (let place = 0; place < 4; place += 1) assert.equal(flood.take(16 * mebibyte), true);
    for (let place = 0; place < 1_000; place += 1) assert.equal(flood.take(mebibyte), false);
    assert.equal(flood.take(0), true);
    now = 1_000;
    assert.equal(flood.take(16 * mebibyte), true);
    assert.equal(flood.take(1), false);
  });

  test('a clock that goes back gives nothing and takes nothing', () => {
    let now = 10_000;
    const flood = createFlood(() => now);
    now = 0;
    assert.equal(flood.take(), true);
  });

  test('each device has its own share', () => {
    const floods = createFloods(() => 0);
    for (let place = 0; place < 500; place += 1) assert.equal(floods.take(1, 0), true);
    assert.equal(floods.take(1, 0), false);
    assert.equal(floods.take(2, 0), true);
  });
});
