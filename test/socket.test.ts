import assert from 'node:assert/strict';
import { after, before, suite, test } from 'node:test';
import { io } from 'socket.io-client';
import * as ws from 'ws';
import { textFrame } from '../src/socket/broadcast.ts';
import { makeDevice } from './support/fleet.ts';
import { startServer, type TestServer } from './support/server.ts';
import { waitFor } from './support/wait.ts';

/** Exported, and not in its types. */
const { Sender } = ws as unknown as { Sender: { frame: (data: Buffer, options: object) => Buffer[] } };

suite('the Socket.IO door', () => {
  let server: TestServer;
  before(async () => {
    server = await startServer();
  });
  after(() => server[Symbol.asyncDispose]());

  test('frames are those of a WebSocket server, at every length', () => {
    for (const length of [0, 1, 125, 126, 65_535, 65_536, 200_000]) {
      const text = 'é'.repeat(length >> 1) + 'a'.repeat(length & 1);
      const options = { fin: true, opcode: 1, mask: false, rsv1: false, readOnly: true };
      const [header, body] = (Sender as unknown as { frame: (data: Buffer, of: object) => Buffer[] }).frame(
        Buffer.from(text),
        options,
      );
      assert.ok(
        textFrame(text).equals(Buffer.concat([header ?? Buffer.alloc(0), body ?? Buffer.alloc(0)])),
        `${length}`,
      );
    }
  });

  const cases: [string, ('websocket' | 'polling')[]][] = [
    ['WebSocket', ['websocket']],
    ['polling', ['polling']],
    ['polling that upgrades', ['polling', 'websocket']],
  ];
  for (const [name, transports] of cases) {
    test(`a device over ${name} gets everything, in order, whatever its size`, async (t) => {
      const { id, token } = await makeDevice(server, { name });
      const socket = io(`${server.url}/devices`, { auth: { token }, transports, forceNew: true });
      t.after(() => socket.disconnect());
      const heard: unknown[] = [];
      socket.on('command', (command: { params: { parameters: { n: number; text: string } } }) => {
        heard.push([command.params.parameters.n, command.params.parameters.text.length]);
      });
      await waitFor(() => socket.connected, { what: 'the connection' });
      const sizes = [0, 10, 200, 20_000, 5, 30_000, 1];
      // All at once, so that some find the socket busy.
      await Promise.all(
        sizes.map((size, n) =>
          server.api('/commands', {
            body: {
              function: 'custom',
              params: { action: 'a', parameters: { n, text: 'ü'.repeat(size) } },
              target: { devices: [id] },
            },
          }),
        ),
      );
      await waitFor(() => heard.length === sizes.length, {
        what: () => `all commands, heard ${heard.length}`,
      });
      const { body } = await server.api('/commands?function=custom&limit=7');
      const issued = body.items
        .toReversed()
        .map((command: { params: { parameters: { n: number; text: string } } }) => [
          command.params.parameters.n,
          command.params.parameters.text.length,
        ]);
      assert.deepEqual(heard, issued);
    });
  }
});
