/** openapi.yaml is the contract: it says of the routes, codes and functions what the code says, no more and no less. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { suite, test } from 'node:test';
import { Ajv2020 } from 'ajv/dist/2020.js';
import addFormats from 'ajv-formats';
import { parseDocument } from 'yaml';
import { Fault, type FaultCode } from '../src/domain/fault.ts';
import { functionCatalogue } from '../src/domain/function-catalogue.ts';
import { statusOf } from '../src/http/fault.ts';
import { routes } from '../src/http/routes.ts';
import { request, startServer } from './server.ts';

type Members = { [name: string]: unknown };
type Operation = {
  operationId: string;
  'x-scopes'?: string[];
  requestBody?: { content: Members };
};

const root = join(import.meta.dirname, '..');
const text = readFileSync(join(root, 'openapi.yaml'), 'utf8');
const parsed = parseDocument(text);
const document = parsed.toJS() as {
  info: { description: string };
  paths: { [path: string]: { [method: string]: Operation } };
  components: { schemas: { [name: string]: Members } } & { [kind: string]: Members };
};

/** Hung into Express beside the route table, in src/http/session.ts: they make the callers that the table asks for. */
const sessionRoutes = [
  ['post', '/api/v1/session'],
  ['delete', '/api/v1/session'],
];
const methods = ['get', 'put', 'post', 'patch', 'delete', 'head', 'options', 'trace'];

const operations = Object.entries(document.paths).flatMap(([path, item]) =>
  Object.entries(item)
    .filter(([name]) => methods.includes(name))
    .map(([method, operation]) => ({ method, path, operation })),
);

function isMembers(value: unknown): value is Members {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** Every object in the document with the pointer to it. */
function* walk(value: unknown, pointer = '#'): Generator<{ node: Members; pointer: string }> {
  if (isMembers(value)) yield { node: value, pointer };
  if (typeof value !== 'object' || value === null) return;
  for (const [name, member] of Object.entries(value)) {
    yield* walk(member, `${pointer}/${name.replaceAll('~', '~0').replaceAll('/', '~1')}`);
  }
}

function at(pointer: string): unknown {
  return pointer
    .split('/')
    .slice(1)
    .map((part) => part.replaceAll('~1', '/').replaceAll('~0', '~'))
    .reduce<unknown>((node, part) => (isMembers(node) ? node[part] : undefined), document);
}

function documentedCodes(): (FaultCode | 'internal')[] {
  const codes = at('#/components/schemas/FaultCode/enum');
  assert.ok(Array.isArray(codes));
  return [...codes];
}

/** The rows of the Markdown tables in a text, cell by cell. */
function tableRows(markdown: unknown): string[][] {
  return String(markdown)
    .split('\n')
    .filter((line) => line.startsWith('|') && !/^\|[\s|:-]+$/.test(line))
    .map((line) => line.split('|').slice(1, -1))
    .map((cells) => cells.map((cell) => cell.trim()));
}

const quotedWords = (cell: string | undefined) =>
  [...(cell ?? '').matchAll(/`(\w+)`/g)].map((match) => match[1]);

suite('the document', () => {
  test('is YAML without errors', () => {
    assert.deepEqual(parsed.errors, []);
    assert.deepEqual(parsed.warnings, []);
  });

  test('refers only to what is there, and holds nothing that nobody refers to', () => {
    const refs = new Set(
      [...walk(document)].flatMap(({ node }) => (typeof node.$ref === 'string' ? node.$ref : [])),
    );
    assert.deepEqual(
      [...refs].filter((ref) => at(ref) === undefined),
      [],
    );
    const { securitySchemes, ...components } = document.components;
    const unused = Object.entries(components)
      .flatMap(([kind, named]) => Object.keys(named).map((name) => `#/components/${kind}/${name}`))
      .filter((pointer) => !refs.has(pointer));
    assert.deepEqual(unused, []);
  });

  test('names every operation once', () => {
    const names = operations.map(({ operation }) => operation.operationId);
    assert.deepEqual(
      names.filter((name, place) => !name || names.indexOf(name) !== place),
      [],
    );
  });

  test('has examples that fit their schemas', () => {
    const ajv = addFormats.default(new Ajv2020({ strict: false, allErrors: true }));
    ajv.addSchema(document, 'openapi');
    const wrong: string[] = [];
    const check = (pointer: string, example: unknown) => {
      const validate =
        ajv.getSchema(`openapi${encodeURI(pointer)}`) ??
        ajv.compile({ $ref: `openapi${encodeURI(pointer)}` });
      if (!validate(example)) wrong.push(`${pointer}: ${ajv.errorsText(validate.errors)}`);
    };
    let checked = 0;
    for (const { node, pointer } of walk(document)) {
      // Of a schema, then of a body; what stands inside an example is neither.
      const isInExample = /\/(?:examples|value)\//.test(pointer);
      if (isInExample) continue;
      if (Array.isArray(node.examples)) for (const example of node.examples) check(pointer, example);
      else if (isMembers(node.examples) && isMembers(node.schema)) {
        for (const example of Object.values(node.examples)) {
          if (isMembers(example)) check(`${pointer}/schema`, example.value);
        }
      } else continue;
      checked += 1;
    }
    assert.deepEqual(wrong, []);
    assert.ok(checked > 50, `only ${checked} examples were found`);
  });
});

suite('the document and the code agree', () => {
  test('on the management routes and their scopes', () => {
    const line = (method: string, path: string, scopes: readonly string[] | undefined) =>
      `${method} ${path} ${scopes ? [...scopes].sort().join() : 'x-scopes is missing'}`;
    const isSession = (method: string, path: string) =>
      sessionRoutes.some((known) => known[0] === method && known[1] === path);
    const documented = operations
      .filter(({ method, path }) => path.startsWith('/api/') && !isSession(method, path))
      .map(({ method, path, operation }) => line(method, path, operation['x-scopes']));
    const served = routes.map(({ method, path, scopes }) =>
      line(method, path.replace(/:(\w+)/g, '{$1}'), scopes),
    );
    assert.deepEqual(documented.sort(), served.sort());
    for (const [method = '', path = ''] of sessionRoutes) {
      assert.ok(document.paths[path]?.[method], `${method} ${path} is not documented`);
    }
  });

  test('on the codes of faults', () => {
    const source = readFileSync(join(root, 'src/domain/fault.ts'), 'utf8');
    const [, union = ''] = /export type FaultCode =([^;]+);/.exec(source) ?? [];
    const codes = [...union.matchAll(/'(\w+)'/g)].map((match) => match[1]);
    assert.ok(codes.length > 20, 'the union was not found');
    assert.deepEqual(documentedCodes().sort(), [...codes, 'internal'].sort());
  });

  test('on the status of each code', () => {
    const rows = tableRows(document.info.description).filter(([status]) => /^\d{3}$/.test(status ?? ''));
    const documented = rows.flatMap(([status, codes]) =>
      quotedWords(codes).map((code) => `${code} ${status}`),
    );
    const served = documentedCodes().map(
      (code) => `${code} ${code === 'internal' ? statusOf(new Error()) : statusOf(new Fault(code, ''))}`,
    );
    assert.deepEqual(documented.sort(), served.sort());
  });

  test('on the functions, their params and kinds', () => {
    const [, ...rows] = tableRows(document.components.schemas.Step?.description);
    const documented = rows.map(([name, , params, kind]) => {
      const names = [...(params ?? '').matchAll(/`(\w+)\??`/g)].map((match) => match[1]);
      return { name: quotedWords(name)[0], names, kind };
    });
    const served = Object.entries(functionCatalogue).map(([name, { params, slot }]) => ({
      name,
      names: Object.keys(params.properties),
      kind: slot === null ? 'pulse' : 'state',
    }));
    assert.deepEqual(
      documented.map(({ name, kind }) => `${name} ${kind}`).sort(),
      served.map(({ name, kind }) => `${name} ${kind}`).sort(),
    );
    for (const { name, names } of served) {
      const row = documented.find((known) => known.name === name);
      assert.deepEqual(
        names.filter((param) => !row?.names.includes(param)),
        [],
        `${name} has params that are not described`,
      );
    }
  });
});

suite('the page', () => {
  test('is served with all it needs, and without inline script', async () => {
    await using server = await startServer();
    for (const path of ['/docs', '/docs/']) {
      const address = new URL(path, server.url);
      const { status, headers, body } = await request(address.href, { key: null });
      assert.equal(status, 200);
      assert.match(headers.get('content-type') ?? '', /^text\/html/);
      assert.deepEqual(
        [...body.matchAll(/<script(?![^>]*\bsrc=)/g)],
        [],
        'a script without src would be stopped by the content security policy',
      );
      const assets = [...body.matchAll(/\b(?:src|href)="([^"]+)"/g)].map(
        (match) => new URL(match[1], address),
      );
      assert.ok(assets.length >= 5);
      for (const asset of assets) {
        assert.equal(asset.origin, address.origin);
        const answer = await request(asset.href, { key: null });
        assert.equal(answer.status, 200, asset.pathname);
        assert.ok(answer.headers.get('cache-control'), asset.pathname);
      }
    }
    const contract = await request(`${server.url}/openapi.yaml`, { key: null });
    assert.match(contract.headers.get('content-type') ?? '', /^application\/yaml/);
    assert.equal(contract.body, text);
  });

  test("does not serve the package's own start page", async () => {
    await using server = await startServer();
    for (const name of ['index.html', 'swagger-initializer.js', 'package.json', '..%2fpackage.json']) {
      assert.equal((await request(`${server.url}/docs/${name}`, { key: null })).status, 404, name);
    }
  });
});
