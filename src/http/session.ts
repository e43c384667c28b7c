/** Signing in and out: the cookie that the console works with. */

import type { Express, Response } from 'express';
import { signIn, signOut } from '../domain/access/session.ts';
import { readJsonBody } from '../domain/body.ts';

import type { Context } from '../domain/context.ts';
import { Fault } from '../domain/fault.ts';
import { isJsonType, readMediaType } from '../domain/media-type.ts';
import { countedAddress } from '../network.ts';
import { sessionCookie } from './auth.ts';
import { createReadBytes } from './body.ts';
import type { RateLimit } from './limit.ts';
import { type AddressOf, cookieOf } from './request.ts';

const path = '/api/v1/session';
const bodyBytesMax = 4_096;

export function useSession(
  app: Express,
  { ctx, addressOf, signInLimit }: { ctx: Context; addressOf: AddressOf; signInLimit: RateLimit },
): void {
  const secure = () => ctx.process.publicUrl().startsWith('https:');
  const setCookie = (response: Response, value: string, expires: Date) =>
    response.cookie(sessionCookie, value, {
      httpOnly: true,
      sameSite: 'strict',
      secure: secure(),
      path: '/',
      expires,
    });

  const readBytes = createReadBytes(bodyBytesMax);
  app.post(path, async (request, response) => {
    // Counted before the password is looked at: who guesses must not learn from the attempts that are refused.
    await signInLimit(countedAddress(addressOf(request)), request, response);
    const contentType = request.get('content-type');
    // A page of somebody else's may send any type but this one, and sign people in as it likes.
    if (!isJsonType(readMediaType(contentType).type ?? ''))
      throw new Fault('unsupported_media_type', 'send application/json');
    const given = readJsonBody(await readBytes(request, response), contentType);
    const { token, expires_at, user } = await signIn(ctx, given, addressOf(request));
    const expires = new Date(expires_at);
    setCookie(response, token, expires);
    response.status(201).json({ user, expires_at: expires.toISOString() });
  });

  app.get(path, (_request, response) => {
    response.setHeader('allow', 'POST, DELETE');
    throw new Fault('method_not_allowed', 'this path takes POST and DELETE');
  });

  app.delete(path, async (request, response) => {
    const token = cookieOf(request, sessionCookie);
    if (token !== null) await signOut(ctx, token);
    setCookie(response, '', new Date(0));
    response.status(204).end();
  });
}
