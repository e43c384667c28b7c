/** Connections of outgoing requests: over a look-up of their own, to addresses the guard lets through. */
import { isIP, type LookupFunction, type Socket } from 'node:net';
import { buildConnector } from 'undici';
import type { Guard } from './address.ts';
import { watchAnswers } from './answer-start.ts';
import { codeOf, failureOf } from './failure.ts';

import type { Resolve } from './resolve.ts';

/** One address of several may be dead; the next one still needs its time within the attempt. */
const addressMsMax = 1_000;

/**
 * Connects to what the guard has checked and to nothing else. The look-up is the connection's own, so a name that
 * answers otherwise the next time gains nothing; an address in the URL is never looked up and is checked first; and
 * what the connection has ended up with is checked once more.
 */
export function guardedConnector(
  guard: Guard,
  resolve: Resolve,
  attemptMs: number,
  sockets: Set<Socket>,
): buildConnector.connector {
  const connect = buildConnector({
    allowH2: false,
    timeout: attemptMs,
    autoSelectFamily: true,
    autoSelectFamilyAttemptTimeout: addressMsMax,
    lookup: guardedLookup(guard, resolve),
  });
  return (target, callback) => {
    const refused = isIP(target.hostname) === 0 ? null : guard.check(target.hostname);
    if (refused) return callback(failureOf(refused), null);
    // It answers the socket, as Node's own do; its types don't say so.
    const connecting = connect(target, (...[error, socket]) => {
      if (error) return callback(error, null);
      const { remoteAddress } = socket;
      const reason = remoteAddress ? guard.check(remoteAddress) : 'the connection was reset';
      if (!reason) {
        watchAnswers(socket);
        return callback(null, socket);
      }
      socket.destroy();
      callback(failureOf(reason), null);
    }) as unknown as Socket;
    sockets.add(connecting);
    connecting.once('close', () => sockets.delete(connecting));
  };
}

function guardedLookup(guard: Guard, resolve: Resolve): LookupFunction {
  return (hostname, options, callback) => {
    resolve(hostname).then(
      (found) => {
        // A name that leads to an exception means that one: localhost is often an address of both families.
        const exceptions = found.filter(({ address }) => guard.isException(address));
        const addresses = exceptions.length > 0 ? exceptions : found;
        const [first] = addresses;
        const refused = addresses
          .map(({ address }) => guard.check(address))
          .find((reason) => reason !== null);
        if (refused) callback(failureOf(`${hostname} leads to a refused address: ${refused}`), []);
        else if (!first) callback(failureOf(`the name ${hostname} has no address`), []);
        else if (options.all) callback(null, addresses);
        else callback(null, first.address, first.family);
      },
      (error: unknown) =>
        callback(failureOf(`the name ${hostname} could not be resolved (${codeOf(error)})`, error), []),
    );
  };
}
