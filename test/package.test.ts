/** What README shows of the package, as its reader does it: the tarball, an empty folder, the machine's own Node. */
import assert from 'node:assert/strict';
import { execFile, spawn } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { after, before, suite, test } from 'node:test';
import { promisify } from 'node:util';
import { makeDevice } from './support/fleet.ts';
import { bodyOf, oneServer } from './support/management.ts';
import { findProgram } from './support/mariadb.ts';
import { startServer } from './support/server.ts';
import { waitFor } from './support/wait.ts';
import { reachReceivers } from './support/webhook-receiver.ts';

const root = join(import.meta.dirname, '..');
const run = promisify(execFile);

/** Of someone who has nothing to do with us: without our Node, and without what npm told this process. */
const env = Object.fromEntries(
  Object.entries(process.env).filter(([name]) => !/^(npm_|NODE_|INIT_CWD)/i.test(name)),
);
env.PATH = (process.env.PATH ?? '')
  .split(delimiter)
  .filter((folder) => !folder.includes('node_modules'))
  .join(delimiter);
const node = findProgram('node', env.PATH) ?? process.execPath;
const npm = findProgram('npm', env.PATH);

suite('I28: the package', { skip: npm ? false : 'there is no npm' }, () => {
  const server = oneServer(startServer, { env: reachReceivers });
  const folder = mkdtempSync(join(tmpdir(), 'fleethook-package-'));
  const installed = join(folder, 'node_modules/fleethook');
  after(() => rmSync(folder, { recursive: true, force: true }));

  before(async () => {
    await run(npm ?? '', ['pack', '--pack-destination', folder], { cwd: root, env });
    const tarball = readdirSync(folder).find((name) => name.endsWith('.tgz')) ?? '';
    writeFileSync(join(folder, 'package.json'), '{ "private": true, "type": "module" }');
    // Offline, and without what was fetched before: it comes with all it needs.
    const install = ['install', '--offline', '--cache', join(folder, 'cache'), join(folder, tarball)];
    await run(npm ?? '', install, { cwd: folder, env });
  });

  /** Runs a program of the reader's; answers what it prints, line by line, as it comes. */
  function start(code: string) {
    const file = join(folder, `${crypto.randomUUID()}.js`);
    writeFileSync(file, code);
    const child = spawn(node, [file], { cwd: folder, env });
    const said = { out: '', err: '' };
    child.stdout.on('data', (text) => (said.out += text));
    child.stderr.on('data', (text) => (said.err += text));
    const ended = new Promise((resolve) => child.once('close', resolve));
    return {
      said: (text: string) =>
        waitFor(() => said.out.includes(text), { what: () => `"${text}", not ${said.out}${said.err}` }),
      line: (place: number) =>
        waitFor(() => said.out.split('\n').slice(0, -1)[place], { what: () => said.out + said.err }),
      [Symbol.asyncDispose]: async () => {
        child.kill();
        await ended;
      },
    };
  }

  test('brings nothing of the server, and nothing that has to be compiled first', () => {
    const files = readdirSync(installed, { recursive: true, encoding: 'utf8' });
    const packages = readdirSync(join(installed, 'node_modules')).sort();
    assert.deepEqual(
      readdirSync(join(folder, 'node_modules')).filter((name) => !name.startsWith('.')),
      ['fleethook'],
    );
    assert.deepEqual(packages, [
      '@socket.io',
      'debug',
      'engine.io-client',
      'engine.io-parser',
      'ms',
      'socket.io-client',
      'socket.io-parser',
      'xmlhttprequest-ssl',
    ]);
    const own = files.filter((name) => !name.startsWith('node_modules'));
    assert.deepEqual(
      own.filter((name) => /(?<!\.d)\.ts$|test|store|http/.test(name)),
      [],
    );
    for (const name of own.filter((file) => file.endsWith('ts')))
      assert.doesNotMatch(readFileSync(join(installed, name), 'utf8'), /from '\.[^']*\.ts'/, name);
  });

  test('makes a device of the lines that README shows', async () => {
    const { id, token } = await makeDevice(server(), { name: 'screen' });
    const blocks = readFileSync(join(root, 'README.md'), 'utf8').matchAll(/^```(?:ts|js)\n(.*?)^```/gms);
    const [shown] = Array.from(blocks, ([, code = '']) => code).filter((code) =>
      code.includes("from 'fleethook/client'"),
    );
    assert.ok(shown, 'README shows a device');
    assert.ok(shown.includes('http://localhost:8080') && shown.includes('fhd_…'));
    const code = shown.replace('http://localhost:8080', server().url).replace('fhd_…', token);
    await using program = start(`
      globalThis.show = (member) => console.log('shows', member?.message ?? member?.url ?? 'nothing');
      globalThis.run = async (name, params) => console.log('runs', name, JSON.stringify(params));
      ${code}`);
    await program.said('shows nothing');
    const issue = async (fn: string, params: object) => {
      const body = { function: fn, params, target: { devices: [id] } };
      const command = bodyOf(await server().api('/commands', { body }), 201).id;
      await waitFor(
        async () => bodyOf(await server().api(`/commands/${command}`), 200).coverage.applied === 1,
        { what: 'the receipt' },
      );
    };
    await issue('load_url', { url: 'https://example.com/' });
    await program.said('shows https://example.com/');
    await issue('enable_emergency', { message: 'Leave the building' });
    await program.said('shows Leave the building');
    await issue('show_toast', { message: 'hello' });
    await program.said('runs show_toast {"message":"hello"}');
  });

  test('keeps in a file what a device must not forget', async () => {
    const { id, token } = await makeDevice(server(), { name: 'gate' });
    const code = `
      import { connectDevice } from 'fleethook/client';
      import { fileStorage } from 'fleethook/file-storage';
      const device = connectDevice({
        url: '${server().url}', token: '${token}', storage: fileStorage('device.json'),
        onState() {},
        onCommand: ({ id }) => console.log('does', id),
      });
      console.log('stored', (await device.event('opened', { by: 'hand' })).id);`;
    const body = { function: 'show_toast', params: { message: 'x' }, target: { devices: [id] } };
    const toast = bodyOf(await server().api('/commands', { body }), 201).id;
    await using program = start(code);
    await program.said(`does ${toast}`);
    await program.said('stored');
    await waitFor(() => readFileSync(join(folder, 'device.json'), 'utf8').includes(toast), {
      what: 'the file',
    });
  });

  test('verifies a webhook', async () => {
    const secret = `whsec_${Buffer.alloc(32, 7).toString('base64')}`;
    await using program = start(`
      import { createServer } from 'node:http';
      import { verifyWebhook } from 'fleethook/webhook';
      const server = createServer(async (request, response) => {
        const chunks = [];
        for await (const chunk of request) chunks.push(chunk);
        const body = Buffer.concat(chunks);
        const ask = (secret) =>
          verifyWebhook({ scheme: 'standard', secret, headers: request.headers, body });
        console.log(ask('${secret}').ok, ask('whsec_${Buffer.alloc(32, 8).toString('base64')}').ok);
        response.writeHead(204).end();
      });
      server.listen(0, '127.0.0.1', () => console.log(server.address().port));`);
    const url = `http://127.0.0.1:${await program.line(0)}`;
    const made = bodyOf(await server().api('/webhooks', { body: { name: 'w', url, secret } }), 201);
    const tried = await server().api(`/webhooks/${made.id}/test`, { body: { type: 'motion' } });
    assert.equal(bodyOf(tried, 200).status, 204);
    assert.equal(await program.line(1), 'true false');
  });

  const typed = `
    import { connectDevice, type Device, type DeviceState, memoryStorage, type Timing } from 'fleethook/client';
    import { fileStorage } from 'fleethook/file-storage';
    import { type Verdict, verifyWebhook } from 'fleethook/webhook';
    const timing: Partial<Timing> = { applyMsMax: 1_000 };
    const show = (state: DeviceState): string | null => state.emergency?.message ?? state.content?.url ?? null;
    const device: Device = connectDevice({
      url: 'https://hooks.example', token: 'fhd_', storage: fileStorage('x'), timing,
      onState: (state, changed) => void show(state)?.concat(changed.join()),
      onCommand: async ({ function: name, params }) => void [name.length, Object.keys(params)],
    });
    const stored: Promise<{ id: string }> = device.event('motion', { zone: 4 });
    const verdict: Verdict = verifyWebhook({ scheme: 'standard', secret: 's', headers: new Headers(), body: '' });
    if (verdict.ok) void verdict.id?.length;
    else void verdict.reason.length;
    void [stored, memoryStorage().load(), device.socket.connected];
    // @ts-expect-error: it needs a token
    connectDevice({ url: 'https://hooks.example' });
    // @ts-expect-error: there is no such scheme
    verifyWebhook({ scheme: 'other', secret: 's', headers: {}, body: '' });
  `;
  for (const [module, moduleResolution] of [
    ['nodenext', 'nodenext'],
    ['esnext', 'bundler'],
  ]) {
    test(`has types for a strict project that resolves as "${moduleResolution}"`, async () => {
      const file = join(folder, `typed-${moduleResolution}.ts`);
      const compilerOptions = {
        ...{ module, moduleResolution, target: 'es2022', lib: ['es2022', 'dom'], types: [] },
        ...{ strict: true, exactOptionalPropertyTypes: true, noUncheckedIndexedAccess: true, noEmit: true },
      };
      writeFileSync(file, typed);
      writeFileSync(join(folder, 'tsconfig.json'), JSON.stringify({ compilerOptions, files: [file] }));
      const compiler = join(root, 'node_modules/typescript/bin/tsc');
      const { stdout } = await run(process.execPath, [compiler, '-p', folder], { cwd: folder }).catch(
        (error: { stdout: string }) => error,
      );
      assert.equal(stdout, '');
    });
  }
});
