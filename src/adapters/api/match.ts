import { type Route, type RouteKey, routes } from './routes.ts';

export interface Match {
  readonly key: RouteKey;
  /** What stands in the path for the route's parameters. */
  readonly params: Readonly<Record<string, string>>;
}

interface Pattern {
  readonly key: RouteKey;
  readonly method: Route['method'];
  readonly segments: readonly string[];
}

const patterns = Object.entries(routes).map(
  ([key, { method, path }]): Pattern => ({ key: key as RouteKey, method, segments: `/v1${path}`.split('/') }),
);

/** The route that a request is for. */
export function matchRoute(method: string, path: string): Match | undefined {
  const parts = path.split('/', mostSegments + 1);
  for (const pattern of patterns) {
    const params = pattern.method === method ? paramsOf(pattern, parts) : undefined;
    if (params) return { key: pattern.key, params };
  }
  return undefined;
}

const mostSegments = Math.max(...patterns.map(({ segments }) => segments.length));

function paramsOf({ segments }: Pattern, parts: readonly string[]): Match['params'] | undefined {
  if (parts.length !== segments.length) return undefined;
  const params: Record<string, string> = {};
  for (const [i, segment] of segments.entries()) {
    const part = parts[i] ?? '';
    if (!segment.startsWith(':')) {
      if (part !== segment) return undefined;
    } else if (part === '') return undefined;
    else params[segment.slice(1)] = unescaped(part);
  }
  return params;
}

/** What is no escape stays as it is: it will name nothing. */
function unescaped(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}
