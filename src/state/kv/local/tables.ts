import { closeSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { DatabaseSync } from 'node:sqlite';
import { messageOf } from '../../../lib/errors.ts';
import type { JournalChange, JournalEntry, JournalKind } from '../../journal.ts';
import type { Condition, Item } from '../store.ts';
import type { Answer, Change, LocalWrite, Request } from './protocol.ts';

/** 'skei': marks the file as ours. */
const applicationId = 0x736b6569;
const version = 1;

/**
 * The database file, held by this process alone until it ends. Work comes in batches, each one transaction: what arrives
 * while one is written waits for the next, so that many commits share one flush to disk.
 */
export class Tables {
  readonly #db: DatabaseSync;
  readonly #path: string;
  #revision: number;

  /** @throws Error with a sentence that says what to do */
  constructor(path: string) {
    this.#path = path;
    this.#db = openFile(path);
    this.#db.exec(`
      create table if not exists kv (key text primary key, value text not null, revision integer not null, session text)
        without rowid;
      create table if not exists counter (name text primary key, value integer not null) without rowid;
      create table if not exists journal (kind text not null, id text not null, value text not null, primary key (kind, id))
        without rowid;
      insert or ignore into counter values ('revision', 1);
      delete from kv where session is not null;
    `);
    this.#revision = Number(this.#db.prepare(`select value from counter where name = 'revision'`).get()?.['value']);
  }

  /** Answers in the order of the requests. When the batch fails each is tried by itself, so that one cannot fail others. */
  run(requests: readonly Request[]): Answer[] {
    try {
      return this.#transaction(requests);
    } catch (error) {
      if (requests.length > 1) return requests.flatMap((request) => this.run([request]));
      return [{ kind: 'failed', message: `${this.#path}: ${messageOf(error)}` }];
    }
  }

  close(): void {
    this.#db.close();
    rmSync(ownerFile(this.#path), { force: true });
  }

  #transaction(requests: readonly Request[]): Answer[] {
    const before = this.#revision;
    this.#db.exec('begin immediate');
    try {
      const answers = requests.map((request) => this.#answer(request));
      if (this.#revision !== before)
        this.#statement(`update counter set value = ? where name = 'revision'`).run(this.#revision);
      this.#db.exec('commit');
      return answers;
    } catch (error) {
      this.#revision = before;
      if (this.#db.isTransaction) this.#db.exec('rollback');
      throw error;
    }
  }

  #answer(request: Request): Answer {
    switch (request.kind) {
      case 'list':
        return { kind: 'listed', items: this.#list(request.prefix), revision: this.#revision };
      case 'commit':
        return this.#commit(request.conditions, request.writes);
      case 'end-session':
        return this.#commit([], this.#keysOf(request.session));
      case 'load':
        return { kind: 'loaded', entries: this.#load(request.of) };
      case 'journal':
        for (const change of request.changes) this.#journal(change);
        return { kind: 'committed', result: { done: true }, changes: [] };
    }
  }

  #list(prefix: string): Item[] {
    if (!prefix.endsWith('/')) return this.#one(prefix);
    const select = this.#statement('select key, value, revision from kv where key >= ? and key < ? order by key');
    return select.all(prefix, `${prefix.slice(0, -1)}0`).map(itemOf);
  }

  #one(key: string): Item[] {
    return this.#statement('select key, value, revision from kv where key = ?').all(key).map(itemOf);
  }

  #commit(conditions: readonly Condition[], writes: readonly LocalWrite[]): Answer {
    const there = conditions.map(({ key }) => this.#one(key)[0]);
    if (conditions.some(({ revision }, i) => there[i]?.revision !== revision)) {
      const items = there.filter((item) => item !== undefined);
      return { kind: 'committed', result: { done: false, items }, changes: [] };
    }
    if (writes.length > 0) this.#revision += 1;
    const changes = writes.map((write) => this.#write(write)).filter((change) => change !== undefined);
    return { kind: 'committed', result: { done: true }, changes };
  }

  #write(write: LocalWrite): Change | undefined {
    const revision = this.#revision;
    if (write.kind === 'delete') {
      const { changes } = this.#statement('delete from kv where key = ?').run(write.key);
      return Number(changes) > 0 ? { kind: 'delete', revision, key: write.key } : undefined;
    }
    const { key, value, session } = write;
    this.#statement('insert or replace into kv values (?, ?, ?, ?)').run(key, value, revision, session ?? null);
    return { kind: 'put', revision, item: { key, value, revision: String(revision) } };
  }

  #keysOf(session: string): LocalWrite[] {
    const rows = this.#statement('select key from kv where session = ?').all(session);
    return rows.map(({ key }) => ({ kind: 'delete', key: String(key) }));
  }

  #load(kind: JournalKind): JournalEntry[] {
    const rows = this.#statement('select id, value from journal where kind = ? order by id').all(kind);
    return rows.map(({ id, value }) => ({ id: String(id), value: JSON.parse(String(value)) }));
  }

  #journal(change: JournalChange): void {
    if ('remove' in change)
      this.#statement('delete from journal where kind = ? and id = ?').run(change.kind, change.id);
    else {
      const value = JSON.stringify(change.put);
      this.#statement('insert or replace into journal values (?, ?, ?)').run(change.kind, change.id, value);
    }
  }

  readonly #statements = new Map<string, ReturnType<DatabaseSync['prepare']>>();

  #statement(sql: string): ReturnType<DatabaseSync['prepare']> {
    const known = this.#statements.get(sql);
    if (known) return known;
    const made = this.#db.prepare(sql);
    this.#statements.set(sql, made);
    return made;
  }
}

function itemOf(row: Record<string, unknown>): Item {
  return { key: String(row['key']), value: String(row['value']), revision: String(row['revision']) };
}

/** Beside the database: the pid of the process that has it, so that the next one can name it. */
function ownerFile(path: string): string {
  return `${path}.pid`;
}

function openFile(path: string): DatabaseSync {
  const db = attempt(path, 'cannot be opened', () => {
    // SQLite would let everybody read it, and the host's key and a store's password may be in it. Its log has the same mode.
    closeSync(openSync(path, 'a', 0o600));
    return new DatabaseSync(path);
  });
  try {
    attempt(path, 'cannot be read', () => {
      // Exclusive before anything is read: the lock is then kept until the process ends, and no shared memory is used.
      db.exec('pragma locking_mode = exclusive; pragma busy_timeout = 0; begin exclusive; commit');
    });
    const number = (pragma: string) => Number(db.prepare(`pragma ${pragma}`).get()?.[pragma]);
    const [id, found] = [number('application_id'), number('user_version')];
    const empty = db.prepare('select count(*) as n from sqlite_schema').get()?.['n'] === 0;
    if (id !== applicationId && !(empty && id === 0)) {
      throw new Error(`${path} is a database of another program; name another file, or move it away`);
    }
    if (found > version) {
      throw new Error(
        `${path} was written by a newer skein (format ${found}, this one knows ${version}); start that one, or move the file away and this host begins anew`,
      );
    }
    attempt(path, 'is damaged', () => {
      const verdict = Object.values(db.prepare('pragma quick_check(1)').get() ?? {})[0];
      if (verdict !== 'ok') throw new Error(String(verdict).replaceAll(/\s+/g, ' '));
    });
    attempt(path, 'cannot be written', () => {
      db.exec(`pragma journal_mode = wal; pragma synchronous = full;
        pragma application_id = ${applicationId}; pragma user_version = ${version}`);
      writeFileSync(ownerFile(path), `${process.pid}\n`, { mode: 0o600 });
    });
    return db;
  } catch (error) {
    db.close();
    throw error;
  }
}

function attempt<T>(path: string, failing: string, task: () => T): T {
  try {
    return task();
  } catch (cause) {
    const code = cause instanceof Error && 'errcode' in cause ? Number(cause.errcode) & 0xff : 0;
    if (code === sqlite.busy) throw new Error(`${path} is in use by ${ownerOf(path)}; stop it first`, { cause });
    if (code === sqlite.notADatabase || code === sqlite.corrupt || failing === 'is damaged') {
      const advice = 'restore it, or move it away and this host begins anew';
      throw new Error(`${path} is not a database that can be read (${messageOf(cause)}); ${advice}`, { cause });
    }
    const advice = 'see that the folder exists, is writable and has space';
    throw new Error(`${path} ${failing}: ${messageOf(cause)}; ${advice}`, { cause });
  }
}

/** The low bytes of SQLite's result codes (sqlite3.h). */
const sqlite = { busy: 5, corrupt: 11, notADatabase: 26 } as const;

function ownerOf(path: string): string {
  try {
    const pid = /^\d{1,10}$/.exec(readFileSync(ownerFile(path), 'utf8').trim())?.[0];
    return pid === undefined ? 'another process' : `process ${pid}`;
  } catch {
    return 'another process';
  }
}
