import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Refusal } from '../../lib/errors.ts';
import { parsePruneFilter } from './prune.ts';

const now = Date.parse('2026-11-20T12:00:00Z');
const networks = [
  { Name: 'old', Created: '2026-11-20T10:00:00Z', Labels: { env: 'test' } },
  { Name: 'new', Created: '2026-11-20T11:50:00Z', Labels: { env: 'live', keep: '' } },
  { Name: 'plain', Created: '2026-11-20T11:00:00Z', Labels: {} },
];

test('prune takes networks by label, without a label, and by age', () => {
  const table: [readonly string[], readonly string[]][] = [
    [[], ['old', 'new', 'plain']],
    [['label=env'], ['old', 'new']],
    [['label=env=test'], ['old']],
    [['label!=keep'], ['old', 'plain']],
    [['label!=env=test', 'label!=keep'], ['plain']],
    [['until=30m'], ['old', 'plain']],
    [['until=1h30m'], ['old']],
    [['until=30m', 'until=2026-11-20T10:30:00Z'], ['old']],
    [['until=1763632800'], []],
  ];
  for (const [filters, names] of table) {
    const isWanted = parsePruneFilter(filters, now);
    assert.deepEqual(
      networks.filter(isWanted).map(({ Name }) => Name),
      names,
      filters.join(' '),
    );
  }
});

test('filters that prune does not know are refused', () => {
  for (const filter of ['name=x', 'until=yesterday-ish', 'label']) {
    assert.throws(
      () => parsePruneFilter([filter], now),
      (error) => error instanceof Refusal && error.kind === 'invalid',
      filter,
    );
  }
});
