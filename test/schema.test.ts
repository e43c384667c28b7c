import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { suite, test } from 'node:test';
import { dumpSchema, type SchemaName, schemaFile } from './support/schema-dump.ts';

suite('the schema', () => {
  const mysqlUrl = process.env.FLEETHOOK_TEST_MYSQL_URL;
  for (const name of ['sqlite', 'mysql'] as const) {
    const skip = name === 'mysql' && !mysqlUrl ? 'there is no MariaDB' : false;

    test(`of ${name} is the one in db/`, { skip }, async () => {
      const schema = await dumpSchema(name, mysqlUrl ?? '');
      const kept = readFileSync(schemaFile(name), 'utf8');
      assert.equal(schema, kept, 'the migrations make another schema: run npm run schema');
    });
  }

  test('of both databases has the same tables, columns and indexes', () => {
    assert.deepEqual(shapeOf('sqlite'), shapeOf('mysql'));
  });

  test('compares text byte by byte', () => {
    const lines = readFileSync(schemaFile('mysql'), 'utf8').split('\n');
    const texts = lines.filter((line) => / (?:varchar|mediumtext|text|char)\b/.test(line));
    assert.ok(texts.length > 0);
    assert.deepEqual(
      texts.filter((line) => !line.includes('collate utf8mb4_bin')),
      [],
    );
  });
});

/** Its tables with the names of their columns, and what their indexes are over. */
function shapeOf(name: SchemaName): string[][] {
  const [, ...tables] = readFileSync(schemaFile(name), 'utf8').split('\n\n');
  return tables.map((table) => {
    const lines = table.split('\n').map((line) => line.trim());
    return lines
      .map((line) => line.replace(/^((?:unique )?index) .*?(\(.*\)).*/, '$1 $2').replace(columnEnd, '$1'))
      .sort();
  });
}

/** What follows the name of a column. */
const columnEnd = /^(?!create|unique|index)(\w+) .*/;
