import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { basename, dirname, join, posix } from 'node:path';
import { suite, test } from 'node:test';

/**
 * The rules of the house, read from the sources. A rule is a function from the sources to what breaks it; the
 * last suite feeds every rule a small house that breaks it, so a rule that has gone blind is noticed.
 */

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
| store | db, domain (pure types) |
| db | store/dialect.ts, store/schema.ts (types) |
| client | domain/device/state.ts, domain/webhook/signature.ts, socket/protocol.ts |
| fleet | client, app.ts, config.ts, domain |
| config.ts | log.ts, network.ts |
| log.ts, loop.ts, batch.ts, network.ts, data-dir.ts | log.ts (types) |
`;

/** Every dependency has a home, and nobody else imports it, not even its types. */
const packageHomes: Record<string, string> = {
  aedes: 'mqtt',
  ajv: 'domain, http',
  'ajv-formats': 'domain, http',
  commander: 'cli.ts',
  'csv-parse': 'http',
  express: 'http',
  'express-rate-limit': 'http',
  'fast-xml-parser': 'http',
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

/** Tables that more than one store file writes, with the files; each needs a reason here. */
const sharedTables: Record<string, string[]> = {};

/** The rooms of src/domain in their order: a room may import those before it. */
const rooms = ['access', 'device', 'command', 'trigger', 'event', 'alarm', 'webhook', 'delivery', 'intake'];
/** Of the root of src/domain these alone may look into rooms, by type. */
const seams = ['context.ts', 'jobs.ts', 'feed.ts'];

const root = join(import.meta.dirname, '..');
const linesMax = 300;
/** Where a noun that outgrew one file may be a folder of its own name, below its floor. */
const floorsWithFolders = ['http', 'domain', 'store'];

type Import = { specifier: string; typesOnly: boolean; line: number };
type Source = {
  /** From the root of the repository, with "/". */
  path: string;
  /** As it stands in the file. */
  raw: string;
  /** Without comments. */
  text: string;
  /** Without comments and without what stands in strings, templates and regular expressions. */
  code: string;
  imports: Import[];
};
type House = readonly Source[];
type Rule = (house: House) => string[];

const rules = {
  'arrows go one way': wrongArrows,
  'rooms stand in one order': roomsAgainstOrder,
  'packages stay in their home': strayPackages,
  'imports have no cycles': cycles,
  'every table has one writer': secondWriters,
  'process and console are for the process files': strayGlobals,
  'rooms have no calendar and no network of their own': impureRooms,
  'rooms speak of no rows': rowsInRooms,
  'constructs we do without': refusedConstructs,
  'files are where and what their names say': wrongNames,
  'files stay readable': tooLong,
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

/** Types count: what can't be read without each other is one file. */
function cycles(house: House): string[] {
  const targets = new Map(
    house.map((source) => [source.path, source.imports.map((imported) => targetOf(source, imported))]),
  );
  const found: string[] = [];
  const done = new Set<string>();
  const visit = (path: string, trail: string[]) => {
    if (trail.includes(path)) found.push([...trail.slice(trail.indexOf(path)), path].join(' -> '));
    if (trail.includes(path) || done.has(path)) return;
    for (const target of targets.get(path) ?? []) if (target) visit(target, [...trail, path]);
    done.add(path);
  };
  for (const path of targets.keys()) visit(path, []);
  return found;
}

function secondWriters(house: House): string[] {
  const write = /\.\s*(?:insertInto|replaceInto|updateTable|deleteFrom|mergeInto)\(\s*\[?\s*['"`](\w+)/g;
  const problems: string[] = [];
  const writers = new Map<string, Set<string>>();
  for (const source of house) {
    for (const { 1: table = '', index } of source.text.matchAll(write)) {
      if (placeOf(source.path) === 'db') continue;
      if (placeOf(source.path) === 'store') add(writers, table, source.path);
      else
        problems.push(`${source.path}:${lineAt(source.text, index)} writes "${table}" outside of the store`);
    }
  }
  for (const [table, paths] of writers) {
    const expected = sharedTables[table]?.toSorted();
    const actual = [...paths].sort();
    if (expected ? expected.join() === actual.join() : actual.length === 1) continue;
    problems.push(`"${table}" is written by ${actual.join(' and ')}`);
  }
  return problems;
}

function add(sets: Map<string, Set<string>>, key: string, value: string): void {
  sets.set(key, (sets.get(key) ?? new Set()).add(value));
}

function strayGlobals(house: House): string[] {
  const inMain = house.filter(({ path }) => path !== 'src/main.ts');
  const quiet = inMain.filter(({ path }) => path !== 'src/cli.ts' && placeOf(path) !== 'fleet');
  return [
    ...matches(inMain, 'code', /\bprocess\s*\.\s*(?:env|argv|exit)\b/g),
    ...matches(inMain, 'text', /\bfrom\s*['"](?:node:)?process['"]/g),
    ...matches(quiet, 'code', /(?<![.\w])console\s*\.\s*\w+/g),
  ];
}

/** `node:net` is not named: its checks of addresses are pure. */
function impureRooms(house: House): string[] {
  const rooms = house.filter(({ path }) => placeOf(path) === 'domain');
  return [
    ...matches(rooms, 'code', /\bDate\.now\b|\bnew Date\(\s*\)|(?<![.\w])fetch\(/g),
    ...matches(rooms, 'text', /\bfrom\s*['"]node:(?:https?|http2|tls|dgram|dns|fs|child_process)\b/g),
  ];
}

/** Columns are decoded in the cellar. */
function rowsInRooms(house: House): string[] {
  const rooms = house.filter(({ path }) => placeOf(path) === 'domain');
  return matches(rooms, 'code', /\b(?:New)?Row<|\b\w+_json\b|\? 1 : 0\b/g);
}

function refusedConstructs(house: House): string[] {
  const migrationMap = 'db/migrations/index.ts';
  const noFault = house.filter(({ path }) => path !== 'src/domain/fault.ts');
  return [
    ...matches(house, 'code', /\bexport\s+default\b|\bexport\s*\{[^}]*\bas\s+default\b/g),
    ...matches(house, 'code', /\bexport\s*\*/g),
    ...house
      .filter(({ path }) => basename(path) === 'index.ts' && path !== migrationMap)
      .map(({ path }) => `${path}: a barrel`),
    ...matches(house, 'code', /\benum\s+\w+\s*\{|\bnamespace\s+[\w.]+\s*\{/g),
    ...matches(house, 'code', /^\s*@\w+/gm),
    ...matches(noFault, 'code', /\bclass\s+[A-Za-z_$][^{]*\{|\bclass\s*\{/g).filter(
      (problem) => !/^src\/client\/\S+ class \w+ extends Error \{$/.test(problem),
    ),
    ...matches(
      house.filter(({ path }) => path === 'src/domain/fault.ts'),
      'code',
      /\bclass\s+(?!Fault\b)\w+/g,
    ),
    ...matches(house, 'code', /(?::|<|\bas|\bextends)\s*any\b|\bany\s*(?:\[\]|>)/g),
    ...matches(house, 'raw', /@ts-(?:ignore|nocheck)\b/g),
    ...matches(house, 'code', /\brequire\(/g),
  ];
}

function wrongNames(house: House): string[] {
  const named = /^[a-z0-9]+(?:-[a-z0-9]+)*$/;
  const drawer = /(?:^|-)(?:utils?|helpers?|managers?|services?)$/;
  return house.flatMap(({ path, imports }) => {
    const parts = path
      .replace(/^src\//, '')
      .replace(/\.ts$/, '')
      .split('/');
    const depth = parts.length - 1;
    const depthMax = path.startsWith('db/') || floorsWithFolders.includes(parts[0] ?? '') ? 2 : 1;
    return [
      ...parts.filter((part) => !named.test(part)).map((part) => `${path}: "${part}" is not in small-words`),
      ...parts
        .filter((part) => drawer.test(part))
        .map((part) => `${path}: "${part}" is a drawer, not a noun`),
      ...(depth > depthMax ? [`${path}: ${depth} folders deep, ${depthMax} is the most here`] : []),
      ...imports
        .filter(({ specifier }) => specifier.startsWith('.') && !/\.(?:ts|json)$/.test(specifier))
        .map(({ specifier, line }) => `${path}:${line} "${specifier}" does not end in .ts`),
    ];
  });
}

function tooLong(house: House): string[] {
  return house
    .filter(({ path }) => path.startsWith('src/'))
    .map(({ path, raw }) => ({ path, lines: raw.trimEnd().split('\n').length }))
    .filter(({ lines }) => lines > linesMax)
    .map(({ path, lines }) => `${path}: ${lines} lines, ${linesMax} is the most`);
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

function readPackage(): Record<string, Record<string, string>> {
  return JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));
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

function matches(house: House, view: 'raw' | 'text' | 'code', pattern: RegExp): string[] {
  return house.flatMap((source) =>
    Array.from(source[view].matchAll(pattern), ({ 0: found, index }) => {
      const skipped = found.length - found.trimStart().length;
      return `${source.path}:${lineAt(source[view], index + skipped)} ${found.trim().replace(/\s+/g, ' ')}`;
    }),
  );
}

function lineAt(text: string, index: number): number {
  return text.slice(0, index).split('\n').length;
}

function readSource(path: string, raw: string): Source {
  const { text, code } = strip(raw);
  return { path, raw, text, code, imports: findImports(text, code) };
}

function findImports(text: string, code: string): Import[] {
  const names = String.raw`(?:[\w$]+\s*,\s*)?(?:\{[^}]*\}|\*\s*as\s+[\w$]+)|[\w$]+`;
  const patterns = [
    String.raw`\bimport\s+(type\b)?\s*(?:${names})\s*from\s*(['"])(.+?)\2`,
    String.raw`\bimport\s*(type\b)?\s*(?:\{[^}]*\})\s*from\s*(['"])(.+?)\2`,
    String.raw`\bexport\s*(type\b)?\s*(?:\*(?:\s*as\s+[\w$]+)?|\{[^}]*\})\s*from\s*(['"])(.+?)\2`,
    String.raw`\bimport()\s*\(?\s*(['"])(.+?)\2`,
  ];
  const found = new Map<number, Import>();
  for (const pattern of patterns) {
    for (const { index, 1: type, 3: specifier = '' } of text.matchAll(new RegExp(pattern, 'g'))) {
      // In `text` strings are still there, and one of them may talk about imports.
      if (!/^(?:import|export)/.test(code.slice(index))) continue;
      found.set(index, { specifier, typesOnly: !!type, line: lineAt(text, index) });
    }
  }
  return [...found].sort(([a], [b]) => a - b).map(([, imported]) => imported);
}

/**
 * Blanks comments (both views) and what stands in texts, templates and regular expressions (`code` alone), so that no
 * rule takes a word for the thing. A slash begins a regular expression where no value stands before it.
 */
function strip(raw: string): { text: string; code: string } {
  const token =
    /(\/\/.*|\/\*[\s\S]*?\*\/)|('(?:\\.|[^'\\\n])*'|"(?:\\.|[^"\\\n])*"|`(?:\\[\s\S]|[^`\\])*`|(?<=[(,=:[!&|?{};+>]\s*|\breturn\s+)\/(?:\\.|\[(?:\\.|[^\]\\\n])*\]|[^/\\[\n])+\/[a-z]*)/g;
  const blank = (part: string) => part.replace(/[^\n]/g, ' ');
  const quoted = (part: string) => part.slice(0, 1) + blank(part.slice(1, -1)) + part.slice(-1);
  return {
    text: raw.replace(token, (part, comment) => (comment ? blank(part) : part)),
    code: raw.replace(token, (part, comment) => (comment ? blank(part) : quoted(part))),
  };
}

// ---------------------------------------------------------------------------------------------- the rules, tried

const sample: House = Object.entries({
  'src/main.ts': "import { start } from './app.ts';\nprocess.exit(start(process.env));",
  'src/http/trigger.ts': `
    import {
      createTrigger, // a comment with a quote: don't
      type Trigger,
    } from '../domain/trigger.ts';
    import type { Config } from '../config.ts';
    import { config } from '../config.ts';
    import { insertTrigger } from '../store/trigger.ts';
    import { devices } from '../socket/device.ts';
    import '../mqtt/device';
    import express from 'express';
    import type { Kysely } from 'kysely';
    import leftPad from 'left-pad/lib';
    import { x } from '../../bench/x.ts';
    const text = "import { y } from '../store/y.ts'; console.log(process.env)";
    const quote = /['"\`/]/.test(text) ? text : \`process.env \${ \`\${process.env.X}\` } process.argv\`;
    // console.log(quote); class Commented {}
    console.log(await import('../store/late.ts'));
  `,
  'src/http/trigger/parse/body.ts': 'export default 1;',
  'src/store/trigger.ts': `
    import type { Target } from '../domain/target.ts';
    import type { Trigger } from '../domain/trigger.ts';
    import { match } from '../domain/target.ts';
    db.insertInto('triggers'); db.updateTable('triggers as t'); db.deleteFrom("commands");
  `,
  'src/store/command.ts': 'tx\n  .insertInto("commands"); tx.selectFrom("triggers")',
  'src/domain/target.ts':
    "import { a } from './trigger.ts';\nexport enum Match { any }\nlet x: any; let y = { any: [] };",
  'src/domain/trigger.ts': `
    import type { Db } from '../store/trigger.ts';
    import { b } from './target.ts';
    import { get } from 'node:https';
    const at = new Date(); const past = new Date(0); const day = Date.now() / 8.64e7;
    db.deleteFrom('triggers');
    class Trigger {}
    /** @param x */ // @ts-ignore
    @sealed
    export * from './target.ts';
  `,
  'src/domain/fault.ts': 'export class Fault extends Error {}\nclass Other {}',
  'src/client/device.ts': 'class WireFault extends Error {}\nclass Device {}',
  'src/client/index.ts': '',
  'src/domain/url-utils.ts': '',
  'src/domain/Alarm.ts': '\n'.repeat(3),
  'src/fleet/demo.ts': `console.log('welcome');${'\nlet x;'.repeat(linesMax)}`,
  'src/attic/box.ts': '',
  'src/domain/jobs.ts': "import type { Target } from './device/target.ts';",
  'src/domain/cache.ts': "import type { Target } from './device/target.ts';",
  'src/domain/device/target.ts': "import { send } from '../command/send.ts';",
  'src/domain/command/send.ts': "import type { Target } from '../device/target.ts';",
  'src/domain/cellar/box.ts': '',
  'src/domain/row.ts': "type A = Row<'keys'>; const b = a.scopes_json; const c = d ? 1 : 0; // Row<'x'>",
}).map(([path, raw]) => readSource(path, raw));

const broken: Record<keyof typeof rules, string[]> = {
  'arrows go one way': [
    'src/main.ts:1 main.ts may not import src/app.ts',
    'src/http/trigger.ts:7 http may not import src/config.ts',
    'src/http/trigger.ts:8 http may not import src/store/trigger.ts',
    'src/http/trigger.ts:9 http may not import src/socket/device.ts',
    'src/http/trigger.ts:10 http may not import src/mqtt/device',
    'src/http/trigger.ts:14 http may not import bench/x.ts',
    'src/http/trigger.ts:18 http may not import src/store/late.ts',
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
  'imports have no cycles': [
    'src/domain/trigger.ts -> src/store/trigger.ts -> src/domain/target.ts -> src/domain/trigger.ts',
    'src/domain/trigger.ts -> src/store/trigger.ts -> src/domain/trigger.ts',
    'src/domain/device/target.ts -> src/domain/command/send.ts -> src/domain/device/target.ts',
  ],
  'every table has one writer': [
    'src/domain/trigger.ts:6 writes "triggers" outside of the store',
    '"commands" is written by src/store/command.ts and src/store/trigger.ts',
  ],
  'process and console are for the process files': [
    'src/http/trigger.ts:16 process.env',
    'src/http/trigger.ts:18 console.log',
  ],
  'rooms have no calendar and no network of their own': [
    'src/domain/trigger.ts:5 new Date()',
    'src/domain/trigger.ts:5 Date.now',
    "src/domain/trigger.ts:4 from 'node:https",
  ],
  'rooms speak of no rows': [
    'src/domain/row.ts:1 Row<',
    'src/domain/row.ts:1 scopes_json',
    'src/domain/row.ts:1 ? 1 : 0',
  ],
  'constructs we do without': [
    'src/http/trigger/parse/body.ts:1 export default',
    'src/domain/trigger.ts:10 export *',
    'src/client/index.ts: a barrel',
    'src/domain/target.ts:2 enum Match {',
    'src/domain/trigger.ts:9 @sealed',
    'src/domain/trigger.ts:7 class Trigger {',
    'src/client/device.ts:2 class Device {',
    'src/domain/fault.ts:2 class Other',
    'src/domain/target.ts:3 : any',
    'src/domain/trigger.ts:8 @ts-ignore',
  ],
  'files are where and what their names say': [
    'src/http/trigger.ts:10 "../mqtt/device" does not end in .ts',
    'src/http/trigger/parse/body.ts: 3 folders deep, 2 is the most here',
    'src/domain/url-utils.ts: "url-utils" is a drawer, not a noun',
    'src/domain/Alarm.ts: "Alarm" is not in small-words',
  ],
  'files stay readable': ['src/fleet/demo.ts: 301 lines, 300 is the most'],
};

suite('layout', () => {
  const house = readHouse('src', 'db');
  for (const name of ruleNames) {
    test(name, () => assert.deepEqual(rules[name](house), []));
  }

  test('every permission is used', () => assert.deepEqual(unusedPermissions(house, importTable), []));

  test('every dependency has a home', () => {
    const { dependencies } = readPackage();
    assert.deepEqual(
      Object.keys(dependencies ?? {}).filter((name) => !(name in packageHomes)),
      [],
    );
  });

  test('every dependency is explained in CONTRIBUTING.md', () => {
    const { dependencies, devDependencies, optionalDependencies } = readPackage();
    const explained =
      readFileSync(join(root, 'CONTRIBUTING.md'), 'utf8').split(/^## Dependencies$/m)[1] ?? '';
    assert.deepEqual(
      Array.from(explained.matchAll(/^\| `([^`]+)`/gm), ([, name]) => name).sort(),
      Object.keys({ ...dependencies, ...devDependencies, ...optionalDependencies }).sort(),
    );
  });

  test('what src imports is installed without the development packages', () => {
    const { dependencies = {} } = readPackage();
    assert.deepEqual(
      Object.keys(packageHomes).filter((name) => !(name in dependencies)),
      [],
    );
  });

  test('src/README.md shows the import table', (t) => {
    const path = join(root, 'src/README.md');
    if (!existsSync(path)) return t.diagnostic('src/README.md is not there');
    const section = readFileSync(path, 'utf8').split(/^#+ Import table\s*$/m)[1];
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
