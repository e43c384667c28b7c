import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { setImmediate as nextTurn } from 'node:timers/promises';
import type { Outcome, OutgoingRequest } from '../src/domain/delivery/attempt.ts';
import type { ClaimedDelivery } from '../src/domain/delivery/outbound.ts';
import type { Attempt } from '../src/domain/delivery/settle.ts';
import { Fault } from '../src/domain/fault.ts';
import { createLane, type LaneWork } from '../src/outbound/lane.ts';
import { createStock } from '../src/outbound/stock.ts';

const delivery = (id: string, body: Uint8Array | null = null): ClaimedDelivery => ({
  id,
  projectId: 1,
  webhookId: 'webhook',
  eventId: `event of ${id}`,
  attempts: 0,
  orderKey: null,
  event: body && {
    id: `event of ${id}`,
    projectId: 1,
    kind: 'bulk',
    type: null,
    label: 'x',
    deviceId: null,
    origin: {},
    mediaType: 'application/octet-stream',
    body,
    bodyBytes: body.length,
    problem: null,
    at: 0,
  },
});

const numbered = (count: number, first = 0) =>
  Array.from({ length: count }, (_, place) => delivery(String(first + place)));

const answered = (status: number, retryAfterMs: number | null = null): Outcome => ({
  status,
  retryAfterMs,
  error: null,
  isOurs: false,
  remark: null,
  answer: '',
  durationMs: 1,
});

/** A lane between plain functions; requests are answered when the test says so, unless `answers` does at once. */
function startLane(overrides: Partial<LaneWork> = {}) {
  const seen = {
    now: 0,
    /** In flight, oldest first: the id, and how to answer it. */
    posts: [] as { id: string; answer: (outcome: Outcome | null) => void }[],
    posted: [] as string[],
    claims: [] as number[],
    settled: [] as Attempt[],
    givenBack: [] as string[],
    errors: [] as unknown[],
    idle: 0,
    isClosing: false,
  };
  const stock = createStock(1_000);
  const requestOf = ({ id }: ClaimedDelivery): OutgoingRequest => ({
    receiver: id,
    url: id,
    headers: {},
    body: '',
    bodyBytes: 0,
  });
  const lane = createLane({
    claim: async (limit) => {
      seen.claims.push(limit);
      return [];
    },
    prepare: async (claimed) => requestOf(claimed),
    post: ({ url: id }) => {
      seen.posted.push(id);
      return new Promise((resolve) => {
        const post = {
          id,
          answer: (outcome: Outcome | null) => {
            seen.posts.splice(seen.posts.indexOf(post), 1);
            resolve(outcome);
          },
        };
        seen.posts.push(post);
      });
    },
    settle: async (attempt) => void seen.settled.push(attempt),
    giveBack: async (deliveries) => void seen.givenBack.push(...deliveries.map(({ id }) => id)),
    stock,
    now: () => seen.now,
    isClosing: () => seen.isClosing,
    track: (work) => void work.catch((error: unknown) => seen.errors.push(error)),
    onIdle: () => {
      seen.idle += 1;
    },
    ...overrides,
  });
  /** Answers so many of those in flight, and lets the lane go on. */
  async function answer(count: number, outcome: Outcome | null): Promise<void> {
    for (const post of seen.posts.slice(0, count)) post.answer(outcome);
    await nextTurn();
  }
  return { lane, seen, stock, answer };
}

suite('a lane', () => {
  test('has sixteen requests in flight, and starts the next when one is answered', async () => {
    const { lane, seen, stock, answer } = startLane();
    lane.take(numbered(20));
    await nextTurn();
    assert.equal(seen.posts.length, 16);
    assert.equal(lane.capacity(), 1_024 - 4);
    await answer(1, answered(204));
    assert.equal(seen.posts.length, 16);
    assert.equal(seen.posted.at(-1), '16', 'in the order in which they came');
    await answer(16, answered(204));
    await answer(16, answered(204));
    assert.equal(seen.settled.length, 20);
    assert.equal(seen.idle, 1);
    assert.deepEqual([...stock.held], []);
    assert.deepEqual(seen.errors, []);
  });

  test('settles behind: the next request does not wait for what is written, up to a measure', async () => {
    const written: (() => void)[] = [];
    const { lane, seen, stock, answer } = startLane({
      settle: () => new Promise((resolve) => void written.push(resolve)),
    });
    lane.take(numbered(1_000));
    await nextTurn();
    while (seen.posts.length > 0) await answer(16, answered(200));
    assert.ok(seen.posted.length >= 512 && seen.posted.length < 512 + 16, `${seen.posted.length} requests`);
    assert.equal(stock.held.size, 1_000, 'until it is written down it is ours');
    for (const resolve of written.splice(0, 100)) resolve();
    await nextTurn();
    assert.equal(seen.posts.length, 16);
    assert.equal(stock.held.size, 900);
    assert.equal(seen.idle, 0);
  });

  test('claims more before it runs dry, and stops when there is no more', async () => {
    const due = [numbered(256), numbered(3, 256)];
    const limits: number[] = [];
    const { lane, seen, answer } = startLane({
      claim: async (limit) => {
        limits.push(limit);
        return due.shift() ?? [];
      },
    });
    lane.wake();
    await nextTurn();
    assert.deepEqual(limits, [256]);
    assert.equal(lane.capacity(), 0, 'those that come now wait behind those in the database');
    while (limits.length === 1) await answer(1, answered(200));
    assert.equal(seen.posts.length, 16, 'the second claim came while requests were in flight');
    while (seen.posts.length > 0) await answer(16, answered(200));
    assert.equal(seen.settled.length, 259);
    assert.deepEqual(limits, [256, 256]);
    assert.equal(seen.idle, 1);
  });

  test('stops before a dead receiver, gives back what waits, and probes with one', async () => {
    const due = numbered(100, 100);
    const limits: number[] = [];
    const { lane, seen, answer } = startLane({
      claim: async (limit) => {
        limits.push(limit);
        return due.splice(0, limit);
      },
    });
    lane.take(numbered(40));
    await nextTurn();
    await answer(10, answered(500));
    assert.equal(seen.posts.length, 6, 'nothing was started after the tenth failure');
    assert.equal(seen.givenBack.length, 40 - 16);
    await answer(6, answered(500));
    assert.equal(lane.capacity(), 0);
    lane.wake();
    await nextTurn();
    assert.equal(seen.posts.length, 0, 'it pauses');
    assert.deepEqual(limits, []);

    seen.now = 5_000;
    lane.wake();
    await nextTurn();
    assert.deepEqual(limits, [1]);
    assert.equal(seen.posts.length, 1, 'a probe');
    await answer(1, answered(500));
    assert.equal(seen.posts.length, 0);
    seen.now = 15_000;
    lane.wake();
    await nextTurn();
    await answer(1, answered(204));
    await nextTurn();
    assert.equal(limits.at(-1), 256, 'it lives');
    assert.equal(seen.posts.length, 16);
    assert.equal(seen.idle, 0);
  });

  test('gives the receiver the pause it asks for', async () => {
    const { lane, seen, answer } = startLane();
    lane.take(numbered(20));
    await nextTurn();
    await answer(1, answered(429, 60_000));
    assert.equal(seen.posts.length, 15);
    assert.deepEqual(seen.givenBack, ['16', '17', '18', '19']);
    await answer(15, answered(200));
    assert.equal(seen.settled.length, 16);
  });

  test('settles what cannot be sent, and gives back what may not be sent now', async () => {
    const fault = new Fault('bad_request', 'the body is not JSON');
    const { lane, seen, stock } = startLane({
      prepare: async ({ id }) => (id === '0' ? fault : null),
    });
    lane.take(numbered(3));
    await nextTurn();
    assert.deepEqual(
      seen.settled.map(({ delivery: { id }, outcome }) => [id, outcome]),
      [['0', fault]],
    );
    assert.deepEqual(seen.givenBack, ['1', '2']);
    assert.equal(stock.held.size, 0);
    assert.deepEqual(seen.posted, []);
    assert.ok(seen.idle > 0);
  });

  test('gives back what was called off, and starts nothing while the door closes', async () => {
    const { lane, seen, stock, answer } = startLane();
    lane.take(numbered(20));
    await nextTurn();
    seen.isClosing = true;
    await answer(16, null);
    assert.deepEqual(seen.posted.length, 16);
    assert.equal(seen.givenBack.length, 16);
    assert.equal(stock.held.size, 4);
    assert.deepEqual(seen.settled, []);
  });

  test('lets go of what fails on the way, and goes on', async () => {
    const { lane, seen, stock, answer } = startLane({
      prepare: async ({ id }) => {
        if (id === '0') throw new Error('the database is away');
        return { receiver: id, url: id, headers: {}, body: '', bodyBytes: 0 };
      },
    });
    lane.take(numbered(2));
    await nextTurn();
    await answer(1, answered(200));
    assert.deepEqual(
      seen.errors.map((error) => (error as Error).message),
      ['the database is away'],
    );
    assert.deepEqual(
      seen.settled.map((attempt) => attempt.delivery.id),
      ['1'],
    );
    assert.equal(stock.held.size, 0, 'it is a stray now, and found by its node');
  });

  test('claims one at a time while many bodies wait in memory', async () => {
    const limits: number[] = [];
    const { lane, stock } = startLane({
      claim: async (limit) => {
        limits.push(limit);
        return [];
      },
    });
    const large = [delivery('elsewhere', new Uint8Array(1_001))];
    stock.add(large);
    lane.wake();
    await nextTurn();
    stock.draw(large);
    lane.wake();
    await nextTurn();
    assert.deepEqual(limits, [1, 256]);
  });
});
