/**
 * Runs `tend` soon after each `act`, once for all that came meanwhile, and never twice at a time. @returns what ends it
 */
export function tending(
  { tend }: { readonly tend: () => Promise<void> },
  watch: (act: () => void) => () => void,
  failed: (error: unknown) => void,
): () => void {
  let due = false;
  let running = false;
  let over = false;
  const run = async () => {
    if (running) return;
    running = true;
    while (due && !over) {
      due = false;
      await tend().catch(failed);
    }
    running = false;
  };
  const unwatch = watch(() => {
    if (due) return;
    due = true;
    setImmediate(() => void run());
  });
  return () => {
    over = true;
    unwatch();
  };
}
