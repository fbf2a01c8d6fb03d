import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Writer } from '../../lib/bytes.ts';
import { DecodeError } from '../../lib/errors.ts';
import { KernelError } from '../kernel-error.ts';
import type { Syscalls } from '../syscall.ts';
import { NLM_F, NLMSG, type NlMsg, nlmsg } from './message.ts';
import { openNetlink, openNotifications, type Reply, type Request } from './socket.ts';

const PORT = 4711;
const MSG_DONTWAIT = 0x40;

interface Datagram {
  readonly bytes: Uint8Array;
  /** Who sent it; 0 is the kernel. */
  readonly from?: number;
}

/** A kernel that is a function: from the messages of one send to what can be received then. */
function functionKernel(answer: (messages: readonly NlMsg[]) => readonly (Datagram | readonly NlMsg[])[]) {
  const queue: Datagram[] = [];
  const sends: (readonly NlMsg[])[] = [];
  const open = new Set<number>();
  let overrun = false;
  const refuse = (): never => assert.fail('no such call is expected');
  const sys: Syscalls = {
    socket() {
      open.add(3);
      return 3;
    },
    close(fd) {
      assert.ok(open.delete(fd), `descriptor ${fd} is not open`);
    },
    bind() {},
    getsockname(_fd, into) {
      into.set(new Writer().u16le(16).u16le(0).u32le(PORT).u32le(0).finish());
      return 12;
    },
    setsockopt() {},
    send(_fd, bytes) {
      const messages = nlmsg.decode(bytes);
      sends.push(messages);
      for (const each of answer(messages)) queue.push('bytes' in each ? each : { bytes: nlmsg.encode(each) });
      return bytes.length;
    },
    recvfrom(_fd, into, _flags, from) {
      if (overrun) {
        overrun = false;
        throw new KernelError('receive', 'ENOBUFS');
      }
      const datagram = queue.shift();
      if (datagram === undefined) return undefined;
      into.set(datagram.bytes.subarray(0, into.length));
      from.set(
        new Writer()
          .u16le(16)
          .u16le(0)
          .u32le(datagram.from ?? 0)
          .u32le(0)
          .finish(),
      );
      return datagram.bytes.length;
    },
    connect: refuse,
    listen: refuse,
    ioctl_fd: refuse,
    fcntl: refuse,
    flock: refuse,
    madvise: refuse,
    poll: refuse,
    eventfd: refuse,
    open: refuse,
    setns: refuse,
    unshare: refuse,
    mount: refuse,
    umount2: refuse,
    fsopen: refuse,
    fsconfig: refuse,
    fsmount: refuse,
    pidfd_open: refuse,
    pidfd_send_signal: refuse,
    sendmsg: refuse,
    recvmsg: refuse,
    ioctl: refuse,
    openNft: refuse,
  };
  const lose = () => {
    overrun = true;
  };
  return { sys, sends, queue, open, lose };
}

const firstByte = ({ payload }: Reply) => payload[0];
const request: Request = { action: 'try it', type: 18, payload: new Uint8Array(4) };
const about = (m: NlMsg, type: number, payload: Uint8Array, flags = 0): NlMsg => ({
  type,
  flags,
  seq: m.seq,
  pid: PORT,
  payload,
});
const thing = (m: NlMsg, byte: number, flags = 0) => about(m, 16, Uint8Array.of(byte), flags);
const error = (m: NlMsg, errno: number) => {
  const payload = new Writer()
    .u32le(errno === 0 ? 0 : 2 ** 32 - errno)
    .u32le(20)
    .u16le(m.type)
    .u16le(0)
    .u32le(m.seq)
    .u32le(0);
  return about(m, NLMSG.ERROR, payload.finish(), NLM_F.CAPPED);
};
const done = (m: NlMsg, errno = 0, flags = 0) =>
  about(m, NLMSG.DONE, new Writer().u32le(errno === 0 ? 0 : 2 ** 32 - errno).finish(), flags);
const only = ([message]: readonly NlMsg[]): NlMsg => message ?? assert.fail('nothing was sent');

test('a request gives what the kernel answers before it acknowledges', () => {
  const { sys, sends } = functionKernel(([m]) => (m ? [[thing(m, 7)], [error(m, 0)]] : []));
  const nl = openNetlink(sys);
  assert.deepEqual(nl.request(request), [{ type: 16, payload: Uint8Array.of(7) }]);
  assert.deepEqual(nl.request({ ...request, flags: NLM_F.CREATE }).length, 1);
  assert.deepEqual(
    sends.map((messages) => messages.map(({ flags }) => flags)),
    [[NLM_F.REQUEST | NLM_F.ACK], [NLM_F.REQUEST | NLM_F.ACK | NLM_F.CREATE]],
  );
});

test('a refusal is an error that says what was tried and why not', () => {
  const { sys } = functionKernel((messages) => [[error(only(messages), 17)]]);
  assert.throws(() => openNetlink(sys).request(request), {
    name: 'KernelError',
    code: 'EEXIST',
    message: 'try it: File exists (EEXIST)',
  });
});

test('what other processes sent, and what answers another request or socket, is passed over', () => {
  const { sys } = functionKernel((messages) => {
    const m = only(messages);
    const refusal = error(m, 1);
    return [
      { bytes: nlmsg.encode([refusal]), from: 99 },
      [{ ...refusal, seq: m.seq + 1 }],
      [{ ...refusal, seq: m.seq - 1 }],
      [{ ...refusal, pid: PORT + 1 }],
      [about(m, NLMSG.NOOP, new Uint8Array())],
      [thing(m, 1), error(m, 0)],
    ];
  });
  assert.deepEqual(openNetlink(sys).request(request), [{ type: 16, payload: Uint8Array.of(1) }]);
});

test('an answer that never comes is an error, and so is one among strangers without end', () => {
  const silent = functionKernel(() => []);
  assert.throws(() => openNetlink(silent.sys).request(request), { code: 'ETIMEDOUT' });
  const noisy = functionKernel((messages) => Array(5000).fill([{ ...error(only(messages), 0), pid: 1 }]));
  assert.throws(() => openNetlink(noisy.sys).request(request), { code: 'EPROTO' });
});

test('several requests go in one send, each with its own result, in order', () => {
  const { sys, sends } = functionKernel((messages) =>
    messages.flatMap((m) => {
      const errno = m.payload[0] === 1 ? 17 : 0;
      return errno !== 0 || (m.flags & NLM_F.ACK) !== 0 ? [[error(m, errno)]] : [];
    }),
  );
  const wanted = Array.from({ length: 250 }, (_, i) => ({
    ...request,
    action: `try ${i}`,
    payload: Uint8Array.of(i % 3),
  }));
  const errors = openNetlink(sys).requests(wanted);
  assert.deepEqual(
    errors.map((e) => e?.message),
    wanted.map((_, i) => (i % 3 === 1 ? `try ${i}: File exists (EEXIST)` : undefined)),
  );
  assert.deepEqual(
    sends.map((messages) => messages.length),
    [100, 100, 50],
  );
  assert.deepEqual(openNetlink(sys).requests([]), []);
});

test('large requests are spread over several sends', () => {
  const { sys, sends } = functionKernel((messages) => [[error(messages.at(-1) ?? only(messages), 0)]]);
  openNetlink(sys).requests(Array(5).fill({ ...request, payload: new Uint8Array(30_000) }));
  assert.deepEqual(
    sends.map((messages) => messages.length),
    [2, 2, 1],
  );
});

test('sequence numbers go round without mistaking an answer', () => {
  const { sys } = functionKernel((messages) => messages.map((m) => [error(m, 0)]));
  const nl = openNetlink(sys);
  for (let i = 0; i < 300; i++) assert.deepEqual(nl.request(request), []);
});

test('a dump is all parts up to its end', () => {
  const { sys } = functionKernel((messages) => {
    const m = only(messages);
    assert.equal(m.flags, NLM_F.REQUEST | NLM_F.DUMP);
    return [[thing(m, 1), thing(m, 2)], [thing(m, 3)], [done(m)]];
  });
  assert.deepEqual(openNetlink(sys).dump(request, firstByte), [1, 2, 3]);
});

test('a dump that changed meanwhile is asked for again, but not for ever', () => {
  let interruptions = 3;
  const { sys, sends } = functionKernel((messages) => {
    const m = only(messages);
    return [[thing(m, interruptions)], [done(m, 0, interruptions-- > 0 ? NLM_F.DUMP_INTR : 0)]];
  });
  const nl = openNetlink(sys);
  assert.deepEqual(nl.dump(request, firstByte), [0]);
  assert.equal(sends.length, 4);
  interruptions = 1000;
  assert.throws(() => nl.dump(request, firstByte), { code: 'EINTR' });
});

test('a dump ends in the error that its last part has, or that stands in place of it', () => {
  const atEnd = functionKernel((messages) => [[thing(only(messages), 1)], [done(only(messages), 19)]]);
  assert.throws(() => openNetlink(atEnd.sys).dump(request, firstByte), { code: 'ENODEV' });
  const instead = functionKernel((messages) => [[error(only(messages), 22)]]);
  assert.throws(() => openNetlink(instead.sys).dump(request, firstByte), { code: 'EINVAL' });
  const overrun = functionKernel((messages) => [[about(only(messages), NLMSG.OVERRUN, new Uint8Array())]]);
  assert.throws(() => openNetlink(overrun.sys).dump(request, firstByte), { code: 'ENOBUFS' });
});

test('a malformed answer is a DecodeError, and what was left of a dump does not get in the way of the next', () => {
  let broken = true;
  const kernel = functionKernel((messages) => {
    const m = only(messages);
    return broken ? [{ bytes: new Uint8Array(7) }, [thing(m, 1)], [done(m)]] : [[thing(m, 2), done(m)]];
  });
  const nl = openNetlink(kernel.sys);
  assert.throws(() => nl.dump(request, firstByte), DecodeError);
  assert.equal(kernel.queue.length, 0);
  broken = false;
  assert.deepEqual(nl.dump(request, firstByte), [2]);
});

test('a datagram that is larger than the buffer is an error and not half read', () => {
  const { sys } = functionKernel(() => [{ bytes: new Uint8Array(200_000) }]);
  assert.throws(() => openNetlink(sys).request(request), { code: 'EMSGSIZE' });
});

test('closing twice closes once', () => {
  const { sys, open } = functionKernel(() => []);
  const nl = openNetlink(sys);
  nl.close();
  nl.close();
  assert.equal(open.size, 0);
});

test('a socket that cannot be set up is closed again', () => {
  const refuse = () => {
    throw new KernelError('refuse', 'EPERM');
  };
  for (const broken of [{ bind: refuse }, { getsockname: refuse }, { setsockopt: refuse }]) {
    const { sys, open } = functionKernel(() => []);
    assert.throws(() => openNetlink({ ...sys, ...broken }), { code: 'EPERM' });
    assert.throws(() => openNotifications({ ...sys, ...broken }, [1]), { code: 'EPERM' });
    assert.equal(open.size, 0);
  }
});

test('the receive buffer is what the machine allows where it cannot be forced', () => {
  const { sys } = functionKernel(() => []);
  const set: (readonly [level: number, option: number])[] = [];
  const setsockopt: typeof sys.setsockopt = (_fd, level, option) => {
    // As in a user namespace: SO_RCVBUFFORCE is for the machine's own root.
    if (level === 1 && option === 33) throw new KernelError('force', 'EPERM');
    set.push([level, option]);
  };
  openNotifications({ ...sys, setsockopt }, [1]);
  assert.deepEqual(set, [
    [1, 8],
    [270, 1],
  ]);
});

test('notifications are drained without waiting, and lost ones are told once', () => {
  const { sys, queue, lose } = functionKernel(() => []);
  const watch = openNotifications(
    {
      ...sys,
      recvfrom(fd, into, flags, from) {
        assert.ok(flags & MSG_DONTWAIT);
        return sys.recvfrom(fd, into, flags, from);
      },
    },
    [1],
  );
  const event = (byte: number): Datagram => ({
    bytes: nlmsg.encode([{ type: 16, flags: 0, seq: 0, pid: 0, payload: Uint8Array.of(byte) }]),
  });
  assert.deepEqual(watch.drain(), []);
  queue.push(event(1), { ...event(66), from: 12 }, event(2));
  assert.deepEqual(watch.drain(), [
    { type: 16, payload: Uint8Array.of(1) },
    { type: 16, payload: Uint8Array.of(2) },
  ]);
  queue.push(event(3));
  lose();
  assert.equal(watch.drain(), 'lost');
  assert.deepEqual(watch.drain(), []);
});
