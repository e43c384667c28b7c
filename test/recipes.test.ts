/** docs/recipes.md is run as its reader would run it: every block of shell, in its order, against a real server. */

import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, suite, test } from 'node:test';
import { promisify } from 'node:util';
import { makeDevice, makeTriggerKey, traceOf } from './support/fleet.ts';
import { adminKey, startServer, type TestDevice, type TestServer } from './support/server.ts';
import { waitFor } from './support/wait.ts';

const text = readFileSync(join(import.meta.dirname, '../docs/recipes.md'), 'utf8');
const tags = ['operations', 'developers', 'home', 'gate', 'lobby', 'guards'];

type Params = Record<string, unknown>;
/** What comes of a call: the commands, and what the answer warns of. */
type Outcome = { commands: [string, Params][]; warnings?: string[] };

const shows = (params: Params, ...warnings: string[]): Outcome => ({
  commands: [['enable_emergency', params]],
  ...(warnings.length > 0 ? { warnings } : {}),
});
const toasts = (params: Params, ...warnings: string[]): Outcome => ({
  commands: [['show_toast', params]],
  ...(warnings.length > 0 ? { warnings } : {}),
});
const ends: Outcome = { commands: [['disable_emergency', {}]] };
const nothing = (...conditions: string[]): Outcome => ({
  commands: [],
  warnings: [`no step wanted this call: ${conditions.join('; ')}`],
});

/** Of each recipe, what comes of its calls, in their order. */
const outcomes: Record<string, Outcome[]> = {
  Alertmanager: [shows({ message: 'The disk of db-1 is full', level: 'critical' }), ends],
  Grafana: [
    shows({ message: '[FIRING:1] High memory usage eu-1', level: 'warning' }),
    ends,
    nothing('action.when not (payload.commonLabels.alertname = "TestAlert")'),
  ],
  GitHub: [
    nothing('step 1: when payload.ref = "refs/heads/main"'),
    toasts({ message: 'octocat: Open the north gate', seconds: 20 }),
    toasts({ message: 'octocat: Open the north gate' }),
  ],
  'Uptime Kuma': [
    shows({ message: '[Shop] [🔴 Down] connect ECONNREFUSED 10.0.0.7:443', level: 'warning' }),
    ends,
    nothing('step 1: when payload.heartbeat.status = 0', 'step 2: when payload.heartbeat.status = 1'),
  ],
  'AWS SNS': [
    nothing('action.when payload.Type = "Notification"'),
    shows({ message: 'Queue too long: 1 datapoint was above 100', level: 'critical' }),
    ends,
  ],
  'Home Assistant': [
    shows({ message: 'The parcel is here', level: 'info', expires_in: 300 }, 'step 1: url is empty'),
  ],
  'Node-RED': [{ commands: [['send_sensor_event', { id: 'gate-1', event: 'queue', value: 17 }]] }],
  'Zapier, Make, IFTTT and whatever sends a form': [
    toasts({ message: 'Zoë Müller is here', seconds: 20 }),
    toasts({ message: 'Zoë Müller is here' }, 'step 1: seconds is empty'),
  ],
  'An IP camera that can only GET': [
    toasts({ message: 'Motion at yard' }),
    nothing('step 1: when query.state = "start"'),
  ],
  'A fire panel that sends XML in Latin-1': [
    shows({ message: 'Bitte das Gebäude räumen', level: 'critical', priority: 100 }),
    shows(
      { message: 'Fire alarm: leave the building', level: 'critical', priority: 100 },
      'step 1: message is empty',
      "step 1: the action's name is shown, since there is no message and no url",
    ),
    ends,
  ],
};

const [introduction = '', ...recipes] = text.split(/^## /m);
const titleOf = (recipe: string) => recipe.split('\n', 1)[0] ?? '';
const blocksOf = (part: string) =>
  Array.from(part.matchAll(/^```sh\n(.*?)^```$/gms), ([, block = '']) => block);

suite('recipes', () => {
  let server: TestServer;
  let device: TestDevice;
  let folder: string;
  let hookKey: string;
  before(async () => {
    server = await startServer();
    device = await server.device((await makeDevice(server, { name: 'screen', tags })).token);
    hookKey = await makeTriggerKey(server);
    folder = join(server.dataDir, 'reader');
    mkdirSync(join(folder, 'data'), { recursive: true });
    writeFileSync(join(folder, 'data/admin-key'), adminKey);
  });
  after(async () => {
    rmSync(folder, { recursive: true, force: true });
    await server[Symbol.asyncDispose]();
  });

  /** What a block of shell prints, run in a folder with the admin key, after the first block of the page. */
  const run = async (block: string) => {
    const [first = ''] = blocksOf(introduction);
    const script = first.replace('http://localhost:8080', server.url) + block;
    const { stdout } = await promisify(execFile)('bash', ['-euo', 'pipefail', '-c', script], {
      cwd: folder,
      env: { PATH: process.env.PATH, HOOK_KEY: hookKey, LC_ALL: 'C.UTF-8' },
    });
    return JSON.parse(stdout);
  };

  test('begin with a key for the sender alone', async () => {
    const [, ...rest] = blocksOf(introduction);
    assert.equal(rest.length, 1);
    const key = await run(rest[0] ?? '');
    assert.deepEqual([key.scopes, key.event_ids], [['trigger'], ['alertmanager']]);
    assert.match(key.key, /^fhk_/);
  });

  test('are all tried here', () => {
    assert.deepEqual(recipes.map(titleOf), Object.keys(outcomes));
  });

  for (const recipe of recipes) {
    test(titleOf(recipe), async () => {
      const expected = [...(outcomes[titleOf(recipe)] ?? [])];
      const eventIds: string[] = [];
      for (const block of blocksOf(recipe)) {
        const answer = await run(block);
        if (block.startsWith('api actions ')) {
          assert.ok(answer.id, JSON.stringify(answer));
          eventIds.push(answer.event_id);
          continue;
        }
        assert.equal(answer.message, 'success', JSON.stringify(answer));
        const trace = await traceOf(server, answer.trigger_id);
        const commands = trace.commands.map((command: { function: string; params: Params }) => [
          command.function,
          command.params,
        ]);
        const outcome = { commands, ...(answer.warnings ? { warnings: answer.warnings } : {}) };
        assert.deepEqual(outcome, expected.shift(), JSON.stringify(trace.call));
        assert.ok(eventIds.includes(answer.event_id));
        for (const { targeted } of answer.commands) assert.equal(targeted, 1);
        await waitFor(() => isHeard(device, trace.commands), { what: 'what the device was told' });
      }
      assert.deepEqual(expected, [], 'a call is missing');
      // What the sender is to be set up with leads to this action.
      const addresses = recipe.match(/https:\/\/fleethook\.example\.com\/[^\s`'"|]+/g) ?? [];
      assert.ok(addresses.length > 0, 'no address for the sender');
      for (const address of addresses) {
        const { pathname, searchParams } = new URL(address);
        const named = searchParams.get('event_id') ?? pathname.split('/')[4];
        assert.ok(named === undefined ? recipe.includes('event_id') : eventIds.includes(named), address);
      }
    });
  }
});

/** Whether the device was told of every command, as a pulse or as what made a state. */
function isHeard({ commands, states }: TestDevice, issued: readonly { id: string }[]): boolean {
  const heard = [...commands.map(({ id }) => id), ...states.flatMap(({ causes }) => causes)];
  return issued.every(({ id }) => heard.includes(id));
}
