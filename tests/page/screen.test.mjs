import assert from 'node:assert/strict';
import test from 'node:test';
import { growsEvenly, load } from './load.mjs';

const { cellsOf } = await load('words.js', 'sgr.js', 'screen.js');

test('ASCII stays in one piece, and every other character has its cells', () => {
  assert.deepEqual(cellsOf('plain text'), [['plain text', 10]]);
  assert.deepEqual(cellsOf(''), []);
  assert.deepEqual(cellsOf('a│表b'), [['a', 1], ['│', 1], ['表', 2], ['b', 1]]);
  assert.deepEqual(cellsOf('ｶﾞ한글Ａ'), [['ｶ', 1], ['ﾞ', 1], ['한', 2], ['글', 2], ['Ａ', 2]]);
});

test('what is combined stays with its letter', () => {
  assert.deepEqual(cellsOf('abe\u0301c'), [['ab', 2], ['e\u0301', 1], ['c', 1]]);
  assert.deepEqual(cellsOf('❤\ufe0f|'), [['❤\ufe0f', 1], ['|', 1]]);
  assert.deepEqual(cellsOf('👨\u200d👩'), [['👨\u200d', 2], ['👩', 2]]);
  assert.deepEqual(cellsOf('🇩🇪'), [['🇩', 1], ['🇪', 1]]);
});

test('nothing of the text is lost, whatever it is', () => {
  for (const text of ['\u0301x', '\ud800x', 'x'.repeat(100) + '\u0301', '\t\u00a0é\u200b']) {
    assert.equal(cellsOf(text).map(([cell]) => cell).join(''), text);
  }
});

test('a long row takes as long as it is', () => {
  for (const flood of ['a', 'a\u0301', '表', '\u0301', 'ab表']) growsEvenly((times) => {
    const line = flood.repeat(times);
    return () => cellsOf(line);
  });
});
