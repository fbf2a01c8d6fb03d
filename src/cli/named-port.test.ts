import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Refusal } from '../lib/errors.ts';
import { collectPorts, parsePorts } from './named-port.ts';

test('a port is called by its number unless it has a name, and is of TCP unless it says so', () => {
  assert.deepEqual(parsePorts('80'), [{ name: '80', port: 80, protocol: 'tcp' }]);
  assert.deepEqual(parsePorts('53/UDP'), [{ name: '53', port: 53, protocol: 'udp' }]);
  assert.deepEqual(parsePorts('my-http:8080/tcp'), [{ name: 'my-http', port: 8080, protocol: 'tcp' }]);
  assert.deepEqual(
    collectPorts('65534-65535/sctp', parsePorts('1')).map(({ name, port, protocol }) => `${name} ${port}/${protocol}`),
    ['1 1/tcp', '65534 65534/sctp', '65535 65535/sctp'],
  );
});

test('what is no port is refused in a sentence', () => {
  const wrong = ['', '0', '65536', '80/icmp', '80/', 'http', ':80', '-a:80', 'a b:80', '2-1', 'web:80-81', '1-65'];
  for (const text of wrong)
    assert.throws(
      () => parsePorts(text),
      (error) => error instanceof Refusal && error.message.startsWith('invalid exposed port '),
      text,
    );
});
