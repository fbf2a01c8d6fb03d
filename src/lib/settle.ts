/**
 * As Promise.all, but waits for all, also when one fails, and then throws the first failure in order: nothing is still
 * under way when the caller begins to undo.
 */
export async function settle<T extends readonly unknown[] | []>(
  promises: T,
): Promise<{ -readonly [K in keyof T]: Awaited<T[K]> }> {
  await Promise.allSettled(promises);
  return await Promise.all(promises);
}
