import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { constants, tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { pathToFileURL } from 'node:url';
import { findMariaDb, findProgram, type MariaDb, startMariaDb } from './support/mariadb.ts';

/**
 * Runs the tests: `node test/run.ts [node's test options] [test files]`, all files when none is named; or, with
 * `--schema`, writes the schema dumps. One MariaDB serves them all, through FLEETHOOK_TEST_MYSQL_URL; when that
 * is set already, the server it names is used instead. What node reports is the last thing printed, and its exit
 * code is ours.
 */

/** Less than a file has (support/file-end.ts): then it is the test that is named. */
const testTimeoutMs = 100_000;
const testConcurrency = 2;
const runTimeoutMs = 30 * 60_000;
/** Another package manager may be at work, on a machine that has just started for example. */
const aptLockTimeoutMs = 120_000;
const aptRetryMs = 3_000;

const testFolder = import.meta.dirname;
const signals: readonly NodeJS.Signals[] = ['SIGINT', 'SIGTERM', 'SIGHUP'];
/** A run that leaves something out proves nothing: in CI that is a failure. */
const allMustRun = process.env.CI === 'true';

process.exitCode = await main(process.argv.slice(2));

async function main(args: string[]): Promise<number> {
  const given = process.env.FLEETHOOK_TEST_MYSQL_URL;
  const wanted = !given && (await ensureMariaDb());
  if (!given && !wanted) {
    say(
      allMustRun
        ? 'CI=true: all tests must run, so this run has failed.'
        : 'The tests on MariaDB are skipped.',
    );
    if (allMustRun) return 1;
  }

  await ensureMosquittoClients();
  await ensureCurl();
  await ensureChromium();
  // What servers hand out to browsers; `npm test` has seen to it, but a file may be tested by itself.
  const build = spawn(process.execPath, [join(testFolder, '..', 'build.ts')], { stdio: 'inherit' });
  if ((await exitCodeOf(build)) !== 0) return 1;

  let running: ChildProcess | null = null;
  let stopped: NodeJS.Signals | null = null;
  const onSignal = (signal: NodeJS.Signals) => {
    stopped = signal;
    running?.kill('SIGTERM'); // which ends the test files too; SIGHUP would not
  };
  for (const signal of signals) process.on(signal, onSignal);

  const reports = mkdtempSync(join(tmpdir(), 'fleethook-test-'));
  let database: MariaDb | null = null;
  try {
    if (wanted) database = await startMariaDb();
    if (stopped) return signalExitCode(stopped);
    const report = join(reports, 'report.tap');
    const schema = args.includes('--schema');
    running = spawn(process.execPath, schema ? schemaArgs() : testArgs(args, report), {
      stdio: 'inherit',
      cwd: join(testFolder, '..'),
      env: {
        ...process.env,
        // Every test file is a process, and many start servers: what one has compiled serves the others.
        NODE_COMPILE_CACHE: join(reports, 'compiled'),
        ...(database && { FLEETHOOK_TEST_MYSQL_URL: database.url }),
      },
    });
    const code = await exitCodeOf(running);
    if (stopped) return signalExitCode(stopped);
    return code === 0 && allMustRun && !schema ? exitCodeOfSkipped(report) : code;
  } finally {
    await database?.close();
    rmSync(reports, { recursive: true, force: true });
  }
}

function schemaArgs(): string[] {
  return [join('test', 'support', 'schema-dump.ts'), '--write'];
}

function testArgs(args: string[], report: string): string[] {
  const isFile = (arg: string) => !arg.startsWith('-') && arg.endsWith('.ts');
  const files = args.filter(isFile);
  return [
    '--test',
    `--import=${pathToFileURL(join(testFolder, 'support', 'file-end.ts'))}`,
    `--test-concurrency=${testConcurrency}`,
    `--test-timeout=${testTimeoutMs}`,
    '--test-reporter=spec',
    '--test-reporter-destination=stdout',
    '--test-reporter=tap',
    `--test-reporter-destination=${report}`,
    ...args.filter((arg) => !isFile(arg)),
    // Node takes everything behind the first file for a file.
    ...(files.length > 0 ? files : allTestFiles()),
  ];
}

function allTestFiles(): string[] {
  const files = readdirSync(testFolder).filter((name) => name.endsWith('.test.ts'));
  return files.sort().map((name) => join('test', name));
}

async function exitCodeOf(child: ChildProcess): Promise<number> {
  const tooLong = setTimeout(() => {
    say(`The run is stopped after ${runTimeoutMs / 60_000} minutes.`);
    child.kill('SIGTERM');
  }, runTimeoutMs);
  try {
    const [code, signal] = await once(child, 'exit');
    return code ?? signalExitCode(signal);
  } finally {
    clearTimeout(tooLong);
  }
}

/** As a shell reports a program that a signal ended. */
function signalExitCode(signal: NodeJS.Signals): number {
  return 128 + constants.signals[signal];
}

/** Says which tests were skipped, on stderr, and only when there are any. */
function exitCodeOfSkipped(report: string): number {
  const lines = readFileSync(report, 'utf8').matchAll(/^ *ok \d+ - (.+?) # SKIP ?(.*)$/gm);
  const skipped = Array.from(lines, ([, name = '', reason]) => (reason ? `${name} (${reason})` : name));
  if (skipped.length === 0) return 0;
  say(`CI=true: no test may be skipped, ${skipped.length} were:\n  ${skipped.join('\n  ')}`);
  return 1;
}

/** True when MariaDB can be started. */
async function ensureMariaDb(): Promise<boolean> {
  const wasThere = findMariaDb() !== null;
  const problem = await ensurePackage('mariadb-server', () => findMariaDb() !== null);
  if (problem !== null) say(`MariaDB is needed by tests: ${problem}`);
  // The package starts a service that the tests have no use for.
  else if (!wasThere) {
    await (existsSync('/run/systemd/system')
      ? runProgram('systemctl', ['disable', '--now', 'mariadb'])
      : runProgram('service', ['mariadb', 'stop']));
  }
  return problem === null;
}

/** What devices use that are not ours; its tests say themselves that they are skipped. */
async function ensureMosquittoClients(): Promise<void> {
  const problem = await ensurePackage('mosquitto-clients', () => findProgram('mosquitto_pub') !== null);
  if (problem !== null) say(`mosquitto_pub and mosquitto_sub are needed by tests: ${problem}`);
}

/** What the recipes are run with. */
async function ensureCurl(): Promise<void> {
  const problem = await ensurePackage('curl', () => findProgram('curl') !== null);
  if (problem !== null) say(`curl is needed by tests: ${problem}`);
}

/** A page becomes a device in it; its tests say themselves that they are skipped. */
async function ensureChromium(): Promise<void> {
  const problem = await ensurePackage('chromium', () => findProgram('chromium') !== null);
  if (problem !== null) say(`chromium is needed by tests: ${problem}`);
}

/**
 * Installs a package where that needs nobody's leave, as root on Debian, unless what it brings is there already.
 * Answers why it is not there, null when it is.
 */
async function ensurePackage(name: string, isThere: () => boolean): Promise<string | null> {
  if (isThere()) return null;
  if (!existsSync('/etc/debian_version') || process.getuid?.() !== 0)
    return `it is not installed (Debian: ${name}).`;
  say(`Installing what the tests need (apt-get install ${name}) ...`);
  // A failure here may be harmless: the lists may be new enough.
  await aptGet(['update']);
  const { said } = await aptGet(['install', '-y', '--no-install-recommends', name]);
  return isThere() ? null : said.split('\n').at(-1) || `the package ${name} did not bring it.`;
}

/** apt waits for its lock on installing by itself, but not for the one on updating. */
async function aptGet(args: string[]): Promise<{ code: number; said: string }> {
  const options = ['-qq', '-o', `DPkg::Lock::Timeout=${aptLockTimeoutMs / 1_000}`];
  const deadline = Date.now() + aptLockTimeoutMs;
  for (;;) {
    const result = await runProgram('apt-get', [...options, ...args]);
    const locked = result.code !== 0 && /could not get lock/i.test(result.said);
    if (!locked || Date.now() > deadline) return result;
    await wait(aptRetryMs);
  }
}

/**
 * Quietly; `said` is what it wrote to stderr. That goes to a file: a service that the program starts would keep a
 * pipe open for ever.
 */
async function runProgram(program: string, args: string[]): Promise<{ code: number; said: string }> {
  const folder = mkdtempSync(join(tmpdir(), 'fleethook-test-'));
  const stderr = await open(join(folder, 'stderr'), 'w');
  try {
    const child = spawn(program, args, {
      stdio: ['ignore', 'ignore', stderr.fd],
      env: { ...process.env, DEBIAN_FRONTEND: 'noninteractive', LC_ALL: 'C' },
    });
    const [code] = await once(child, 'exit');
    return { code: code ?? 1, said: readFileSync(join(folder, 'stderr'), 'utf8').trim() };
  } catch (error) {
    return { code: 1, said: error instanceof Error ? error.message : String(error) };
  } finally {
    await stderr.close();
    rmSync(folder, { recursive: true, force: true });
  }
}

function say(text: string): void {
  process.stderr.write(`${text}\n`);
}
