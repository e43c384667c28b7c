import assert from 'node:assert/strict';
import { request as httpRequest } from 'node:http';
import { suite, test } from 'node:test';
import { type ReceiverOptions, startReceiver } from '../examples/receiver/receiver.ts';
import {
  makeWebhookSecret,
  type SignatureScheme,
  signatureSchemes,
  signRequest,
} from '../src/domain/webhook/signature.ts';

const url = 'https://hooks.example.com/evt';

suite('the example of a receiver', () => {
  for (const scheme of signatureSchemes) {
    test(`takes ${scheme}, once each`, async () => {
      await using receiver = await start(scheme);
      const body = Uint8Array.from([0xff, 0x00, 0xfe, 0x80, 0x41]);
      assert.equal((await receiver.post('/any/path?x=1', body, 'msg_1')).status, 204);
      assert.equal((await receiver.post('/any/path', body, 'msg_1')).status, 204);
      assert.equal((await receiver.post('/', 'two', 'msg_2')).status, 204);
      assert.deepEqual(receiver.received, [Buffer.from(body), Buffer.from('two')]);
      assert.equal(receiver.printed.length, 3);
      assert.match(receiver.printed[1] ?? '', /^POST \/any\/path 204 msg_1 again$/);
    });
  }

  test('refuses what it can not verify, with the reason', async () => {
    for (const scheme of signatureSchemes) {
      if (scheme === 'none') continue;
      await using receiver = await start(scheme);
      const forged = await receiver.post('/', 'x', 'msg_1', makeWebhookSecret(scheme));
      assert.deepEqual([forged.status, await forged.text()], [401, 'no signature matches\n']);
      const bare = await fetch(receiver.url, { method: 'POST', body: 'x' });
      assert.equal(bare.status, 401);
      assert.match(await bare.text(), /^the header .+ is missing\n$/);
      assert.deepEqual(receiver.received, []);
      assert.equal((await receiver.post('/', 'x', 'msg_1')).status, 204, 'and keeps no id of a forgery');
    }
  });

  test('does it again when it failed', async () => {
    let calls = 0;
    await using receiver = await start('standard', {
      receive: () => {
        calls += 1;
        if (calls === 1) throw new Error('the disk\nis full');
      },
    });
    assert.equal((await receiver.post('/', 'x', 'msg_1')).status, 500);
    assert.equal((await receiver.post('/', 'x', 'msg_1')).status, 204);
    assert.equal((await receiver.post('/', 'x', 'msg_1')).status, 204);
    assert.equal(calls, 2);
    assert.deepEqual(receiver.printed[0], 'POST / failed: Error: the disk is full');
  });

  test('takes nothing but POST, and bodies up to 20 MiB', async () => {
    await using receiver = await start('mode');
    assert.equal((await fetch(receiver.url)).status, 405);
    const most = new Uint8Array(20 * 1024 * 1024);
    assert.equal((await receiver.post('/', most, 'msg_1')).status, 204);
    assert.equal(await endless(receiver.url), 413);
    assert.equal((await receiver.post('/', 'x', 'msg_2')).status, 204, 'and lives on');
  });
});

async function start(scheme: SignatureScheme, more: Partial<ReceiverOptions> = {}) {
  const secret = scheme === 'none' ? '' : makeWebhookSecret(scheme);
  const printed: string[] = [];
  const received: Buffer[] = [];
  const receiver = await startReceiver({
    scheme,
    secret,
    url,
    port: 0,
    print: (line) => printed.push(line),
    receive: (body) => void received.push(body),
    ...more,
  });
  return {
    url: receiver.url,
    printed,
    received,
    post: (path: string, body: string | Uint8Array<ArrayBuffer>, id: string, signWith = secret) => {
      const timestampSeconds = Math.floor(Date.now() / 1000);
      const headers = signRequest({ scheme, secrets: [signWith], id, timestampSeconds, url, body });
      return fetch(`${receiver.url}${path}`, {
        method: 'POST',
        headers: { 'webhook-id': id, ...headers },
        body,
      });
    },
    [Symbol.asyncDispose]: receiver.close,
  };
}

/** Sends until it is told to stop; the status of the answer. */
function endless(to: string): Promise<number | undefined> {
  return new Promise((resolve, reject) => {
    const chunk = Buffer.alloc(1024 * 1024);
    const request = httpRequest(to, { method: 'POST' }, (response) => {
      isAnswered = true;
      response.resume();
      request.destroy();
      resolve(response.statusCode);
    });
    let isAnswered = false;
    request.on('error', (error) => (isAnswered ? undefined : reject(error)));
    const send = () => {
      while (!isAnswered && request.write(chunk));
    };
    request.on('drain', send);
    send();
  });
}
