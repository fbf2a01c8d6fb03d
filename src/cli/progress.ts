const interval = 1_000;

/** Says on a terminal what is waited for, once a second from the first second on, and takes it away again at the end. */
export async function withProgress<T>(what: string, work: Promise<T>): Promise<T> {
  const { stderr } = process;
  if (!stderr.isTTY || process.env['TERM'] === 'dumb') return await work;
  const began = Date.now();
  let shown = false;
  const timer = setInterval(() => {
    shown = true;
    stderr.write(`\r${what} … ${Math.round((Date.now() - began) / 1000)} s\u001b[K`);
  }, interval);
  try {
    return await work;
  } finally {
    clearInterval(timer);
    if (shown) stderr.write('\r\u001b[K');
  }
}
