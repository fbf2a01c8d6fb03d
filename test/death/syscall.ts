import { NLM_F, nlmsg } from '../../src/kernel/netlink/message.ts';
import { openSyscalls as open, type Syscalls } from '../../src/kernel/syscall.ts';
import { counted } from './doom.ts';

// biome-ignore lint/performance/noBarrelFile: it stands for the whole of it
export * from '../../src/kernel/syscall.ts';

const NETLINK_ROUTE = 0;
const NFNL_MSG_BATCH_BEGIN = 0x10;
/** linux/ethtool.h: commands that set. */
const ethtoolSets = new Set([0x2c]);

/** Stands for `kernel/syscall.ts` in a daemon that is to die. */
export function openSyscalls(): Syscalls {
  const sys = open();
  const families = new Map<number, number>();
  const count = <T>(what: string, call: () => T) => counted('kernel', what, call);
  return {
    ...sys,
    socket(domain, type, protocol) {
      const fd = sys.socket(domain, type, protocol);
      families.set(fd, protocol);
      return fd;
    },
    send(fd, bytes, flags) {
      const changes = changesIn(bytes, families.get(fd) ?? NETLINK_ROUTE);
      const send = () => sys.send(fd, bytes, flags);
      return changes === '' ? send() : count(`send ${changes}`, send);
    },
    ioctl(fd, request, device, data) {
      const control = () => sys.ioctl(fd, request, device, data);
      const [command = 0] = data;
      return ethtoolSets.has(command) ? count(`ioctl ethtool ${command}`, control) : control();
    },
    listen: (fd, backlog) => count('listen', () => sys.listen(fd, backlog)),
    sendmsg(fd, bytes, descriptor) {
      const send = () => sys.sendmsg(fd, bytes, descriptor);
      // What the holder of sockets is asked for, it goes on having.
      const [request = 0] = bytes;
      return request === 'g'.charCodeAt(0) ? send() : count(`holder ${String.fromCharCode(request)}`, send);
    },
    unshare: (flags) => count('unshare', () => sys.unshare(flags)),
    mount: (source, target, fstype, flags, data) =>
      count(`mount ${target}`, () => sys.mount(source, target, fstype, flags, data)),
    umount2: (target, flags) => count(`umount ${target}`, () => sys.umount2(target, flags)),
    pidfd_send_signal: (fd, signal) => count(`signal ${signal}`, () => sys.pidfd_send_signal(fd, signal)),
    openNft(flags) {
      const nft = sys.openNft(flags);
      return {
        run: (command) => (isReading(command) ? nft.run(command) : count('nft', () => nft.run(command))),
        close: () => nft.close(),
      };
    },
  };
}

/** Types of the messages that change something. */
function changesIn(bytes: Uint8Array, family: number): string {
  const messages = nlmsg.decode(bytes).filter(({ type, flags }) => {
    if (family !== NETLINK_ROUTE) return (flags & NLM_F.DUMP) !== NLM_F.DUMP || type === NFNL_MSG_BATCH_BEGIN;
    return type >= NFNL_MSG_BATCH_BEGIN && type % 4 !== 2;
  });
  return messages.map(({ type }) => type).join(' ');
}

/** In nft's own language it is only asked. */
function isReading(command: string): boolean {
  return command.startsWith('list ');
}
