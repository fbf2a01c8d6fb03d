import { type ConversionConfig, type JsonSchema, toJsonSchema } from '@valibot/to-json-schema';
import type * as v from 'valibot';
import { type Route, routes } from './routes.ts';
import { Problem } from './schema.ts';

/** OpenAPI 3.1, made from the table of routes and the schemas that requests are checked with. */
export interface Description {
  readonly openapi: string;
  readonly info: { readonly title: string; readonly version: string };
  readonly servers: readonly { readonly url: string }[];
  readonly paths: Readonly<Record<string, Readonly<Record<string, Operation>>>>;
}

export interface Operation {
  readonly operationId: string;
  readonly summary: string;
  readonly parameters: readonly object[];
  readonly requestBody?: object;
  readonly responses: Readonly<Record<string, object>>;
}

export function describeApi(version: string): Description {
  const paths: Record<string, Record<string, Operation>> = {};
  for (const [operationId, route] of Object.entries<Route>(routes)) {
    const path = describePath(route.path);
    paths[path] = { ...paths[path], [route.method.toLowerCase()]: describe(operationId, route) };
  }
  return { openapi: '3.1.0', info: { title: 'Skein', version }, servers: [{ url: 'http://localhost/v1' }], paths };
}

/** `/networks/:name` is `/networks/{name}` in OpenAPI. */
export function describePath(path: string): string {
  return path.replace(/:(\w+)/g, '{$1}');
}

function describe(operationId: string, { sentence, params, query, body, answer }: Route): Operation {
  return {
    operationId,
    summary: sentence,
    parameters: [...describeParameters('path', params), ...describeParameters('query', query)],
    ...(body === undefined
      ? {}
      : { requestBody: { required: body === 'bytes', content: describeContent(body, 'input') } }),
    responses: {
      '200': { description: sentence, content: describeContent(answer, 'output') },
      default: { description: 'Refused, or failed', content: describeContent(Problem, 'output') },
    },
  };
}

function describeContent(content: v.GenericSchema | 'bytes' | 'frames', typeMode: 'input' | 'output') {
  if (content === 'bytes' || content === 'frames') return { 'application/octet-stream': {} };
  return { 'application/json': { schema: jsonSchemaOf(content, { typeMode }) } };
}

function describeParameters(place: 'path' | 'query', schema: v.GenericSchema | undefined): object[] {
  if (schema === undefined) return [];
  const { properties = {}, required = [] } = jsonSchemaOf(schema, { typeMode: 'input' });
  return Object.entries(properties).map(([name, property]) => ({
    name,
    in: place,
    required: required.includes(name),
    schema: property,
  }));
}

/** Checks that JSON Schema has no words for (addresses, prefixes) are left out; the daemon makes them all the same. */
function jsonSchemaOf(schema: v.GenericSchema, config: ConversionConfig): JsonSchema {
  const { $schema: _, ...rest } = toJsonSchema(schema, { errorMode: 'ignore', target: 'draft-2020-12', ...config });
  return rest;
}
