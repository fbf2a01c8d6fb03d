import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { test } from 'node:test';
import { openNobody, refusal } from '../../scripts/rootless.ts';
import { attempt } from '../../src/lab/run.ts';
import { skip } from './testbed.ts';

const name = `e2e-${process.pid}`;

test('who is not root has labs all the same: up, ls, exec, -H, down, each from a shell of its own', {
  skip: skip || (refusal() !== undefined && 'there are no user namespaces on this machine'),
}, async (t) => {
  const nobody = openNobody();
  const as = (...command: readonly string[]) =>
    attempt(nobody.as(['env', '-u', 'XDG_RUNTIME_DIR', `NODE_COMPILE_CACHE=${nobody.folder}/compile`, ...command]));
  const skein = (...words: readonly string[]) => as('./skein', ...words);
  const lab = (verb: string, ...words: readonly string[]) => skein('lab', verb, '--name', name, ...words);
  t.after(async () => {
    await lab('down');
    nobody.close();
  });
  const folder = `/tmp/skein-lab-${nobody.owner.uid}`;

  const up = await lab('up', '--hosts', '1', '--store', 'local:');
  assert.equal(up.code, 0, up.stderr);
  assert.match((await skein('lab', 'ls')).stdout, new RegExp(`^${name} +1 +1 +IPv4 +1500 +up +local:$`, 'm'));
  assert.equal((await lab('exec', 'h1', '--', 'sh', '-c', 'id -u; hostname')).stdout, '0\nh1\n');
  assert.equal((await skein('-H', `${name}/h1`, 'run', '-d', '--name', 'c1', 'sleep', '60')).code, 0);
  assert.match((await lab('exec', 'h1', '--', 'skein', 'ps')).stdout, /sleep 60.* c1$/m);
  assert.equal((await lab('down')).code, 0);
  assert.ok(!existsSync(`${folder}/${name}`));
  assert.match((await lab('exec', 'h1', '--', 'true')).stderr, /^skein: there is no lab named /);
});
