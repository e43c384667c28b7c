/** The client library: what a device says waits until it is stored. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { DeviceError } from '../src/client/device.ts';
import type { StoredAnswer } from '../src/socket/protocol.ts';
import { openDevice, openPeer } from './support/peer.ts';
import { waitFor } from './support/wait.ts';

test('what a device says resolves when it is stored', async () => {
  await using peer = await openPeer({});
  await using opened = openDevice({ url: peer.url });
  const data = { door: 1 };
  const answers = Promise.all([
    opened.device.event('opened', data),
    opened.device.event('closed'),
    opened.device.message({ type: 'reading', payload: [1, { t: 2 }] }),
    opened.device.bulk('photo', new Uint8Array([1, 2, 255])),
  ]);
  data.door = 2; // too late to matter
  assert.deepEqual(
    (await answers).map(({ id }) => id),
    ['stored-1', 'stored-2', 'stored-3', 'stored-4'],
  );
  assert.deepEqual(peer.events, [
    { eventType: 'opened', eventData: { door: 1 } },
    { eventType: 'closed' },
    { type: 'reading', payload: [1, { t: 2 }] },
    { label: 'photo', bytes: [1, 2, 255] },
  ]);
});

test('an event survives a disconnect and refusals that pass, and rejects on one that stays', async () => {
  const answers: Record<string, (StoredAnswer | null)[]> = {
    lost: [null],
    busy: [{ ok: false, error: { code: 'too_many', detail: 'wait' } }],
    wrong: [{ ok: false, error: { code: 'bad_params', detail: 'no such type' } }],
  };
  await using peer = await openPeer({
    event: (type) => {
      const answer = answers[type]?.shift();
      return answer === undefined ? { ok: true, id: type } : answer;
    },
  });
  await using opened = openDevice({ url: peer.url, timing: { answerMs: 30_000 } });
  const lost = opened.device.event('lost');
  await waitFor(() => peer.events.length === 1, { what: 'the event' });
  peer.cut();
  assert.deepEqual(await lost, { id: 'lost' });
  assert.equal(peer.sockets.length, 2);
  assert.deepEqual(await opened.device.event('busy'), { id: 'busy' });
  await assert.rejects(opened.device.event('wrong'), {
    name: 'DeviceError',
    code: 'bad_params',
    detail: 'no such type',
  });
});

test('the queue of what a device says is bounded, and close rejects what is left in it', async () => {
  await using opened = openDevice({ url: 'http://127.0.0.1:1' });
  const waiting = Array.from({ length: 1000 }, (_, index) => opened.device.event('e', { index }));
  await assert.rejects(opened.device.event('one too many'), { code: 'queue_full' });
  await assert.rejects(opened.device.bulk('b', new Uint8Array(17 * 1024 * 1024)), { code: 'too_large' });
  const round: Record<string, unknown> = {};
  round.round = round;
  await assert.rejects(opened.device.event('round', round), { code: 'bad_request' });
  await opened.device.close();
  for (const result of await Promise.allSettled(waiting)) {
    assert.ok(result.status === 'rejected' && result.reason instanceof DeviceError);
    assert.equal(result.reason.code, 'closed');
  }
  await assert.rejects(opened.device.event('after'), { code: 'closed' });
});
