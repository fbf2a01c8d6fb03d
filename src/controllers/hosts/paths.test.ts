import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Findings } from '../../dataplane/probe/probe.ts';
import { judge } from './paths.ts';

const way = { self: { name: 'h1', data: '10.0.0.1' }, name: 'h2', data: '10.0.0.2', port: 4790, device: 'eth7' };
const well = { answers: true, wanted: 1500, passed: 1500, stream: true };

test('what probes found is said with the hosts, and with what to do', () => {
  assert.equal(judge(well, way), undefined);
  const table: [Partial<Findings>, string, RegExp][] = [
    [{ answers: false }, 'silent', /between h1 \(10\.0\.0\.1\) and h2 \(10\.0\.0\.2\): let UDP port 4790 pass/],
    [
      { answers: false, source: '192.0.2.9' },
      'nat',
      /packets of h2 come from 192\.0\.2\.9, and it advertises 10\.0\.0\.2: .*NAT.*UDP port 4790/,
    ],
    [{ passed: 1400, stream: false }, 'mtu', /packets of 1500 bytes .* those of 1400 do: .*ip link set eth7 mtu 1400/],
    [{ passed: 0 }, 'mtu', /none of the sizes tried below did: .*ip link set eth7 mtu 1280/],
    [{ stream: false }, 'checksum', /try: ethtool -K eth7 tx-checksum-ip-generic off/],
  ];
  for (const [found, kind, sentence] of table) {
    const verdict = judge({ ...well, ...found }, way);
    assert.equal(verdict?.kind, kind);
    assert.match(verdict?.sentence ?? '', sentence);
  }
});
