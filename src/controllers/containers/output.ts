import { watch } from 'node:fs';
import { type FileHandle, open, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { DecodeError } from '../../lib/errors.ts';
import { type Frame, frame, frameHeader } from '../../model/frame.ts';

/**
 * Reading a log while it is written. Its files are named by the offset of their first byte in all output, so that a place
 * in it stays the same place when older files go. Only whole frames are given out; a torn one at the end (a full disk) is
 * read again later.
 */
export interface LogReading {
  readonly directory: string;
  readonly follow: boolean;
  /** Leaves out what is before it. */
  readonly offset?: number;
  /** Leaves out all but the last so many lines of what there is. */
  readonly tail?: number;
  /** Aborts when no more is written. */
  readonly ended: AbortSignal;
  readonly signal: AbortSignal;
}

const chunkSize = 256 * 1024;

export async function* readLog(reading: LogReading): AsyncGenerator<Uint8Array> {
  const { directory, tail, follow, signal } = reading;
  if (tail === undefined) {
    yield* readFrames(reading);
    return;
  }
  const now = await Extent.open(directory);
  try {
    yield* lastLines(now, tail, signal);
  } finally {
    await now.close();
  }
  if (follow) yield* readFrames({ ...reading, offset: now.read });
}

async function* lastLines(now: Extent, tail: number, signal: AbortSignal): AsyncGenerator<Uint8Array> {
  let skip = Math.max(0, (await countLines(now.frames(signal))) - tail);
  for await (const chunk of now.frames(signal)) {
    if (skip === 0) {
      yield chunk;
      continue;
    }
    for (const next of framesOf(chunk)) {
      const { kept, skipped } = skipLines(next, skip);
      skip -= skipped;
      if (kept.bytes.length > 0) yield frame.encode(kept);
    }
  }
}

async function countLines(chunks: AsyncIterable<Uint8Array>): Promise<number> {
  let lines = 0;
  let last: number | undefined = 10;
  for await (const chunk of chunks) {
    for (const { bytes } of framesOf(chunk)) {
      for (let at = bytes.indexOf(10); at >= 0; at = bytes.indexOf(10, at + 1)) lines += 1;
      last = bytes.at(-1) ?? last;
    }
  }
  return last === 10 ? lines : lines + 1;
}

/**
 * All that a log holds at one moment. It stays the same, however often it is read: what is written later is not in it,
 * what goes is.
 */
class Extent {
  /** Where the last reading has ended, in all output. */
  read = 0;
  readonly #files: readonly LogFile[];
  readonly #end: number;

  private constructor(files: readonly LogFile[], end: number) {
    this.#files = files;
    this.#end = end;
  }

  static async open(directory: string): Promise<Extent> {
    const files: LogFile[] = [];
    try {
      for (const base of await listBases(directory)) {
        const file = await LogFile.open(directory, base);
        if (file !== undefined) files.push(file);
      }
      return new Extent(files, (await files.at(-1)?.end()) ?? 0);
    } catch (error) {
      for (const file of files) await file.close();
      throw error;
    }
  }

  async *frames(signal: AbortSignal): AsyncGenerator<Uint8Array> {
    for (const file of this.#files) {
      file.offset = file.base;
      while (!signal.aborted) {
        const chunk = await file.read(this.#end);
        if (chunk === undefined) break;
        file.offset += chunk.length;
        yield chunk;
      }
      this.read = file.offset;
    }
  }

  async close(): Promise<void> {
    for (const file of this.#files) await file.close();
  }
}

function skipLines(whole: Frame, most: number): { kept: Frame; skipped: number } {
  let skipped = 0;
  let start = 0;
  while (skipped < most) {
    const newline = whole.bytes.indexOf(10, start);
    start = newline < 0 ? whole.bytes.length : newline + 1;
    if (newline < 0) break;
    skipped += 1;
  }
  return { kept: { ...whole, bytes: whole.bytes.subarray(start) }, skipped };
}

function* framesOf(chunk: Uint8Array): Generator<Frame> {
  for (let next = frame.decode(chunk); next !== undefined; next = frame.decode(next.rest)) yield next.frame;
}

async function* readFrames({ directory, follow, offset = 0, ended, signal }: LogReading): AsyncGenerator<Uint8Array> {
  using changes = follow ? watchChanges(directory, [ended, signal]) : undefined;
  let file: LogFile | undefined;
  try {
    while (!signal.aborted) {
      // In this order: what these say may not have become true only after the reading.
      const change = changes?.next();
      const over = ended.aborted;
      const bases = await listBases(directory);
      file ??= await LogFile.open(directory, bases.findLast((base) => base <= offset) ?? bases[0]);
      const chunk = await file?.read();
      if (file !== undefined && chunk !== undefined) {
        const start = Math.max(0, offset - file.offset);
        file.offset += chunk.length;
        if (start < chunk.length) yield chunk.subarray(start);
        continue;
      }
      const base = file?.base ?? -1;
      const next = bases.find((candidate) => candidate > base);
      if (next !== undefined) {
        await file?.close();
        file = await LogFile.open(directory, next);
        continue;
      }
      if (change === undefined || over) return;
      await change;
    }
  } finally {
    await file?.close();
  }
}

class LogFile {
  readonly base: number;
  /** In all output, of what is read next. */
  offset: number;
  readonly #file: FileHandle;
  readonly #buffer = Buffer.alloc(chunkSize);

  private constructor(file: FileHandle, base: number) {
    this.#file = file;
    this.base = base;
    this.offset = base;
  }

  /** Undefined when there is no such file, or not any more. */
  static async open(directory: string, base: number | undefined): Promise<LogFile | undefined> {
    if (base === undefined) return undefined;
    try {
      return new LogFile(await open(join(directory, `log.${base}`), 'r'), base);
    } catch (error) {
      if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return undefined;
      throw error;
    }
  }

  /** In all output, of what is written next. */
  async end(): Promise<number> {
    return this.base + (await this.#file.stat()).size;
  }

  /** The next whole frames before `end`; undefined when there is none now. The caller moves `offset` on. @throws DecodeError */
  async read(end = Number.POSITIVE_INFINITY): Promise<Uint8Array | undefined> {
    const length = Math.min(chunkSize, end - this.offset);
    const { bytesRead } = await this.#file.read(this.#buffer, 0, length, this.offset - this.base);
    let whole = 0;
    for (const { bytes } of framesOf(this.#buffer.subarray(0, bytesRead))) whole += frameHeader + bytes.length;
    if (whole === 0 && bytesRead === chunkSize) {
      throw new DecodeError(`the log at ${this.offset} has a frame of more than ${chunkSize} bytes`);
    }
    return whole === 0 ? undefined : Buffer.from(this.#buffer.subarray(0, whole));
  }

  async close(): Promise<void> {
    await this.#file.close();
  }
}

async function listBases(directory: string): Promise<readonly number[]> {
  const names = await readdir(directory).catch(() => []);
  return names
    .flatMap((name) => /^log\.(0|[1-9]\d{0,14})$/.exec(name)?.[1] ?? [])
    .map(Number)
    .sort((a, b) => a - b);
}

interface Changes extends Disposable {
  /** Resolves at the first change after this call, or when one of the signals aborts after it. */
  next(): Promise<void>;
}

function watchChanges(directory: string, signals: readonly AbortSignal[]): Changes {
  let change = Promise.withResolvers<void>();
  const wake = () => change.resolve();
  for (const signal of signals) signal.addEventListener('abort', wake);
  const watcher = (() => {
    try {
      return watch(directory, wake);
    } catch {
      return undefined;
    }
  })();
  // The directory may go, or the host's inotify watches be used up: then a look now and then has to do.
  let blind = watcher === undefined;
  watcher?.on('error', () => {
    blind = true;
    wake();
  });
  return {
    next() {
      change = Promise.withResolvers();
      if (blind) setTimeout(change.resolve, 250);
      return change.promise;
    },
    [Symbol.dispose]() {
      watcher?.close();
      for (const signal of signals) signal.removeEventListener('abort', wake);
    },
  };
}
