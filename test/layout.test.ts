/**
 * The rules of the house that the linter (biome.json) can't know, read from the sources. A rule is a function from
 * the sources to what breaks it; the last suites feed every rule, and the linter, a small house that breaks it, so a
 * rule that has gone blind is noticed.
 */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, dirname, join, posix } from 'node:path';
import { suite, test } from 'node:test';

/**
 * Which floor may import which, the same table as in src/README.md. Within its own floor a file may import what
 * it likes. "(types)" allows `import type`; "(pure types)" also wants the other file to be no room: one that knows
 * neither store nor context.
 */
const importTable = `
| from      | may import |
| --------- | ---------- |
| main.ts | cli.ts |
| cli.ts | app.ts, config.ts, log.ts, domain, fleet |
| app.ts | config.ts, data-dir.ts, log.ts, loop.ts, http, socket, mqtt, outbound, domain, store |
| http, socket, mqtt, outbound | domain, log.ts, loop.ts, network.ts, config.ts (types) |
| domain | store, batch.ts, network.ts, log.ts (types) |
| store | db, domain/json.ts, domain (pure types) |
| db | store/dialect.ts, store/schema.ts (types) |
| client | domain/device/state.ts, domain/webhook/signature.ts, socket/protocol.ts |
| fleet | client, app.ts, config.ts, domain |
| config.ts | log.ts, network.ts |
| log.ts, loop.ts, batch.ts, network.ts, data-dir.ts | log.ts (types) |
`;

/** Every dependency has a home, and nobody else imports it, not even its types. */
const packageHomes: Record<string, string> = {
  '@remix-run/multipart-parser': 'domain',
  '@rgrove/parse-xml': 'domain',
  aedes: 'mqtt',
  ajv: 'domain, http',
  'ajv-formats': 'domain, http',
  commander: 'cli.ts',
  cors: 'http',
  'csv-parse': 'http',
  express: 'http',
  'express-rate-limit': 'http',
  helmet: 'http',
  'js-yaml': 'http',
  json5: 'domain',
  kysely: 'store, db',
  mysql2: 'store',
  pino: 'log.ts',
  'prom-client': 'http',
  'proxy-addr': 'http',
  re2js: 'domain',
  'socket.io': 'socket',
  'socket.io-client': 'client',
  'socket.io-parser': 'socket',
  'swagger-ui-dist': 'http',
  undici: 'outbound',
  ws: 'mqtt',
  zod: 'domain, config.ts',
};

/** The rooms of src/domain in their order: a room may import those before it. */
const rooms = ['access', 'device', 'command', 'trigger', 'event', 'alarm', 'webhook', 'delivery', 'intake'];
/** Of the root of src/domain these alone may look into rooms, by type. */
const seams = ['context.ts', 'jobs.ts', 'feed.ts'];

const root = join(import.meta.dirname, '..');
const filesMax = 25;
/** A file a table. */
const largeFolder = 'src/store';
/** Where a noun that outgrew one file may be a folder of its own name, below its floor. */
const floorsWithFolders = ['http', 'domain', 'store'];

type Import = { specifier: string; typesOnly: boolean; line: number };
/** `path` is from the root of the repository, with "/"; `text` is without comments. */
type Source = { path: string; text: string; imports: Import[] };
type House = readonly Source[];
type Rule = (house: House) => string[];

const rules = {
  'arrows go one way': wrongArrows,
  'rooms stand in one order': roomsAgainstOrder,
  'packages stay in their home': strayPackages,
  'every table has one writer': secondWriters,
  'rooms have no calendar and no network of their own': impureRooms,
  'rooms speak of no rows': rowsInRooms,
  'there are no classes but Fault and what is thrown to users of the client': classes,
  'files are where and what their names say': wrongNames,
  'no folder is a heap': heaps,
} satisfies Record<string, Rule>;
const ruleNames = Object.keys(rules) as (keyof typeof rules)[];

// ---------------------------------------------------------------------------------------------- rules

function wrongArrows(house: House): string[] {
  const table = parseTable(importTable);
  return house.flatMap((source) => {
    const from = placeOf(source.path);
    const allowed = table.get(from);
    if (!allowed) return [`${source.path}: "${from}" has no row in the import table`];
    return source.imports.flatMap((imported) => {
      const target = targetOf(source, imported);
      if (!target || target.endsWith('.json') || placeOf(target) === from) return [];
      if (allowed.some((entry) => allows(entry, target, imported, house))) return [];
      return [`${source.path}:${imported.line} ${from} may not import ${target}`];
    });
  });
}

function allows(entry: string, target: string, imported: Import, house: House): boolean {
  const [, place = '', condition] = /^(\S+)(?: \((.+)\))?$/.exec(entry) ?? [];
  const address = target.replace(/^src\//, '');
  if (address !== place && !address.startsWith(`${place}/`)) return false;
  if (!condition) return true;
  if (!imported.typesOnly) return false;
  return condition === 'types' || !isRoom(house.find(({ path }) => path === target));
}

function isRoom(source: Source | undefined): boolean {
  return !!source?.imports.some(
    (imported) => /(^|\/)context\.ts$/.test(imported.specifier) || imported.specifier.includes('/store/'),
  );
}

/** What a row allows and none of its places imports. */
function unusedPermissions(house: House, markdown: string): string[] {
  const rows = Map.groupBy(parseTable(markdown), ([, entries]) => entries);
  return [...rows].flatMap(([entries, row]) => {
    const places = row.map(([place]) => place);
    const imports = house
      .filter(({ path }) => places.includes(placeOf(path)))
      .flatMap((source) =>
        source.imports
          .map((imported) => ({ imported, target: targetOf(source, imported) }))
          // What lies within one place needs no permission.
          .filter(({ target }) => target && placeOf(target) !== placeOf(source.path)),
      );
    return entries
      .filter(
        (entry) => !imports.some(({ imported, target }) => allows(entry, target ?? '', imported, house)),
      )
      .map((entry) => `${places.join(', ')}: nobody imports ${entry}`);
  });
}

function roomsAgainstOrder(house: House): string[] {
  const roomOf = (path: string) => /^src\/domain\/([^/]+)\//.exec(path)?.[1];
  return house.flatMap((source) => {
    if (!source.path.startsWith('src/domain/')) return [];
    const own = roomOf(source.path);
    if (own !== undefined && !rooms.includes(own)) return [`${source.path}: "${own}" is no room`];
    return source.imports.flatMap((imported) => {
      const target = targetOf(source, imported);
      const other = target?.startsWith('src/domain/') ? roomOf(target) : undefined;
      if (other === undefined || other === own) return [];
      const isAllowed =
        own === undefined
          ? imported.typesOnly && seams.includes(basename(source.path))
          : rooms.indexOf(other) < rooms.indexOf(own);
      return isAllowed
        ? []
        : [`${source.path}:${imported.line} ${own ?? 'the root'} may not import ${other}`];
    });
  });
}

function strayPackages(house: House): string[] {
  return house.flatMap((source) =>
    source.imports.flatMap(({ specifier, line }) => {
      if (specifier.startsWith('.') || specifier.startsWith('node:')) return [];
      const name = specifier.split('/', specifier.startsWith('@') ? 2 : 1).join('/');
      const homes = packageHomes[name]?.split(', ');
      if (!homes) return [`${source.path}:${line} ${name} has no home`];
      return homes.includes(placeOf(source.path)) ? [] : [`${source.path}:${line} ${name} lives in ${homes}`];
    }),
  );
}

function secondWriters(house: House): string[] {
  const writing = /\.\s*(?:insertInto|replaceInto|updateTable|deleteFrom|mergeInto)\(\s*\[?\s*['"`](\w+)/g;
  const writes = house
    .filter(({ path }) => placeOf(path) !== 'db')
    .flatMap(({ path, text }) => Array.from(text.matchAll(writing), ([, table = '']) => ({ path, table })));
  const isInside = ({ path }: { path: string }) => placeOf(path) === 'store';
  const writers = Map.groupBy(writes.filter(isInside), ({ table }) => table);
  return [
    ...writes
      .filter((write) => !isInside(write))
      .map(({ path, table }) => `${path} writes "${table}" outside of the store`),
    ...Array.from(writers, ([table, of]) => ({ table, paths: [...new Set(of.map(({ path }) => path))] }))
      .filter(({ paths }) => paths.length > 1)
      .map(({ table, paths }) => `"${table}" is written by ${paths.join(' and ')}`),
  ];
}

/** `node:net` is not named: its checks of addresses are pure. */
function impureRooms(house: House): string[] {
  const calendar = /\bDate\.now\b|\bnew Date\(\s*\)|(?<![.\w])fetch\(/g;
  const network = /\bfrom 'node:(?:https?|http2|tls|dgram|dns|fs|child_process)\b/g;
  const inRooms = house.filter(({ path }) => placeOf(path) === 'domain');
  return [...matches(inRooms, calendar), ...matches(inRooms, network)];
}

/** Columns are decoded in the cellar. */
function rowsInRooms(house: House): string[] {
  const row = /\b(?:New)?Row<|\b\w+_json\b|\? 1 : 0\b|(?<!\b(?:length|size|id)) === 1\b/g;
  const schema = /(?<=\bimport type \{)(?!( (Db|Database),?)+ \})[^}]*\} from '[^']*\/store\/schema\.ts'/g;
  const inRooms = house.filter(({ path }) => placeOf(path) === 'domain');
  return [...matches(inRooms, row), ...matches(inRooms, schema)];
}

function classes(house: House): string[] {
  const allowed = /^src\/domain\/fault\.ts:\d+ class Fault |^src\/client\/\S+ class \w+ extends Error$/;
  return matches(
    house,
    /(?<=^\s*(?:export )?|[=(,] ?|return )(?:abstract )?class(?: [\w$][^:;{(]*)?\s*(?=\{)/gm,
  ).filter((found) => !allowed.test(found));
}

function wrongNames(house: House): string[] {
  const drawer = /(?:^|-)(?:utils?|helpers?|managers?|services?)$/;
  return house.flatMap(({ path }) => {
    const parts = path.replace(/^src\/|\.ts$/g, '').split('/');
    const depth = parts.length - 1;
    const depthMax = path.startsWith('db/') || floorsWithFolders.includes(parts[0] ?? '') ? 2 : 1;
    return [
      ...parts
        .filter((part) => drawer.test(part))
        .map((part) => `${path}: "${part}" is a drawer, not a noun`),
      ...(basename(path) === 'index.ts' && path !== 'db/migrations/index.ts' ? [`${path}: a barrel`] : []),
      ...(depth > depthMax ? [`${path}: ${depth} folders deep, ${depthMax} is the most here`] : []),
    ];
  });
}

function heaps(house: House): string[] {
  return [...Map.groupBy(house, ({ path }) => dirname(path))]
    .filter(([folder, files]) => folder !== largeFolder && files.length > filesMax)
    .map(([folder, files]) => `${folder}: ${files.length} files, ${filesMax} is the most`);
}

/** `paths` below test/. What does not match here is a test that nobody would notice is never run. */
function strayTests(paths: readonly string[]): string[] {
  return paths
    .filter((path) => /[._-](?:test|tests|spec)\.[a-z]+$/.test(path))
    .filter((path) => !/^test\/[a-z0-9]+(?:-[a-z0-9]+)*\.test\.ts$/.test(path));
}

// ---------------------------------------------------------------------------------------------- reading

function readHouse(...folders: string[]): House {
  return folders
    .flatMap(listFiles)
    .filter((path) => /\.(?:ts|tsx|mts|cts)$/.test(path))
    .map((path) => readSource(path, readFileSync(join(root, path), 'utf8')));
}

function listFiles(folder: string): string[] {
  const entries = readdirSync(join(root, folder), { recursive: true, withFileTypes: true });
  return entries
    .filter((entry) => entry.isFile())
    .map((entry) =>
      join(entry.parentPath, entry.name)
        .slice(root.length + 1)
        .replaceAll('\\', '/'),
    )
    .sort();
}

type Package = Record<string, Record<string, string>>;

function readPackage(folder: string): Package {
  return JSON.parse(readFileSync(join(root, folder, 'package.json'), 'utf8'));
}

/** What the server runs on stands in src; the package around it is what others install. */
function readPackages(): Package {
  const [outer, inner] = [readPackage('.'), readPackage('src')];
  const both = (name: string) => [name, { ...outer[name], ...inner[name] }] as const;
  return Object.fromEntries(['dependencies', 'devDependencies', 'optionalDependencies'].map(both));
}

/** The floor, or the file when it stands on no floor: "domain", "main.ts", "db". */
function placeOf(path: string): string {
  return path.replace(/^src\//, '').split('/', 1)[0] ?? '';
}

/** Null for a package. */
function targetOf(source: Source, { specifier }: Import): string | null {
  return specifier.startsWith('.') ? posix.join(dirname(source.path), specifier) : null;
}

/** The first Markdown table of `markdown`: place -> what it may import. */
function parseTable(markdown: string): Map<string, string[]> {
  const [, table = ''] = /((?:^ *\|.*\| *\n)+)/m.exec(`${markdown}\n`) ?? [];
  const rows = table.trim().split('\n').slice(2);
  return new Map(
    rows.flatMap((row) => {
      const [, from = '', allowed = ''] = row
        .replaceAll('`', '')
        .split('|')
        .map((cell) => cell.trim());
      const entries = allowed.split(/,\s*/).filter(Boolean).sort();
      return from.split(/,\s*/).map((place): [string, string[]] => [place, entries]);
    }),
  );
}

function matches(house: House, pattern: RegExp): string[] {
  return house.flatMap(({ path, text }) =>
    Array.from(
      text.matchAll(pattern),
      ({ 0: found, index }) => `${path}:${lineAt(text, index)} ${found.trim().replace(/\s+/g, ' ')}`,
    ),
  );
}

function lineAt(text: string, index: number): number {
  return text.slice(0, index).split('\n').length;
}

/** As the formatter leaves sources: an import begins its line, and a comment its line or stands behind a blank. */
function readSource(path: string, raw: string): Source {
  const text = raw.replace(/(?<=^|\s)(?:\/\/.*|\/\*[\s\S]*?\*\/)/gm, (comment) =>
    comment.replace(/[^\n]/g, ' '),
  );
  const statement = /^(?:import|export)( type)?\b(?:[^;'"]*?\bfrom)? ?'([^']+)'|\bimport\('([^']+)'\)/gm;
  const imports = Array.from(text.matchAll(statement), ({ index, 1: type, 2: from, 3: late = '' }) => ({
    specifier: from ?? late,
    typesOnly: type !== undefined,
    line: lineAt(text, index),
  }));
  return { path, text, imports };
}

// ---------------------------------------------------------------------------------------------- the rules, tried

const sample: House = Object.entries({
  'src/main.ts': "import { start } from './app.ts';\nawait start();",
  'src/http/trigger.ts': `
import {
  createTrigger, // a comment with a quote: don't
  type Trigger,
} from '../domain/trigger.ts';
import type { Config } from '../config.ts';
import { config } from '../config.ts';
import { insertTrigger } from '../store/trigger.ts';
export { devices } from '../socket/device.ts';
import '../mqtt/device.ts';
import express from 'express';
import type { Kysely } from 'kysely';
import leftPad from 'left-pad/lib';
import { x } from '../../bench/x.ts';
// import { y } from '../store/y.ts';
/* class Commented {} */
const late = await import('../store/late.ts');`,
  'src/http/trigger/parse/body.ts': '',
  'src/store/trigger.ts': `
import type { Target } from '../domain/target.ts';
import type { Trigger } from '../domain/trigger.ts';
import { match } from '../domain/target.ts';
db.insertInto('triggers'); db.updateTable('triggers as t'); db.deleteFrom("commands");`,
  'src/store/command.ts': 'tx\n  .insertInto("commands"); tx.selectFrom("triggers")',
  'src/domain/target.ts': '',
  'src/domain/trigger.ts': `
import type { Db } from '../store/trigger.ts';
import { get } from 'node:https';
const at = new Date(); const past = new Date(0); const day = Date.now() / 8.64e7;
db.deleteFrom('triggers');
class Trigger {}`,
  'src/domain/fault.ts': 'export class Fault extends Error {}\nclass Other {}',
  'src/domain/row.ts': `
import type { Db } from '../store/schema.ts';
import type { Db, Keys } from '../store/schema.ts';
type A = Row<'keys'>; const b = a.scopes_json; const c = d ? 1 : 0; // Row<'x'>
const e = b.in_force === 1 && c.length === 1;`,
  'src/domain/url-utils.ts': '',
  'src/domain/jobs.ts': "import type { Target } from './device/target.ts';",
  'src/domain/cache.ts': "import type { Target } from './device/target.ts';",
  'src/domain/device/target.ts': "import { send } from '../command/send.ts';",
  'src/domain/command/send.ts': "import type { Target } from '../device/target.ts';",
  'src/domain/cellar/box.ts': '',
  'src/client/device.ts': 'class WireFault extends Error {}\nconst device = class {};',
  'src/client/index.ts': '',
  'src/attic/box.ts': '',
  ...Object.fromEntries(
    Array.from({ length: filesMax + 1 }, (_, place) => [`src/mqtt/part-${place}.ts`, '']),
  ),
}).map(([path, raw]) => readSource(path, raw));

const broken: Record<keyof typeof rules, string[]> = {
  'arrows go one way': [
    'src/main.ts:1 main.ts may not import src/app.ts',
    'src/http/trigger.ts:7 http may not import src/config.ts',
    'src/http/trigger.ts:8 http may not import src/store/trigger.ts',
    'src/http/trigger.ts:9 http may not import src/socket/device.ts',
    'src/http/trigger.ts:10 http may not import src/mqtt/device.ts',
    'src/http/trigger.ts:14 http may not import bench/x.ts',
    'src/http/trigger.ts:17 http may not import src/store/late.ts',
    'src/store/trigger.ts:3 store may not import src/domain/trigger.ts',
    'src/store/trigger.ts:4 store may not import src/domain/target.ts',
    'src/attic/box.ts: "attic" has no row in the import table',
  ],
  'rooms stand in one order': [
    'src/domain/cache.ts:1 the root may not import device',
    'src/domain/device/target.ts:1 device may not import command',
    'src/domain/cellar/box.ts: "cellar" is no room',
  ],
  'packages stay in their home': [
    'src/http/trigger.ts:12 kysely lives in store,db',
    'src/http/trigger.ts:13 left-pad has no home',
  ],
  'every table has one writer': [
    'src/domain/trigger.ts writes "triggers" outside of the store',
    '"commands" is written by src/store/trigger.ts and src/store/command.ts',
  ],
  'rooms have no calendar and no network of their own': [
    'src/domain/trigger.ts:4 new Date()',
    'src/domain/trigger.ts:4 Date.now',
    "src/domain/trigger.ts:3 from 'node:https",
  ],
  'rooms speak of no rows': [
    'src/domain/row.ts:4 Row<',
    'src/domain/row.ts:4 scopes_json',
    'src/domain/row.ts:4 ? 1 : 0',
    'src/domain/row.ts:5 === 1',
    "src/domain/row.ts:3 Db, Keys } from '../store/schema.ts'",
  ],
  'there are no classes but Fault and what is thrown to users of the client': [
    'src/domain/trigger.ts:6 class Trigger',
    'src/domain/fault.ts:2 class Other',
    'src/client/device.ts:2 class',
  ],
  'files are where and what their names say': [
    'src/http/trigger/parse/body.ts: 3 folders deep, 2 is the most here',
    'src/domain/url-utils.ts: "url-utils" is a drawer, not a noun',
    'src/client/index.ts: a barrel',
  ],
  'no folder is a heap': ['src/mqtt: 26 files, 25 is the most'],
};

/** What the linter is to refuse, with the names of its rules for each file. */
const linted: Record<string, { source: string; refused: string[] }> = {
  'src/http/trigger.ts': {
    source: `
import { argv } from 'node:process';
import type { B } from './body.ts';
import { x } from './lines';
export type A = B | typeof x;
async function later(): Promise<void> {}
export function start(): void {
  later();
  if (later()) console.log(argv, process.env.PORT);
}
export enum Match {}
// @ts-ignore
export const y: any = require('x');
export namespace Z {
  export const z = 1;
}`,
    refused: [
      'correctness/useImportExtensions',
      'nursery/noFloatingPromises',
      'nursery/noMisusedPromises',
      'style/noCommonJs',
      'style/noEnum',
      'style/noNamespace',
      'style/noProcessEnv',
      'style/noRestrictedGlobals',
      'style/noRestrictedImports',
      'style/useImportType',
      'suspicious/noConsole',
      'suspicious/noExplicitAny',
      'suspicious/noImportCycles',
      'suspicious/noTsIgnore',
    ],
  },
  'src/http/body.ts': {
    source:
      "import type { A } from './trigger.ts';\nexport type B = A;\nexport default 1;\nexport * from './z.ts';",
    refused: [
      'performance/noBarrelFile',
      'performance/noReExportAll',
      'style/noDefaultExport',
      'suspicious/noImportCycles',
    ],
  },
  'src/http/lines.ts': {
    source: Array.from({ length: 281 }, (_, line) => `export const x${line} = 1;`).join('\n'),
    refused: ['style/noExcessiveLinesPerFile'],
  },
  'src/http/Alarm.ts': { source: '', refused: ['style/useFilenamingConvention'] },
  'src/main.ts': { source: 'process.exit(Number(process.env.CODE));', refused: [] },
};

/** The rules that each file breaks, as errors. */
function lint(files: Record<string, string>): Record<string, string[]> {
  const folder = mkdtempSync(join(tmpdir(), 'fleethook-layout-'));
  try {
    copyFileSync(join(root, 'biome.json'), join(folder, 'biome.json'));
    for (const [path, source] of Object.entries(files)) {
      mkdirSync(dirname(join(folder, path)), { recursive: true });
      writeFileSync(join(folder, path), source);
    }
    const options = [
      '--vcs-enabled=false',
      '--max-diagnostics=none',
      '--diagnostic-level=error',
      '--reporter=json',
    ];
    const biome = join(root, 'node_modules/.bin/biome');
    const { stdout } = spawnSync(biome, ['lint', ...options, '.'], { cwd: folder, encoding: 'utf8' });
    const { diagnostics } = JSON.parse(stdout) as {
      diagnostics: { category: string; location: { path: string } }[];
    };
    const rulesOf = (path: string) =>
      diagnostics.filter(({ location }) => location.path === path).map(({ category }) => category);
    return Object.fromEntries(
      Object.keys(files).map((path) => [
        path,
        [...new Set(rulesOf(path))].map((rule) => rule.replace(/^lint\//, '')).sort(),
      ]),
    );
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

suite('layout', () => {
  const house = readHouse('src', 'db');
  for (const name of ruleNames) {
    test(name, () => assert.deepEqual(rules[name](house), []));
  }

  test('every permission is used', () => assert.deepEqual(unusedPermissions(house, importTable), []));

  test('every dependency has a home', () => {
    const { dependencies } = readPackages();
    assert.deepEqual(
      Object.keys(dependencies ?? {}).filter((name) => !(name in packageHomes)),
      [],
    );
  });

  test('every dependency is explained in CONTRIBUTING.md', () => {
    const { dependencies, devDependencies, optionalDependencies } = readPackages();
    const explained =
      readFileSync(join(root, 'CONTRIBUTING.md'), 'utf8').split(/^## Dependencies$/m)[1] ?? '';
    assert.deepEqual(
      Array.from(explained.matchAll(/^\| `([^`]+)`/gm), ([, name]) => name).sort(),
      Object.keys({ ...dependencies, ...devDependencies, ...optionalDependencies }).sort(),
    );
  });

  test('what src imports is installed without the development packages', () => {
    const { dependencies = {} } = readPackages();
    assert.deepEqual(
      Object.keys(packageHomes).filter((name) => !(name in dependencies)),
      [],
    );
  });

  test('what others install brings along what the client imports, and nothing of the server', () => {
    const { dependencies = {}, optionalDependencies = {}, bundleDependencies } = readPackage('.');
    const ofClient = Object.keys(packageHomes).filter((name) => packageHomes[name] === 'client');
    assert.deepEqual(Object.keys({ ...dependencies, ...optionalDependencies }), ofClient);
    assert.deepEqual(bundleDependencies, ofClient);
    assert.equal(readPackage('src').devDependencies, undefined);
    assert.ok(!existsSync(join(root, 'src/node_modules')), 'all packages are installed in one place');
  });

  test('src/README.md shows the import table', () => {
    const section = readFileSync(join(root, 'src/README.md'), 'utf8').split(/^#+ Import table\s*$/m)[1];
    assert.ok(section, 'src/README.md has no heading "Import table"');
    assert.deepEqual(parseTable(section), parseTable(importTable));
  });

  test('every test is one that the test command runs', () => {
    assert.deepEqual(strayTests(listFiles('test')), []);
  });
});

suite('layout: the rules see what breaks them', () => {
  for (const name of ruleNames) {
    test(name, () => assert.deepEqual(rules[name](sample), broken[name]));
  }

  test('the linter too', () => {
    const files = Object.entries(linted);
    assert.deepEqual(
      lint(Object.fromEntries(files.map(([path, { source }]) => [path, source]))),
      Object.fromEntries(files.map(([path, { refused }]) => [path, refused])),
    );
  });

  test('a test that is never run', () => {
    const paths = [
      'test/key.test.ts',
      'test/run.ts',
      'test/deep/key.test.ts',
      'test/key.spec.ts',
      'test/Key.test.ts',
    ];
    assert.deepEqual(strayTests(paths), paths.slice(2));
  });

  test('a permission that nobody uses', () => {
    const table =
      '\n| from | may import |\n|---|---|\n| main.ts, http | app.ts, config.ts (types), loop.ts |\n';
    assert.deepEqual(unusedPermissions(sample, table), ['main.ts, http: nobody imports loop.ts']);
  });

  test('a table in Markdown', () => {
    const shown =
      '\ntext\n\n| from | may import |\n|---|---|\n| `a` | `c (types)`, `b` |\n| d | |\n\n| not | this |\n';
    assert.deepEqual(
      [...parseTable(shown)],
      [
        ['a', ['b', 'c (types)']],
        ['d', []],
      ],
    );
  });
});
