import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, suite, test } from 'node:test';
import { createSightings } from '../src/domain/device/sighting.ts';
import { scopesOfTarget, type Target } from '../src/domain/device/target.ts';
import { newId } from '../src/domain/id.ts';
import {
  type Command,
  deletePulsesBefore,
  insertCommands,
  selectPendingPulses,
  selectTargets,
  updateOutOfForce,
} from '../src/store/command.ts';
import {
  insertDevices,
  type NewDevice,
  selectDevice,
  selectDeviceNames,
  selectDevices,
  selectDevicesById,
} from '../src/store/device.ts';
import { selectDeviceTypesNamed } from '../src/store/device-type.ts';
import { chunksOf, dialectOf, isDuplicate, isTransient } from '../src/store/dialect.ts';
import { insertGroup, selectGroupIds, selectGroupsByName } from '../src/store/group.ts';
import { insertFirstAnswer, selectFirstAnswer } from '../src/store/idempotency.ts';
import { insertKey, type Key, selectKey, selectKeyByHash, selectKeys, updateKey } from '../src/store/key.ts';
import { insertLink, takeLinkUse } from '../src/store/link.ts';
import { migrateDatabase } from '../src/store/migrate.ts';
import { inTransaction, openDatabase } from '../src/store/open.ts';
import { pageQuery } from '../src/store/page.ts';
import { insertProject, type Project, selectProject, selectProjects } from '../src/store/project.ts';
import {
  deleteReceiptsOfCommands,
  insertReceipts,
  type Receipt,
  selectFinished,
  selectReceipts,
  selectReceiptsOfCommands,
} from '../src/store/receipt.ts';
import type { Database, NewRow } from '../src/store/schema.ts';
import { takeNumbers } from '../src/store/sequence.ts';
import { deleteProjectSessions, insertSession } from '../src/store/session.ts';
import { findSetting, keepSetting } from '../src/store/setting.ts';
import { countTargeted, selectTargeted } from '../src/store/target.ts';
import { insertUser, selectUserBySession, type User, updateUser } from '../src/store/user.ts';
import { createDatabase } from './support/mariadb.ts';
import { runFleethook } from './support/process.ts';

const mysqlUrl = process.env.FLEETHOOK_TEST_MYSQL_URL;
const databases = [
  { title: 'SQLite', urlOf: async (folder: string) => `sqlite:${join(folder, 'fleethook.db')}`, skip: false },
  {
    title: 'MariaDB',
    urlOf: () => createDatabase(mysqlUrl ?? ''),
    skip: mysqlUrl ? false : 'there is no MariaDB',
  },
] as const;

const device = (id: number, name: string, projectId = 1): NewDevice => ({
  id,
  projectId,
  groupId: null,
  typeId: null,
  name,
  tags: [],
  metadata: {},
  tokenHash: `hash of ${id}`,
  createdAt: 1,
  connectedAt: null,
  lastSeenAt: null,
  address: null,
  onlineNode: null,
  onlineDoor: null,
});
const pulse = (id: string, target: Target, expiresAt: number, projectId: number): Command => ({
  id,
  projectId,
  triggerId: null,
  source: null,
  function: 'show_toast',
  slot: null,
  params: {},
  target,
  issuedAt: 1,
  expiresAt,
  inForce: false,
  canceledAt: null,
});

for (const { title, urlOf, skip } of databases) {
  suite(`the store on ${title}`, { skip }, () => {
    let folder: string;
    let url: string;
    let db: Database;
    let other: Database;
    before(async () => {
      folder = mkdtempSync(join(tmpdir(), 'fleethook-store-'));
      url = await urlOf(folder);
      db = openDatabase(url);
      // One handle a process is all SQLite can take: a second would wait for the first and keep it from going on.
      other = title === 'SQLite' ? db : openDatabase(url);
      await migrateDatabase(db, url);
    });
    after(async () => {
      await db?.destroy();
      await other?.destroy();
      rmSync(folder, { recursive: true, force: true });
    });
    const project = (id: number) => insertProject(db, { id, name: `Project ${id}`, createdAt: 1 });

    test('a second migration applies nothing', async () => {
      assert.deepEqual(await migrateDatabase(db, url), []);
      assert.deepEqual(await migrateDatabase(other, url), []);
      assert.equal((await selectProject(db, 1))?.name, 'Default');
    });

    test('a transaction that throws leaves nothing, one that returns everything', async () => {
      const make = (id: number, end: () => void) =>
        inTransaction(db, async (tx) => {
          await insertProject(tx, { id, name: `Project ${id}`, createdAt: 1 });
          assert.ok(await selectProject(tx, id), 'seen inside');
          end();
          return id;
        });
      const fail = () => {
        throw new Error('on purpose');
      };
      await assert.rejects(make(100, fail), /on purpose/);
      assert.equal(await selectProject(db, 100), undefined);
      assert.equal(await make(100, () => {}), 100);
      assert.equal((await selectProject(other, 100))?.name, 'Project 100');
    });

    test('a transaction within a transaction is the same one', async () => {
      const work = inTransaction(db, async (tx) => {
        await inTransaction(tx, async (inner) => {
          assert.equal(inner, tx);
          await insertProject(inner, { id: 101, name: 'Project 101', createdAt: 1 });
        });
        throw new Error('on purpose');
      });
      await assert.rejects(work, /on purpose/);
      assert.equal(await selectProject(db, 101), undefined);
    });

    test('a transaction that stood in the way of another is tried again', async () => {
      await keepSetting(db, 'counter', '0');
      const count = (handle: Database) =>
        inTransaction(handle, async (tx) => {
          await tx.updateTable('sequences').set({ next_value: 1 }).where('name', '=', 'none').execute();
          const { value } = await tx
            .selectFrom('settings')
            .select('value')
            .where('name', '=', 'counter')
            .$if(dialectOf(tx).name === 'mysql', (query) => query.forUpdate())
            .executeTakeFirstOrThrow();
          const next = String(Number(value) + 1);
          await tx.updateTable('settings').set({ value: next }).where('name', '=', 'counter').execute();
        });
      await Promise.all(Array.from({ length: 10 }, (_, place) => count(place % 2 ? db : other)));
      assert.equal(await findSetting(db, 'counter'), '10');
    });

    test('a duplicate is told apart from other failures', async () => {
      await project(110);
      const wrong: [Project, boolean][] = [
        [{ id: 110, name: 'another', createdAt: 1 }, true],
        [{ id: 111, name: 'Project 110', createdAt: 1 }, true],
        [{ id: 112, name: null as unknown as string, createdAt: 1 }, false],
      ];
      for (const [row, duplicate] of wrong) {
        await assert.rejects(insertProject(db, row), (error) => {
          assert.deepEqual([isDuplicate(error), isTransient(error)], [duplicate, false]);
          return true;
        });
      }
      for (const nothing of [undefined, null, 'text', new Error('x')])
        assert.equal(isDuplicate(nothing), false);
    });

    test('numbers are given once, however many ask at the same time', async () => {
      const take = (place: number) => takeNumbers(place % 2 ? db : other, 'device', 10);
      const firsts = await Promise.all(Array.from({ length: 20 }, (_, place) => take(place)));
      const sorted = firsts.toSorted((one, next) => one - next);
      assert.deepEqual(
        sorted,
        sorted.map((_, place) => (sorted[0] ?? 0) + place * 10),
      );
      const taken = inTransaction(db, async (tx) => {
        await takeNumbers(tx, 'device', 10);
        throw new Error('on purpose');
      });
      await assert.rejects(taken, /on purpose/);
      assert.equal(await takeNumbers(other, 'device', 1), (sorted.at(-1) ?? 0) + 10);
    });

    test('a setting is kept by whoever comes first', async () => {
      const kept = await Promise.all(
        [db, other, db].map((each, place) => keepSetting(each, 'first', `${place}`)),
      );
      assert.equal(new Set(kept).size, 1);
      assert.equal(await keepSetting(db, 'first', 'late'), kept[0]);
      assert.equal(await findSetting(db, 'none'), null);
    });

    test('text is compared byte by byte, and comes back as it was', async () => {
      await project(120);
      const names = [
        'Evac',
        'evac',
        'évac',
        'e\u0301vac',
        'EVAC',
        'Straße',
        'Strasse',
        '🚨',
        '🚒',
        'ﬁre',
        'fire',
      ];
      for (const [place, name] of names.entries()) {
        await insertGroup(db, {
          id: 1_200 + place,
          projectId: 120,
          parentId: null,
          name,
          path: [1_200 + place],
          createdAt: 1,
        });
      }
      for (const name of names) {
        const found = await selectGroupsByName(other, 120, [name]);
        assert.deepEqual(
          found.map((row) => row.name),
          [name],
        );
      }
    });

    test('numbers come back as numbers, also large ones', async () => {
      const createdAt = 8_640_000_000_000_000;
      await insertProject(db, { id: 9_007_199_254_740_991, name: 'Largest', createdAt });
      const row = await selectProject(other, 9_007_199_254_740_991);
      assert.deepEqual([row?.id, row?.createdAt], [9_007_199_254_740_991, createdAt]);
      await db.deleteFrom('projects').where('id', '=', 9_007_199_254_740_991).execute();
    });

    test('a list is read in pages, each item once', async () => {
      for (let id = 130; id < 137; id += 1) await project(id);
      const seen: number[] = [];
      let cursor: string | undefined;
      do {
        const page = await selectProjects(db, pageQuery({ limit: 2, cursor }));
        assert.ok(page.items.length <= 2);
        seen.push(...page.items.map((row) => row.id));
        cursor = page.next_cursor ?? undefined;
      } while (cursor);
      const whole = await selectProjects(db, pageQuery({ limit: 10_000 }));
      assert.deepEqual(
        seen,
        whole.items.map((row) => row.id),
      );
      assert.equal(whole.next_cursor, null);
    });

    test('many devices at once, with their tags; targets find them', async () => {
      await project(140);
      const devices = Array.from({ length: 2_500 }, (_, place) => ({
        ...device(140_000 + place, `d${place}`, 140),
        tags: place % 500 === 0 ? ['few', 'all'] : ['all'],
      }));
      await insertDevices(db, devices);
      const find = async (target: Target) => (await selectTargeted(other, 140, target, 10_000)).length;
      assert.equal(await find({ all: true }), 2_500);
      assert.equal(await find({ tags: ['all', 'few'], match: 'all' }), 5);
      assert.equal(await find({ tags: ['few', 'none'], match: 'any' }), 5);
      assert.equal(await find({ tags: ['few', 'none'], match: 'all' }), 0);
      assert.equal(await find({ devices: devices.map(({ id }) => id) }), 2_500);
      assert.equal((await selectTargeted(other, 141, { all: true }, 10)).length, 0);
      const page = await selectDevices(db, 140, { text: 'd249' }, pageQuery({}));
      assert.deepEqual(
        page.items.map((row) => row.name),
        ['d249', ...Array.from(Array(10), (_, n) => `d249${n}`)],
      );
      assert.deepEqual((await selectDevice(db, 140, 140_500))?.tags, ['all', 'few']);
      const read = await selectDevicesById(
        other,
        140,
        devices.map(({ id }) => id),
      );
      assert.deepEqual(
        read.map(({ tags }) => tags.length),
        devices.map(({ tags }) => tags.length),
      );
      const twice = insertDevices(db, [device(150_000, 'new', 140), device(150_001, 'd7', 140)]);
      await assert.rejects(twice, isDuplicate);
      assert.equal(await selectDevice(db, 140, 150_000), undefined);
    });

    test('a target is counted and listed whatever it names, up to its limits', async () => {
      await project(145);
      const places = Array.from({ length: 10_000 }, (_, place) => place);
      const groupOf = (place: number) => 145_000 + place;
      const idOf = (place: number) => 165_000 + place;
      const tag = (place: number) => `t${place % 50}`;
      // Every other group is below the one before it.
      const groups = places.map((place): NewRow<'groups'> => {
        const id = groupOf(place);
        const path = place % 2 ? `/${id - 1}/${id}/` : `/${id}/`;
        return {
          id,
          project_id: 145,
          parent_id: place % 2 ? id - 1 : 0,
          name: `g${place}`,
          path,
          created_at: 1,
        };
      });
      for (const chunk of chunksOf(db, groups)) await db.insertInto('groups').values(chunk).execute();
      const every = places.slice(0, 50).map(tag);
      const devices = places.map((place) => ({
        ...device(idOf(place), `d${place}`, 145),
        groupId: groupOf(place),
        tags: place === 0 ? every : [tag(place)],
      }));
      await insertDevices(db, devices);
      const targets: [Target, number][] = [
        [{ groups: places.map(groupOf) }, 10_000],
        [{ groups: places.filter((place) => place % 2 === 0).map(groupOf) }, 10_000],
        [{ groups: places.filter((place) => place % 2 === 1).map(groupOf) }, 5_000],
        [{ groups: [groupOf(0)] }, 2],
        [{ groups: [groupOf(1), 1] }, 1],
        [{ groups: [1] }, 0],
        [{ devices: places.map(idOf) }, 10_000],
        [{ tags: every, match: 'any' }, 10_000],
        [{ tags: every, match: 'all' }, 1],
      ];
      for (const [target, count] of targets) {
        const shown = JSON.stringify(target).slice(0, 40);
        assert.equal(await countTargeted(other, 145, target), count, shown);
        assert.equal((await selectTargeted(other, 145, target)).length, count, shown);
        assert.equal((await selectTargeted(other, 145, target, 1)).length, Math.min(count, 1), shown);
        assert.equal(await countTargeted(other, 144, target), 0, shown);
      }
    });

    test('there may be more ids than a statement takes', async () => {
      const ids = Array.from({ length: 70_000 }, (_, place) => 1_000_000 + place);
      assert.deepEqual(await selectDevicesById(db, 1, ids), []);
      assert.deepEqual(
        [(await selectDeviceNames(db, 1, ids)).size, (await selectGroupIds(db, 1, ids)).size],
        [0, 0],
      );
      for (const filter of [{ ids }, { notIds: ids }]) await selectDevices(db, 1, filter, pageQuery({}));
      assert.equal((await selectTargets(db, 1, ids.map(String))).size, 0);
      assert.equal((await selectFinished(db, 1, ids.map(String))).size, 0);
      assert.deepEqual(await selectReceiptsOfCommands(db, ids.map(String)), []);
      assert.deepEqual(await selectDeviceTypesNamed(db, 1, ids.map(String)), []);
      await deleteReceiptsOfCommands(db, ids.map(String));
    });

    test('more pulses may be pending than a statement takes', async () => {
      await project(146);
      const pulses = Array.from({ length: 40_000 }, (_, place) =>
        pulse(`pulse ${String(place).padStart(5, '0')}`, { all: true }, 100, 146),
      );
      await insertCommands(db, pulses, scopesOfTarget);
      const pending = await selectPendingPulses(other, 146, ['all'], { id: 1, finalWhenReceived: [] }, 50);
      assert.deepEqual(
        pending.map(({ id }) => id),
        pulses.map(({ id }) => id),
      );
      await deletePulsesBefore(db, 101);
    });

    test('who was seen is written in steps, and others have their turn between them', async () => {
      await project(150);
      const ids = Array.from({ length: 2_500 }, (_, place) => 180_000 + place);
      await insertDevices(
        db,
        ids.map((id) => device(id, `d${id}`, 150)),
      );
      const sightings = createSightings(newId(Date.now()));
      for (const id of ids) sightings.deviceSeen(id, { lastSeenAt: 5, address: '::1' });
      sightings.deviceSeen(180_000, { lastSeenAt: 7, connectedAt: 6 });
      let turns = 0;
      const count = () => {
        turns += 1;
        immediate = setImmediate(count);
      };
      let immediate = setImmediate(count);
      await sightings.flush(db);
      clearImmediate(immediate);
      assert.ok(turns >= 2, `${turns} turns`);
      const [first, ...others] = await selectDevicesById(other, 150, ids);
      assert.deepEqual([first?.lastSeenAt, first?.connectedAt, first?.address], [7, 6, '::1']);
      assert.ok(others.every((each) => each.lastSeenAt === 5 && each.connectedAt === null));
    });

    test('a receipt that is said twice is one', async () => {
      await project(160);
      const [id, another] = [newId(Date.now()), newId(Date.now())];
      await insertDevices(db, [device(160_000, 'one', 160)]);
      const receipt = (status: Receipt['status'], at: number) => {
        return { commandId: id, deviceId: 160_000, status, detail: null, at };
      };
      await insertReceipts(db, [receipt('received', 1), receipt('received', 2), receipt('applied', 3)]);
      await Promise.all([db, other].map((each) => insertReceipts(each, [receipt('applied', 4)])));
      const { items } = await selectReceipts(db, id, pageQuery({}));
      assert.deepEqual(
        items.map((said) => [said.status, said.at, said.deviceName]),
        [
          ['applied', 3, 'one'],
          ['received', 1, 'one'],
        ],
      );
      assert.deepEqual(await selectFinished(db, 160_000, [id, another]), new Set([id]));
      assert.deepEqual(await selectFinished(db, 160_001, [id]), new Set());
    });

    test('pending are the pulses for a device that it has not finished and that have not ended', async () => {
      await project(170);
      const ids = Array.from({ length: 6 }, newId);
      const [applied, received, ended, twice, foreign, late] = ids as [
        string,
        string,
        string,
        string,
        string,
        string,
      ];
      const pulses = [
        pulse(applied, { all: true }, 100, 170),
        pulse(received, { all: true }, 100, 170),
        pulse(ended, { all: true }, 50, 170),
        pulse(twice, { tags: ['a', 'b'], match: 'any' }, 100, 170),
        pulse(foreign, { all: true }, 100, 171),
        pulse(late, { groups: [7, 8] }, 51, 170),
      ];
      await insertCommands(db, pulses, scopesOfTarget);
      const says = (commandId: string, status: Receipt['status'], deviceId = 1) => {
        return { commandId, deviceId, status, detail: null, at: 1 };
      };
      await insertReceipts(db, [
        says(applied, 'failed'),
        says(received, 'received'),
        says(twice, 'applied', 2),
      ]);
      const pending = async (scopes: string[], deviceId = 1) =>
        (
          await selectPendingPulses(
            other,
            170,
            scopes,
            { id: deviceId, finalWhenReceived: ['restart_device'] },
            50,
          )
        ).map(({ id }) => id);
      assert.deepEqual(await pending(['all', 'tag:a', 'tag:b', 'group:7']), [received, twice, late].sort());
      assert.deepEqual(await pending(['all', 'tag:a'], 2), [applied, received]);
      assert.deepEqual(await pending(['group:9']), []);
    });

    test('a link is used as often as it may be, however many try', async () => {
      const id = newId(Date.now());
      await insertLink(db, {
        id,
        projectId: 1,
        eventId: 'evac',
        tokenHash: id,
        tokenSealed: '',
        payload: {},
        expiresAt: 100,
        maxUses: 3,
        uses: 0,
        createdAt: 1,
      });
      const uses = Array.from({ length: 10 }, (_, place) => takeLinkUse(place % 2 ? db : other, id, 99));
      assert.equal((await Promise.all(uses)).filter(Boolean).length, 3);
      assert.equal(await takeLinkUse(db, newId(Date.now()), 99), false);
    });

    test('a change leaves alone what it does not name, and none at all is no statement', async () => {
      const id = newId(Date.now());
      const key: Key = {
        id,
        projectId: 180,
        name: 'panel',
        prefix: 'fhk_',
        hash: id,
        secretSealed: '',
        scopes: ['trigger', 'read'],
        eventIds: ['evac'],
        allowedIps: null,
        expiresAt: 100,
        enabled: true,
        lastUsedAt: null,
        createdAt: 1,
      };
      await project(180);
      await insertKey(db, key);
      await updateKey(db, id, {});
      await updateKey(db, id, { name: undefined, enabled: undefined });
      assert.deepEqual(await selectKey(other, 180, id), key);
      await updateKey(db, id, { name: undefined, eventIds: null, allowedIps: ['::1'], enabled: false });
      const changed = { ...key, eventIds: null, allowedIps: ['::1'], enabled: false };
      assert.deepEqual(await selectKeyByHash(other, id), changed);
      assert.deepEqual((await selectKeys(other, 180, pageQuery({}))).items, [changed]);
      assert.equal(await selectKey(other, 181, id), undefined);
    });

    test('the sessions of a project go, those of others stay', async () => {
      const users = [190, 191].map((projectId): User => {
        const id = newId(Date.now());
        const facts = { email: `${id}@example.org`, name: 'Ada', role: 'viewer' as const, enabled: true };
        return { ...facts, id, projectId, passwordHash: '', lastLoginAt: null, createdAt: 1 };
      });
      for (const user of users) {
        await project(user.projectId);
        await insertUser(db, user);
        await insertSession(db, { hash: user.id, userId: user.id, expiresAt: 100, createdAt: 1 });
      }
      const [gone, stays] = users as [User, User];
      assert.deepEqual(await selectUserBySession(other, gone.id, 99), gone);
      await deleteProjectSessions(db, 190);
      assert.equal(await selectUserBySession(other, gone.id, 99), undefined);
      assert.deepEqual(await selectUserBySession(other, stays.id, 99), stays);
      assert.equal(await selectUserBySession(other, stays.id, 100), undefined);
      await updateUser(db, stays.id, { enabled: false });
      assert.equal(await selectUserBySession(other, stays.id, 99), undefined);
    });

    test('what changes nothing counts as found, and an empty list is no statement', async () => {
      await updateOutOfForce(db, []);
      await insertCommands(db, [], scopesOfTarget);
      await insertReceipts(db, []);
      const id = newId(Date.now());
      const first = { caller: 'key 1', key: id, callHash: 'h', triggerId: id, answer: { told: [1] } };
      await insertFirstAnswer(db, { ...first, createdAt: 5 });
      await insertFirstAnswer(other, { ...first, createdAt: 7 });
      assert.deepEqual(await selectFirstAnswer(db, 'key 1', id, 7), { ...first, createdAt: 7 });
      assert.equal(await selectFirstAnswer(db, 'key 1', id, 8), undefined);
      assert.equal(await selectFirstAnswer(db, 'key 2', id, 0), undefined);
      const same = await db.updateTable('projects').set({ id: 1 }).where('id', '=', 1).executeTakeFirst();
      assert.equal(same.numUpdatedRows, 1n);
    });
  });

  suite(`processes that start together on ${title}`, { skip }, () => {
    test('migrate a fresh database once', async (t) => {
      const folder = mkdtempSync(join(tmpdir(), 'fleethook-store-'));
      t.after(() => rmSync(folder, { recursive: true, force: true }));
      const env = {
        DATA_DIR: folder,
        DATABASE_URL: await urlOf(folder),
        FLEETHOOK_SECRET: 'the same for every process',
      };
      const runs = await Promise.all(Array.from({ length: 3 }, () => runFleethook(['migrate'], env)));
      const said = runs.map((run) => run.said);
      assert.deepEqual(
        runs.map((run) => run.code),
        [0, 0, 0],
        said.join(),
      );
      assert.equal(said.filter((text) => text.includes('applied: 0001-initial')).length, 1, said.join());
      assert.equal(said.filter((text) => text.includes('up to date')).length, 2, said.join());
      const again = await runFleethook(['migrate'], env);
      assert.deepEqual(again, { code: 0, said: 'the schema is up to date\n' });
    });
  });
}
