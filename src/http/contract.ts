/**
 * openapi.yaml as a check: requests must be what it says, and in the tests the answers too. The schemas of
 * OpenAPI 3.1 are JSON Schema 2020-12, so they are compiled as they stand, a route at a time when it is first used.
 */

import { readFileSync } from 'node:fs';
import { Ajv2020, type ErrorObject, type ValidateFunction } from 'ajv/dist/2020.js';
import addFormats from 'ajv-formats';
import { load } from 'js-yaml';
import { Fault, type Problem } from '../domain/fault.ts';
import { placeOfPointer } from '../domain/input.ts';

const problemsMax = 20;
const documentId = 'openapi';

type Reference = { $ref?: string };
type Content = Record<string, { schema?: unknown }>;
type Parameter = Reference & { name: string; in: string; required?: boolean; schema: object };
type Operation = {
  parameters?: Parameter[];
  requestBody?: Reference & { required?: boolean; content: Content };
  responses: Record<string, Reference & { content?: Content }>;
};
type Document = { paths: Record<string, Record<string, Operation> & { parameters?: Parameter[] }> };

export type Contract = {
  /** The media types of bodies that a route takes; none where it takes no body. */
  mediaTypes(method: string, path: string): readonly string[];
  /**
   * Throws `bad_request` with every problem, or `unsupported_media_type`. Answers the query with its numbers as
   * numbers. `path` is as in the document, `{id}` and all; `mediaType` without its parameters.
   */
  checkRequest(of: RequestParts): Record<string, unknown>;
  /** Throws when an answer is not what the document says: that is our mistake, not the caller's. */
  checkAnswer(of: { method: string; path: string; status: number; body: unknown }): void;
};

type RequestParts = {
  method: string;
  path: string;
  query: Readonly<Record<string, unknown>>;
  mediaType: string | null;
  body: unknown;
};

export function createContract(file: string): Contract {
  const document = load(readFileSync(file, 'utf8')) as Document;
  const settings = { strict: false, allErrors: true, validateSchema: false, addUsedSchema: false } as const;
  const bodies = addFormats.default(new Ajv2020(settings)).addSchema(document, documentId);
  const queries = addFormats
    .default(new Ajv2020({ ...settings, coerceTypes: true }))
    .addSchema(document, documentId);
  const compiled = new Map<string, ValidateFunction>();

  const remember = (name: string, make: () => ValidateFunction): ValidateFunction => {
    const known = compiled.get(name) ?? make();
    compiled.set(name, known);
    return known;
  };
  /** The schema that stands at a place of the document, followed through references on the way. */
  const bodyAt = (...place: string[]) =>
    remember(place.join(' '), () =>
      bodies.compile({ $ref: `${documentId}#/${place.map(escapePart).join('/')}` }),
    );

  function operationOf(method: string, path: string): Operation {
    const operation = document.paths[path]?.[method];
    if (!operation) throw new Error(`openapi.yaml has no ${method} ${path}`);
    return operation;
  }

  function at<T extends Reference>(value: T): T {
    if (value.$ref === undefined) return value;
    const found = value.$ref
      .slice(2)
      .split('/')
      .reduce<unknown>((node, part) => (node as Record<string, unknown>)[part], document);
    return found as T;
  }

  function checkQuery(method: string, path: string, query: Readonly<Record<string, unknown>>) {
    const check = remember(`query ${method} ${path}`, () => {
      const all = [
        ...(document.paths[path]?.parameters ?? []),
        ...(operationOf(method, path).parameters ?? []),
      ].map(at);
      const own = all.filter((parameter) => parameter.in === 'query');
      return queries.compile({
        type: 'object',
        properties: Object.fromEntries(own.map(({ name, schema }) => [name, absolute(schema)])),
        required: own.filter((parameter) => parameter.required).map((parameter) => parameter.name),
        additionalProperties: false,
      });
    });
    const read = { ...query };
    if (!check(read)) throw badRequest(check.errors, 'the query');
    return read;
  }

  return {
    mediaTypes(method, path) {
      const declared = operationOf(method, path).requestBody;
      return declared ? Object.keys(at(declared).content) : [];
    },
    checkRequest({ method, path, query, mediaType, body }) {
      const read = checkQuery(method, path, query);
      const declared = operationOf(method, path).requestBody;
      if (!declared) return read;
      const { required = false, content } = at(declared);
      if (body === undefined) {
        if (mediaType !== null && !(mediaType in content)) {
          throw new Fault('unsupported_media_type', `send ${Object.keys(content).join(' or ')}`);
        }
        if (required) throw new Fault('bad_request', 'the body is missing');
        return read;
      }
      const [first = ''] = Object.keys(content);
      const type = mediaType !== null && mediaType in content ? mediaType : first;
      const place = declared.$ref
        ? declared.$ref.slice(2).split('/')
        : ['paths', path, method, 'requestBody'];
      const check = bodyAt(...place, 'content', type, 'schema');
      if (!check(body)) throw badRequest(check.errors, 'the body');
      return read;
    },
    checkAnswer({ method, path, status, body }) {
      const declared = operationOf(method, path).responses[String(status)];
      if (!declared) throw new Error(`openapi.yaml has no answer ${status} for ${method} ${path}`);
      const content = at(declared).content ?? {};
      const [type] = Object.keys(content);
      if (body === undefined || type === undefined) {
        if (body === undefined && type === undefined) return;
        throw new Error(`the answer ${status} of ${method} ${path} has a body on one side alone`);
      }
      const place = declared.$ref
        ? declared.$ref.slice(2).split('/')
        : ['paths', path, method, 'responses', String(status)];
      const check = bodyAt(...place, 'content', type, 'schema');
      // What is sent is the text of it: an `undefined` member is not there.
      if (check(JSON.parse(JSON.stringify(body)))) return;
      throw new Error(`the answer ${status} of ${method} ${path}: ${bodies.errorsText(check.errors)}`);
    },
  };
}

/** References of a schema that is taken out of the document must name it. */
function absolute(schema: unknown): object {
  return JSON.parse(JSON.stringify(schema).replaceAll('"$ref":"#/', `"$ref":"${documentId}#/`)) as object;
}

function escapePart(part: string): string {
  return encodeURIComponent(part.replaceAll('~', '~0').replaceAll('/', '~1'));
}

function badRequest(errors: readonly ErrorObject[] | null | undefined, what: string): Fault {
  // That a condition of the schema sent it elsewhere says nothing beside what was wrong there.
  const told = (errors ?? []).filter((error) => error.keyword !== 'if');
  const problems = told.slice(0, problemsMax).map(problemOfError);
  const [first] = problems;
  return new Fault('bad_request', `${first?.path || what}: ${first?.detail ?? 'is wrong'}`, { problems });
}

/** In the notation the rooms use: `steps[0].params`. */
function problemOfError(error: ErrorObject): Problem {
  const unknown = (error.params as { additionalProperty?: string }).additionalProperty;
  const path = placeOfPointer(error.instancePath, ...(unknown === undefined ? [] : [unknown]));
  return { path, detail: unknown === undefined ? (error.message ?? 'is wrong') : 'is not known here' };
}
