import { constants } from 'node:os';

/** What the kernel said no to. `code` is the name of the errno, for the caller to decide on: `EEXIST`, `ENODEV`. */
export class KernelError extends Error {
  override readonly name = 'KernelError';
  readonly code: string;
  /** What was tried on what. */
  readonly action: string;

  /** `action` is what was tried on what; `detail` the kernel's own words on it (extended acknowledgement). */
  constructor(action: string, code: string, options: ErrorOptions & { readonly detail?: string | undefined } = {}) {
    const text = texts[code];
    const reason = text === undefined ? code : `${text} (${code})`;
    super(options.detail ? `${action}: ${reason}: ${options.detail}` : `${action}: ${reason}`, options);
    this.code = code;
    this.action = action;
  }

  /** The same as the outcome of a second try: it may be the first one's doing, and must not hide it. */
  after(first: KernelError): KernelError {
    if (first.message === this.message) return this;
    return new KernelError(this.action, this.code, { detail: `tried again, after ${first.message}`, cause: this });
  }
}

/** Whether this is the kernel's refusal with one of these codes. */
export function isKernelError(error: unknown, ...codes: readonly string[]): error is KernelError {
  return error instanceof KernelError && codes.includes(error.code);
}

/** The name of an errno; where two names have one number, the one that kernel sources use. */
export function errnoName(errno: number): string {
  return names.get(errno) ?? `errno ${errno}`;
}

const names = new Map<number, string>(
  Object.entries({ ...constants.errno, EXFULL: 54, ENOTSUPP: 524 }).map(([name, number]) => [number, name]),
);
for (const name of ['EAGAIN', 'EOPNOTSUPP'] as const) names.set(constants.errno[name], name);

/** The words of strerror(3), which people know from `ip` and can search for. */
const texts: Readonly<Record<string, string>> = {
  E2BIG: 'Argument list too long',
  EACCES: 'Permission denied',
  EADDRINUSE: 'Address already in use',
  EADDRNOTAVAIL: 'Cannot assign requested address',
  EAFNOSUPPORT: 'Address family not supported by protocol',
  EAGAIN: 'Resource temporarily unavailable',
  EBADF: 'Bad file descriptor',
  EBUSY: 'Device or resource busy',
  EEXIST: 'File exists',
  EHOSTUNREACH: 'No route to host',
  EINTR: 'Interrupted system call',
  EINVAL: 'Invalid argument',
  EIO: 'Input/output error',
  ELOOP: 'Too many levels of symbolic links',
  EMFILE: 'Too many open files',
  EMSGSIZE: 'Message too long',
  ENAMETOOLONG: 'File name too long',
  ENETDOWN: 'Network is down',
  ENETUNREACH: 'Network is unreachable',
  ENFILE: 'Too many open files in system',
  ENOBUFS: 'No buffer space available',
  ENODATA: 'No data available',
  ENODEV: 'No such device',
  ENOENT: 'No such file or directory',
  ENOMEM: 'Cannot allocate memory',
  ENOSPC: 'No space left on device',
  ENOSYS: 'Function not implemented',
  ENOTCONN: 'Transport endpoint is not connected',
  ENOTDIR: 'Not a directory',
  ENOTSUPP: 'Operation not supported by the kernel',
  ENXIO: 'No such device or address',
  EOPNOTSUPP: 'Operation not supported',
  EPERM: 'Operation not permitted',
  EPROTO: 'Protocol error',
  EPROTONOSUPPORT: 'Protocol not supported',
  ERANGE: 'Numerical result out of range',
  EROFS: 'Read-only file system',
  ESRCH: 'No such process',
  ETIMEDOUT: 'No answer in time',
  EXDEV: 'Invalid cross-device link',
};
