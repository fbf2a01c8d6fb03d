import { Refusal } from '../../lib/errors.ts';
import type { TerminalSize } from './containers.ts';

/** What a supervisor is told to run; it reads it from the file `spec` (`native/shim/spec.c`). */
export type ShimSpec = CommandSpec & (ContainerSpec | ExecutionSpec);

interface CommandSpec {
  /** Path of the control socket, at most 107 bytes. */
  readonly control: string;
  readonly command: readonly string[];
  /** All of it: nothing is inherited. */
  readonly env: readonly string[];
  readonly tty: boolean;
  /** 1 to 65535 each. */
  readonly size?: TerminalSize;
  readonly input: boolean;
  /** Bytes after which the log goes on in a new file. */
  readonly logSize: number;
}

interface ContainerSpec {
  readonly mode: 'run';
  readonly netns: string;
  readonly hostname: string;
  readonly rootfs?: string;
}

interface ExecutionSpec {
  readonly mode: 'exec';
  /** Directory of the container to join. */
  readonly join: string;
}

const most = { bytes: 2 * 1024 * 1024, words: 4096 } as const;

/** Records `key=value`, each ended by NUL. @throws Refusal 'invalid' for what cannot be said so */
export function formatShimSpec(spec: ShimSpec): Uint8Array {
  if (spec.command.length > most.words || spec.env.length > most.words) {
    throw new Refusal('invalid', `the command or its environment has more than ${most.words} words`);
  }
  const place =
    spec.mode === 'run'
      ? [`netns=${spec.netns}`, `hostname=${spec.hostname}`, ...(spec.rootfs ? [`rootfs=${spec.rootfs}`] : [])]
      : [`join=${spec.join}`];
  const records = [
    'skein-spec=1',
    `control=${spec.control}`,
    ...place,
    `tty=${spec.tty ? 1 : 0}`,
    ...(spec.size ? [`rows=${spec.size.rows}`, `columns=${spec.size.columns}`] : []),
    `input=${spec.input ? 1 : 0}`,
    `log-size=${spec.logSize}`,
    ...spec.env.map((word) => `env=${word}`),
    ...spec.command.map((word) => `arg=${word}`),
    'end=',
  ];
  if (records.some((record) => record.includes('\0'))) {
    throw new Refusal('invalid', 'the command, its environment or a path holds a NUL character');
  }
  const bytes = Buffer.from(`${records.join('\0')}\0`);
  if (bytes.length > most.bytes) {
    throw new Refusal('invalid', `the command and its environment are longer than ${most.bytes} bytes`);
  }
  return bytes;
}
