import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import {
  type CommandCoverage,
  coverageOf,
  type DeviceCoverage,
  hasEnded,
  summarize,
  waitForCoverage,
} from '../src/domain/command/coverage.ts';
import type { ReceiptStatus } from '../src/domain/device/protocol.ts';
import { createFeed } from '../src/domain/feed.ts';
import type { Command } from '../src/store/command.ts';

const now = 1_000;

const commandOf = (changes: Partial<Command> = {}): Command => ({
  id: 'toast',
  projectId: 1,
  triggerId: null,
  source: null,
  function: 'show_toast',
  slot: null,
  params: {},
  target: { all: true },
  issuedAt: 0,
  expiresAt: now + 1,
  inForce: false,
  canceledAt: null,
  ...changes,
});
const state: Partial<Command> = { function: 'load_url', slot: 'content', expiresAt: null, inForce: true };

/** The coverage of devices that have said so much; a device's number is its place. */
const coverageOfSaid = (said: ReceiptStatus[][], command = commandOf()) =>
  coverageOf(
    command,
    said.map((_, id) => ({ id, name: `device ${id}` })),
    said.flatMap((statuses, deviceId) =>
      statuses.map((status, at) => ({ commandId: command.id, deviceId, status, detail: `said ${at}`, at })),
    ),
    { now, isOnline: (id) => id % 2 === 0 },
  );

/** The coverage of one command by what became of each device. */
const covered = (...statuses: DeviceCoverage['status'][]) => {
  const devices = statuses.map((status, id) => {
    return { id, name: `device ${id}`, online: false, status, detail: null, at: null };
  });
  return { devices } as CommandCoverage;
};

suite('coverage', () => {
  test('a command ends with its time, when it is canceled, and a state when it is replaced', () => {
    const cases: [Partial<Command>, boolean][] = [
      [{}, false],
      [{ expiresAt: now }, true],
      [{ expiresAt: now - 1 }, true],
      [{ canceledAt: 1 }, true],
      [state, false],
      [{ ...state, expiresAt: now + 1 }, false],
      [{ ...state, expiresAt: now }, true],
      [{ ...state, inForce: false }, true],
      [{ ...state, canceledAt: 1 }, true],
    ];
    for (const [changes, ended] of cases)
      assert.equal(hasEnded(commandOf(changes), now), ended, JSON.stringify(changes));
  });

  test('a device counts once, under the most that it has said', () => {
    const said: [ReceiptStatus[], active: DeviceCoverage['status'], ended: DeviceCoverage['status']][] = [
      [[], 'missing', 'expired'],
      [['received'], 'received', 'expired'],
      [['failed'], 'failed', 'failed'],
      [['applied'], 'applied', 'applied'],
      [['received', 'failed'], 'failed', 'failed'],
      [['failed', 'received'], 'failed', 'failed'],
      [['applied', 'failed'], 'applied', 'applied'],
      [['failed', 'applied'], 'applied', 'applied'],
      [['received', 'applied', 'failed'], 'applied', 'applied'],
    ];
    const statuses = said.map(([given]) => given);
    const active = coverageOfSaid(statuses);
    const ended = coverageOfSaid(statuses, commandOf({ expiresAt: now }));
    for (const [place, [given, whileActive, whenEnded]] of said.entries()) {
      const found = [active, ended].map((coverage) => coverage.devices[place]?.status);
      assert.deepEqual(found, [whileActive, whenEnded], given.join());
    }
    const { devices, ...counts } = active;
    assert.deepEqual(counts, {
      targeted: 9,
      online: 5,
      received: 1,
      applied: 4,
      failed: 3,
      expired: 0,
      missing: 1,
    });
    assert.deepEqual([ended.expired, ended.missing, ended.received], [2, 0, 0]);
    const at = (milliseconds: number) => new Date(milliseconds).toISOString();
    assert.deepEqual(devices[0], {
      id: 0,
      name: 'device 0',
      online: true,
      status: 'missing',
      detail: null,
      at: null,
    });
    assert.partialDeepStrictEqual(devices[7], { online: false, detail: 'said 1', at: at(1) });
  });

  test('of several commands, a device has done all of them, failed at one, or is missing', () => {
    const first = covered('applied', 'applied', 'applied', 'received', 'expired');
    const second = covered('applied', 'failed', 'missing', 'applied', 'expired');
    const { missing, ...counts } = summarize([first, second], 100);
    assert.deepEqual(counts, { targeted: 5, applied: 1, failed: 1, reached: false });
    assert.deepEqual(missing, [
      { id: 2, name: 'device 2' },
      { id: 3, name: 'device 3' },
      { id: 4, name: 'device 4' },
    ]);
    assert.equal(summarize([covered(...Array<'missing'>(60).fill('missing'))], 1).missing.length, 50);
  });

  test('a quorum is reached by as many devices as it asks for, and by none where there are none', () => {
    const half = covered('applied', 'applied', 'failed', 'missing');
    const reached = (quorum: number) => summarize([half], quorum).reached;
    assert.deepEqual([49, 50, 51, 100].map(reached), [true, true, false, false]);
    assert.equal(summarize([covered('applied')], 100).reached, true);
    assert.equal(summarize([], 100).reached, true);
  });

  suite('waiting for it', () => {
    const options = { timeout: 3_000 };
    const none = covered('missing');
    const all = covered('applied');

    /** Waits on a feed of its own; each reading answers the next of `readings`, the last again and again. */
    const start = (
      readings: CommandCoverage[],
      { waitMs, signal }: { waitMs: number; signal: AbortSignal },
    ) => {
      const feed = createFeed((error) => assert.fail(String(error)));
      const stop = new AbortController();
      let reads = 0;
      const read = async () => {
        reads += 1;
        assert.ok(reads < 10, 'it does not end');
        return [readings[Math.min(reads, readings.length) - 1] as CommandCoverage];
      };
      const process = {
        nodeId: 'node',
        stopping: stop.signal,
        publicUrl: () => '',
        adminKeyHash: null,
      };
      const hear = (commandId: string) =>
        feed.publish({ kind: 'receipt', projectId: 1, commandId, deviceId: 0, status: 'applied', at: 0 });
      const began = performance.now();
      const answer = waitForCoverage({ feed, process }, read, new Set(['toast']), {
        waitMs,
        quorum: 100,
        signal,
      });
      return {
        answer,
        hear,
        reads: () => reads,
        stop: () => stop.abort(),
        took: () => performance.now() - began,
      };
    };

    test('what is reached is answered at once', options, async ({ signal }) => {
      const { answer, reads } = start([all], { waitMs: 60_000, signal });
      assert.equal((await answer).reached, true);
      assert.equal(reads(), 1);
    });

    test('a receipt of one of the commands ends the pause', options, async ({ signal }) => {
      const { answer, hear, reads, took } = start([none, all], { waitMs: 60_000, signal });
      setImmediate(() => ['another', 'toast', 'toast'].forEach(hear));
      assert.equal((await answer).reached, true);
      assert.equal(reads(), 2);
      assert.ok(took() < 900, `${took()} ms`);
    });

    test('what nobody tells of is looked for again', options, async ({ signal }) => {
      const { answer, hear, reads, took } = start([none, all], { waitMs: 60_000, signal });
      setImmediate(() => hear('another'));
      assert.equal((await answer).reached, true);
      assert.equal(reads(), 2);
      assert.ok(took() >= 990, `${took()} ms`);
    });

    test('it is over when time is up', options, async ({ signal }) => {
      const { answer, took } = start([none], { waitMs: 50, signal });
      assert.equal((await answer).reached, false);
      assert.ok(took() >= 49 && took() < 900, `${took()} ms`);
    });

    test('it is over when the caller is gone, or the server ends', options, async ({ signal }) => {
      const gone = new AbortController();
      const waits = [
        start([none], { waitMs: 60_000, signal: AbortSignal.any([signal, gone.signal]) }),
        start([none], { waitMs: 60_000, signal }),
      ];
      setImmediate(() => {
        gone.abort();
        waits[1]?.stop();
      });
      for (const { answer, took } of waits) {
        assert.equal((await answer).reached, false);
        assert.ok(took() < 900, `${took()} ms`);
      }
    });
  });
});
