/** The body of an event, as a device has said it. */
import { getEventBody } from '../domain/event/history.ts';
import type { Answer, RouteCall } from './route.ts';

/** What a device said, byte for byte; a browser saves it and never shows it, since anything may be in it. */
export async function sendEventBody({ ctx, caller, text }: RouteCall): Promise<Answer> {
  const id = text('id');
  const { mediaType, bytes, parts } = await getEventBody(ctx, caller, id);
  return {
    status: 200,
    headers: {
      'content-type': mediaType,
      'content-length': String(bytes),
      'content-disposition': `attachment; filename="${id}"`,
    },
    parts,
  };
}
