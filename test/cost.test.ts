import assert from 'node:assert/strict';
import { join } from 'node:path';
import { DatabaseSync, StatementSync } from 'node:sqlite';
import { after, before, suite, test } from 'node:test';
import { fire, makeDevice, makeStep } from './support/fleet.ts';
import { startServer, type TestServer } from './support/server.ts';
import { waitFor } from './support/wait.ts';

/**
 * What a trigger costs must not grow with the devices that are registered, nor catching up with history. Time is
 * no measure on a busy machine: these tests count statements and rows, and ask SQLite how it finds them.
 */
suite('cost', () => {
  let server: TestServer;
  const meter = { statements: 0, rows: 0, texts: new Set<string>() };
  const { all, run } = StatementSync.prototype;

  before(async () => {
    server = await startServer();
    StatementSync.prototype.all = function (this: StatementSync, ...parameters) {
      const rows = all.apply(this, parameters as never);
      meter.statements += 1;
      meter.rows += rows.length;
      meter.texts.add(this.sourceSQL);
      return rows;
    };
    StatementSync.prototype.run = function (this: StatementSync, ...parameters) {
      meter.statements += 1;
      meter.texts.add(this.sourceSQL);
      return run.apply(this, parameters as never);
    };
  });
  after(async () => {
    Object.assign(StatementSync.prototype, { all, run });
    await server[Symbol.asyncDispose]();
  });

  const measure = async (work: () => Promise<unknown>) => {
    const [statements, rows] = [meter.statements, meter.rows];
    await work();
    return { statements: meter.statements - statements, rows: meter.rows - rows };
  };
  /** Beside what is measured, hints are written once a second: a few statements more or less say nothing. */
  const aFew = 40;

  test('of a trigger is the same with ten devices and with ten thousand', async () => {
    await makeDevice(server, { name: 'first', tags: ['lobby'] });
    await makeStep(server, 'all', 'show_toast', { message: 'x' });
    await makeStep(server, 'fire', 'enable_emergency', { message: 'x' }, { tags: ['lobby'] });
    const triggers = async () => {
      for (let time = 0; time < 50; time += 1) await fire(server, time % 2 ? 'all' : 'fire');
    };
    await triggers();
    const few = await measure(triggers);
    const many = Array.from({ length: 10_000 }, (_, place) => ({ name: `d${place}`, tags: ['lobby'] }));
    assert.equal((await server.api('/devices', { body: many })).status, 201);
    await triggers();
    const more = await measure(triggers);
    assert.ok(Math.abs(more.statements - few.statements) < aFew, JSON.stringify({ few, more }));
    assert.ok(Math.abs(more.rows - few.rows) < aFew, JSON.stringify({ few, more }));
  });

  test('of catching up a device is the same after much history', async () => {
    const { token, id } = await makeDevice(server, { name: 'late', tags: ['late'] });
    await makeStep(server, 'late', 'show_toast', { message: 'x' }, { devices: [id] });
    const connect = async () => {
      const device = await server.device(token);
      // By the time it is answered, whatever it says, all that was sent before has arrived.
      await device.receipt([]);
      await device.applyAll();
      device.disconnect();
      await waitFor(async () => !server.ctx.live.presence.isOnline(id), {
        what: 'the end of the connection',
      });
    };
    await connect();
    const early = await measure(connect);
    for (let time = 0; time < 100; time += 1) await fire(server, 'late');
    await connect();
    const late = await measure(connect);
    assert.ok(Math.abs(late.statements - early.statements) < aFew, JSON.stringify({ early, late }));
    assert.ok(Math.abs(late.rows - early.rows) < aFew, JSON.stringify({ early, late }));
  });

  test('no statement on the way of a trigger, a connection or a receipt reads a whole table', () => {
    const database = new DatabaseSync(join(server.dataDir, 'fleethook.db'), { readOnly: true });
    const growing = /\bSCAN (devices|device_tags|triggers|commands|pulses|receipts|idempotency)\b/;
    const scans: string[] = [];
    for (const text of meter.texts) {
      if (!/^(select|insert|update|delete)/i.test(text)) continue;
      const plan = database.prepare(`explain query plan ${text}`).all() as { detail: string }[];
      for (const { detail } of plan) if (growing.test(detail)) scans.push(`${detail}: ${text}`);
    }
    database.close();
    assert.ok(meter.texts.size > 20, 'nothing was seen');
    assert.deepEqual(scans, []);
  });
});
