/** Compiled JSON Schemas of message types: compiling takes milliseconds, so it is done once for each text. */
import { Fault } from '../fault.ts';
import { compileMessageSchema, type MessageCheck } from './message-schema.ts';

export type MessageChecks = {
  /** The check for a schema; one that an earlier version took and this one does not lets nothing pass. */
  of(schema: object | boolean): MessageCheck;
};

const schemasMax = 2_000;

export function createMessageChecks(): MessageChecks {
  const compiled = new Map<string, MessageCheck>();
  return {
    of(schema) {
      const text = JSON.stringify(schema);
      const known = compiled.get(text) ?? compile(schema);
      if (compiled.size >= schemasMax) compiled.clear();
      compiled.set(text, known);
      return known;
    },
  };
}

function compile(schema: object | boolean): MessageCheck {
  try {
    return compileMessageSchema(schema);
  } catch (error) {
    if (!(error instanceof Fault)) throw error;
    return () => `the schema of its type is not good: ${error.message}`;
  }
}
