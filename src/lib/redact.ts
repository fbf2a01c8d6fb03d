/** The text of a URL without the password in it: what stands between `//` and `@` ends at the first colon. */
export function withoutPassword(text: string): string {
  return text.replace(/\/\/([^/@:]*):[^/]*@/, '//$1:…@');
}
