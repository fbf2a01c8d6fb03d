import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseInput } from './parse.ts';
import { ConnectBody } from './schema.ts';

test('addresses may be written as people write them, and come out as records have them', () => {
  const { ip, ip6, mac } = parseInput(
    ConnectBody,
    { container: 'c', ip: '10.0.0.2', ip6: 'FD00:0::A', mac: '02:42:0A:00:00:02' },
    'the body',
  );
  assert.deepEqual({ ip, ip6, mac }, { ip: '10.0.0.2', ip6: 'fd00::a', mac: '02:42:0a:00:00:02' });
});

test('what is no address is refused', () => {
  for (const ip6 of ['fd00', 'fd00::1%eth0', 'FD00::G', 'fd00::1/64', '']) {
    assert.throws(() => parseInput(ConnectBody, { container: 'c', ip6 }, 'the body'), {
      message: 'the body: ip6 is not an IP address',
    });
  }
});

test('an alias that fits no question is refused', () => {
  const parse = (alias: string) => parseInput(ConnectBody, { container: 'c', aliases: [alias] }, 'the body');
  assert.deepEqual(parse(`${'x'.repeat(63)}.y`).aliases, [`${'x'.repeat(63)}.y`]);
  assert.throws(() => parse(`y.${'x'.repeat(64)}`), {
    message: 'the body: aliases.0 has more than 63 characters without a dot',
  });
});
