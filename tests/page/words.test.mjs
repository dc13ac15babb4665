import assert from 'node:assert/strict';
import test from 'node:test';
import { load } from './load.mjs';

const { count, size, age } = await load('words.js');

test('numbers are worded with their noun', () => {
  assert.deepEqual([count(1, 'line'), count(0, 'line'), count(12345, 'line')], ['1 line', '0 lines', '12,345 lines']);
});

test('sizes have three digits or so', () => {
  assert.deepEqual([0, 999, 1000, 98765, 2.5e6].map(size), ['0 B', '999 B', '1 KB', '99 KB', '2.5 MB']);
});

test('ages are in the unit that says most', () => {
  assert.deepEqual([-3, 0, 59, 61, 5999, 86400].map(age), ['0 s', '0 s', '59 s', '1 min', '100 min', '24 h']);
});
