import { type DestinationStream, pino, stdSerializers } from 'pino';
import { ParseError, Refusal } from '../lib/errors.ts';
import type { Fields, Log } from '../lib/log.ts';
import type { Settings } from '../model/settings.ts';

type Destination = DestinationStream & { readonly isTTY?: boolean };

/** JSON lines for programs, or one readable line each for people: at a terminal, or when asked for. */
export function openLog({ logLevel, logFormat }: Pick<Settings, 'logLevel' | 'logFormat'>, to: Destination): Log {
  const text = logFormat === 'text' || (logFormat === 'auto' && to.isTTY === true);
  const stream = text ? { write: (line: string) => to.write(formatLine(line)) } : to;
  const lines = pino(
    {
      level: logLevel,
      base: null,
      timestamp: () => `,"time":"${new Date().toISOString()}"`,
      formatters: { level: (level) => ({ level }) },
      serializers: { error: formatError },
    },
    stream,
  );
  const at = (level: keyof Log) => (message: string, fields?: Fields) => lines[level](fields ?? {}, message);
  return { debug: at('debug'), info: at('info'), warn: at('warn'), error: at('error') };
}

/** Errors that say all in one sentence need no stack. */
function formatError(error: unknown): unknown {
  if (error instanceof Refusal || error instanceof ParseError) return error.message;
  return error instanceof Error ? stdSerializers.err(error) : error;
}

/** `2026-11-20T18:00:00.000Z WARN  host lost host=… name=h2` */
function formatLine(json: string): string {
  const { time, level, msg, ...fields }: Record<string, unknown> = JSON.parse(json);
  const rest = Object.entries(fields).map(([name, value]) => ` ${name}=${formatField(value)}`);
  return `${String(time)} ${String(level).toUpperCase().padEnd(5)} ${String(msg)}${rest.join('')}\n`;
}

function formatField(value: unknown): string {
  const error = typeof value === 'object' && value !== null && 'message' in value ? value.message : value;
  return typeof error === 'string' && /^[\w.:/@-]+$/.test(error) ? error : JSON.stringify(error);
}
