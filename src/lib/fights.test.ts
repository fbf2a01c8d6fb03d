import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Fights } from './fights.ts';

test('what is put right five times within a minute is fought over, which is said once', () => {
  const fights = new Fights();
  const said = [0, 1, 2, 3, 4, 5, 6].map((second) => fights.note('a rule', second * 1000));
  assert.deepEqual(said, ['none', 'none', 'none', 'none', 'begun', 'going', 'going']);
  assert.equal(fights.note('another', 7000), 'none');
  assert.ok(fights.isOn(8000));
});

test('a fight is over when nothing happened for a minute, and may begin again', () => {
  const fights = new Fights();
  for (let second = 0; second < 5; second++) fights.note('a rule', second * 1000);
  assert.ok(!fights.isOn(70_000));
  assert.equal(fights.note('a rule', 70_000), 'none');
  for (let second = 71; second < 74; second++) fights.note('a rule', second * 1000);
  assert.equal(fights.note('a rule', 74_000), 'begun');
});

test('what is put right seldom is not fought over', () => {
  const fights = new Fights();
  for (let minute = 0; minute < 50; minute++) assert.equal(fights.note('a rule', minute * 20_000), 'none');
});
