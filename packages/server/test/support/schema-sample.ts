import type { Wire } from './server.ts';

/** What schemas cannot say: values of fields by their names, tried before the field's own schema. */
export type Named = Readonly<Record<string, unknown>>;

/** The smallest value that a JSON schema of our own document takes: required fields only, the first of alternatives. */
export function sampleOf(document: Wire, schema: Wire, named: Named = {}, depth = 0): unknown {
  if (schema === undefined || depth > 12) return undefined;
  if (typeof schema.$ref === 'string') return sampleOf(document, resolve(document, schema.$ref), named, depth + 1);
  if ('const' in schema) return schema.const;
  if (schema.default !== undefined) return schema.default;
  if (Array.isArray(schema.enum)) return schema.enum[0];
  if (Array.isArray(schema.anyOf ?? schema.oneOf)) return sampleOf(document, (schema.anyOf ?? schema.oneOf)[0], named, depth + 1);
  if (Array.isArray(schema.allOf))
    return Object.assign({}, ...schema.allOf.map((part: Wire) => sampleOf(document, part, named, depth + 1)));
  return sampleByType(document, schema, named, depth);
}

function sampleByType(document: Wire, schema: Wire, named: Named, depth: number): unknown {
  switch (Array.isArray(schema.type) ? schema.type[0] : schema.type) {
    case 'object':
      return Object.fromEntries(
        (schema.required ?? []).map((name: string) => [
          name,
          name in named ? named[name] : sampleOf(document, schema.properties?.[name], named, depth + 1),
        ]),
      );
    case 'array':
      return Array.from({ length: schema.minItems ?? 0 }, () => sampleOf(document, schema.items, named, depth + 1));
    case 'integer':
    case 'number':
      return schema.minimum ?? 1;
    case 'boolean':
      return false;
    case 'null':
      return null;
    default:
      return textOf(schema);
  }
}

function textOf({ format, minLength = 1 }: Wire): string {
  if (format === 'date-time') return '2040-01-01T00:00:00.000Z';
  if (format === 'date') return '2040-01-01';
  if (format === 'uri') return 'https://example.org/';
  return 'x'.repeat(Math.max(1, minLength));
}

/** What a reference within the document leads to. */
export function resolve(document: Wire, reference: string): Wire {
  return reference
    .slice(2)
    .split('/')
    .reduce((at: Wire, part: string) => at?.[part], document);
}
