/** A test process that ends early, or is told to end, leaves no other process behind. */

const signals = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;
const reapers = new Set<() => void>();

/** `reap` runs when this process ends while it is still wanted. Answers how to call it off. */
export function whenProcessEnds(reap: () => void): () => void {
  if (reapers.size === 0) {
    process.on('exit', reapAll);
    for (const signal of signals) process.on(signal, onSignal);
  }
  reapers.add(reap);
  return () => {
    if (reapers.delete(reap) && reapers.size === 0) stopListening();
  };
}

function reapAll(): void {
  for (const reap of reapers) reap();
  reapers.clear();
  stopListening();
}

function onSignal(signal: NodeJS.Signals): void {
  reapAll();
  // We replaced what the signal does by itself; others that listen decide for themselves.
  if (process.listenerCount(signal) === 0) process.kill(process.pid, signal);
}

function stopListening(): void {
  process.off('exit', reapAll);
  for (const signal of signals) process.off(signal, onSignal);
}
