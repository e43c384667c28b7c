/** Devices as a table: what people fill in by hand, read into what `POST /devices` takes as JSON. */
import { parse } from 'csv-parse/sync';
import { Fault } from '../domain/fault.ts';
import { readJsonText } from '../domain/json.ts';

/** The columns: name, group_id or group, type, tags (parted by semicolons), metadata (JSON). Empty cells are left out. */
export function devicesOfCsv(text: string): unknown[] {
  let rows: Record<string, string>[];
  try {
    rows = parse(text, { columns: true, trim: true, bom: true, skip_empty_lines: true });
  } catch (error) {
    throw new Fault('bad_request', `the body is not CSV: ${(error as Error).message}`);
  }
  return rows.map(({ tags, metadata, ...rest }, place) => ({
    ...Object.fromEntries(Object.entries(rest).filter(([, value]) => value !== '')),
    ...(tags ? { tags: tagsOf(tags) } : {}),
    ...(metadata ? { metadata: metadataOf(metadata, `line ${place + 2}: metadata`) } : {}),
  }));
}

function tagsOf(text: string): string[] {
  return text
    .split(';')
    .map((tag) => tag.trim())
    .filter(Boolean);
}

function metadataOf(text: string, what: string): unknown {
  return readJsonText(text, what);
}
