/**
 * Builds what runs elsewhere than on the server. `node build.ts` makes dist/client/fleethook.js, the device library as
 * one module for browsers, unless it was made of the same sources; `node build.ts package` makes dist/package, the plain
 * JavaScript with types that `npm pack` takes. Neither is committed.
 */
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import packageJson from './package.json' with { type: 'json' };

const root = import.meta.dirname;
const moduleFile = join(root, 'dist/client/fleethook.js');
/** What the module was made of, file by file. */
const stampFile = join(root, 'dist/client/made-of.json');
const packageFolder = join(root, 'dist/package');
/** Whatever the sources are, these decide as well. */
const always = ['build.ts', 'package.json', 'package-lock.json'];
/** What is younger in the language is rewritten. Of functions, the library uses what browsers have since 2022. */
const browserTarget = 'es2021';

if (process.argv[2] === 'package') buildPackage();
else if (!isFresh()) await buildModule();

function isFresh(): boolean {
  if (!existsSync(moduleFile) || !existsSync(stampFile)) return false;
  const stamp: Record<string, string> = JSON.parse(readFileSync(stampFile, 'utf8'));
  return Object.entries(stamp).every(([path, hash]) => hashOf(path) === hash);
}

function hashOf(path: string): string | null {
  const file = join(root, path);
  return existsSync(file) ? createHash('sha256').update(readFileSync(file)).digest('hex') : null;
}

async function buildModule(): Promise<void> {
  // Not at the top: it is loaded only where there is something to do.
  const { rolldown } = await import('rolldown');
  await using bundle = await rolldown({
    input: join(root, 'src/client/device.ts'),
    platform: 'browser',
    tsconfig: false,
    transform: { target: browserTarget },
    onLog(level, log) {
      if (level === 'warn') throw new Error(log.message);
    },
  });
  const { output } = await bundle.generate({ format: 'esm', minify: true });
  const [chunk, ...others] = output;
  if (others.length > 0) throw new Error(`one file was expected, not also ${others[0]?.fileName}`);
  const paths = chunk.moduleIds.filter((id) => !id.startsWith('\0')).map((id) => relative(root, id));
  const own = paths.filter((path) => !path.startsWith('node_modules'));
  write(moduleFile, `${notice(paths)}\n${chunk.code}`);
  const stamp = Object.fromEntries([...always, ...own].map((path) => [path, hashOf(path)]));
  write(stampFile, `${JSON.stringify(stamp, null, 2)}\n`);
}

/** The licenses of what is inside ask to be shown with it. */
function notice(paths: readonly string[]): string {
  const inside = paths.flatMap((path) => /^node_modules\/(?:@[^/]+\/)?[^/]+/.exec(path)?.[0] ?? []);
  const parts = [...new Set(inside)].sort().map((folder) => {
    const { name, version } = JSON.parse(readFileSync(join(root, folder, 'package.json'), 'utf8'));
    return `${name} ${version}\n\n${readFileSync(join(root, folder, 'LICENSE'), 'utf8').trim()}`;
  });
  const first = `Fleethook ${packageJson.version}, the device library. It holds:`;
  return `/*!\n${[first, ...parts].join('\n\n')}\n*/`;
}

/** Whole or not at all: a server may be about to read it. */
function write(file: string, text: string): void {
  mkdirSync(dirname(file), { recursive: true });
  const beside = `${file}.${process.pid}`;
  writeFileSync(beside, text);
  renameSync(beside, file);
}

function buildPackage(): void {
  rmSync(packageFolder, { recursive: true, force: true });
  const compiler = join(root, 'node_modules/typescript/bin/tsc');
  const { status } = spawnSync(process.execPath, [compiler, '--project', 'tsconfig.package.json'], {
    cwd: root,
    stdio: ['ignore', process.stderr, process.stderr],
  });
  if (status !== 0) process.exit(1);
  // The compiler rewrites the imports of what runs, and leaves those of the types.
  for (const name of readdirSync(packageFolder, { recursive: true, encoding: 'utf8' })) {
    if (!name.endsWith('.d.ts')) continue;
    const file = join(packageFolder, name);
    writeFileSync(file, readFileSync(file, 'utf8').replace(/(from '\.[^']*)\.ts'/g, "$1.js'"));
  }
}
