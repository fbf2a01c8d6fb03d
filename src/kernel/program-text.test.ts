import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { parseMappings, releaseText } from './program-text.ts';
import { openSyscalls } from './syscall.ts';

test('what is mapped of files is told from smaps', () => {
  const smaps = `00400000-00746000 r--p 00000000 fe:00 5308491                            /opt/a program
Size:               3352 kB
Anonymous:             0 kB
VmFlags: rd mr mw me
06b52000-06b56000 r--p 06751000 fe:00 5308491                            /usr/bin/node
Anonymous:            16 kB
7ffc0000-7ffc1000 rw-p 00000000 00:00 0                                  [stack]
Anonymous:             4 kB
7ffd0000-7ffd1000 rw-p 00000000 00:00 0
`;
  const common = { permissions: 'r--p' };
  assert.deepEqual(parseMappings(smaps), [
    { start: 0x400000, end: 0x746000, path: '/opt/a program', anonymous: 0, ...common },
    { start: 0x6b52000, end: 0x6b56000, path: '/usr/bin/node', anonymous: 16384, ...common },
  ]);
});

test('code that was given back is there again when it is needed', () => {
  const before = residentOfFiles();
  releaseText(openSyscalls(), process.execPath);
  assert.ok(residentOfFiles() < before / 2, `${residentOfFiles()} of ${before} kB`);
  assert.equal(JSON.stringify(JSON.parse('{"a":[1,2,3]}')), '{"a":[1,2,3]}');
});

function residentOfFiles(): number {
  return Number(/RssFile:\s+(\d+)/.exec(readFileSync('/proc/self/status', 'utf8'))?.[1]);
}
