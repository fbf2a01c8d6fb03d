/** What people call a host. */
export function nameOf({ id, name }: { readonly id: string; readonly name?: string | undefined }): string {
  return name ?? id.slice(0, 12);
}
