/** Which topics there are, and which are none. */
import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { parseTopic } from '../src/mqtt/topic.ts';

suite('MQTT topics', () => {
  const cases: [string, ReturnType<typeof parseTopic>][] = [
    ['/devices/7/event', { deviceId: 7, what: 'event', name: null }],
    ['devices/7/event', { deviceId: 7, what: 'event', name: null }],
    ['/devices/7/bulkData/video', { deviceId: 7, what: 'bulk', name: 'video' }],
    ['/devices/7/bulkData/a/b', { deviceId: 7, what: 'bulk', name: 'a/b' }],
    ['/devices/7/message', { deviceId: 7, what: 'message', name: null }],
    ['/devices/7/message/climate.room', { deviceId: 7, what: 'message', name: 'climate.room' }],
    ['/devices/7/receipt', { deviceId: 7, what: 'receipt', name: null }],
    ['/devices/7/command', { deviceId: 7, what: 'command', name: null }],
    ['devices/7/state', { deviceId: 7, what: 'state', name: null }],
    ['/devices/07/event', null],
    ['/devices/0/event', null],
    ['/devices/-7/event', null],
    ['/devices/7/event/', null],
    ['//devices/7/event', null],
    ['/devices/7/bulkData', null],
    ['/devices/7/bulkdata/x', null],
    ['/devices/7/kv', null],
    ['/devices/+/command', null],
    ['/devices/7/#', null],
    ['/devices/7/message/#', null],
    ['/devices/12345678901234567890/event', null],
    ['$SYS/x', null],
    ['', null],
  ];
  for (const [topic, expected] of cases)
    test(`"${topic}"`, () => assert.deepEqual(parseTopic(topic), expected));
});
