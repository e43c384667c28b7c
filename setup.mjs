// Makes a checkout ready to run: dependencies as package-lock.json has them, a Node that runs TypeScript, and what
// build.ts makes of it for browsers.
// Plain JavaScript, because it runs before the project's own Node is there: the machine's Node may be 20.
// package.json calls it first and goes on through a second `npm run`, whose PATH then finds the pinned Node
// (a shell remembers where it found `node`, so the first one would go on with the old Node).

import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

const nodeMajorMin = 24;

const root = import.meta.dirname ?? new URL('.', import.meta.url).pathname;
const modules = join(root, 'node_modules');
const stampFile = join(modules, '.fleethook-lock');
const pinnedNode = join(modules, '.bin', 'node');

const lock = createHash('sha256')
  .update(readFileSync(join(root, 'package-lock.json')))
  .digest('hex');

if (stamp() !== lock) {
  say('Installing dependencies (npm ci) ...');
  if (!install()) fail('The dependencies could not be installed: npm ci failed, as shown above.');
  keepRunnable();
  writeFileSync(stampFile, `${lock}\n`);
}

if (!existsSync(pinnedNode) && Number.parseInt(process.versions.node, 10) < nodeMajorMin) {
  fail(
    `Fleethook needs Node ${nodeMajorMin} or newer, this is ${process.version}: https://nodejs.org/en/download`,
  );
}

// With the Node that is to run it all, and not with this one.
const built = spawnSync(existsSync(pinnedNode) ? pinnedNode : process.execPath, [join(root, 'build.ts')], {
  stdio: ['ignore', 'inherit', 'inherit'],
});
if (built.status !== 0) fail('What pages of devices run could not be built, as shown above.');

/** What the installed dependencies were made from. `npm ci` empties node_modules, so a broken install has no stamp. */
function stamp() {
  try {
    return readFileSync(stampFile, 'utf8').trim();
  } catch {
    return '';
  }
}

/** Everything the lock file has, whatever NODE_ENV says: one stamp must mean one content. */
function install() {
  const args = ['ci', '--include=dev', '--include=optional', '--no-audit', '--no-fund', '--loglevel=error'];
  const npm = process.env.npm_execpath; // set when npm runs this file
  const options = { cwd: root, stdio: 'inherit' };
  // Not process.execPath: it may be the pinned Node, which `npm ci` takes away while it works.
  const result = npm?.endsWith('.js')
    ? spawnSync(process.env.npm_node_execpath ?? process.execPath, [npm, ...args], options)
    : spawnSync('npm', args, { ...options, shell: process.platform === 'win32' });
  if (result.error) say(`npm does not start: ${result.error.message}`);
  return result.status === 0;
}

/** The pinned Node is built for glibc. Where it does not run (Alpine), it must not stand before the machine's own. */
function keepRunnable() {
  if (!existsSync(pinnedNode)) return;
  const result = spawnSync(pinnedNode, ['--version'], { stdio: 'ignore' });
  if (result.status !== 0) rmSync(pinnedNode, { force: true });
}

/** To stderr: what the command itself prints may be read by a program. */
function say(text) {
  process.stderr.write(`${text}\n`);
}

function fail(text) {
  say(text);
  process.exit(1);
}
