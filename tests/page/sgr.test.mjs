import assert from 'node:assert/strict';
import test from 'node:test';
import { growsEvenly, load } from './load.mjs';

const { readLine, plainText, paletteColour, PLAIN } = await load('sgr.js');
const runs = (line, style = PLAIN) => readLine(line, style).runs.map((run) => [run.text, run.style]);
const RED = paletteColour(1, 'color');
const GREEN = paletteColour(2, 'color');

test('a line without escapes is one plain run', () => {
  assert.deepEqual(runs('hello\tworld'), [['hello\tworld', {}]]);
  assert.deepEqual(runs(''), []);
});

test('the sixteen colours, in front and behind', () => {
  assert.deepEqual(runs('\x1b[31mred\x1b[0m plain'), [['red', { color: RED }], [' plain', {}]]);
  assert.deepEqual(runs('\x1b[91mred'), [['red', { color: paletteColour(9, 'color') }]]);
  assert.deepEqual(runs('\x1b[42mgreen'), [['green', { background: paletteColour(2, 'background') }]]);
  assert.deepEqual(runs('\x1b[31;42mboth\x1b[39mone\x1b[49mnone'), [
    ['both', { color: RED, background: paletteColour(2, 'background') }],
    ['one', { color: '', background: paletteColour(2, 'background') }],
    ['none', { color: '', background: '' }],
  ]);
});

test('256 colours and true colour, with semicolons and with colons', () => {
  for (const line of ['\x1b[38;5;208mx', '\x1b[38:5:208mx']) assert.deepEqual(runs(line), [['x', { color: 'rgb(255,135,0)' }]]);
  for (const line of ['\x1b[38;2;1;2;3mx', '\x1b[38:2:1:2:3mx', '\x1b[38:2::1:2:3mx']) assert.deepEqual(runs(line), [['x', { color: 'rgb(1,2,3)' }]]);
  assert.deepEqual(runs('\x1b[48;5;232;31mx'), [['x', { background: 'rgb(8,8,8)', color: RED }]]);
  assert.equal(paletteColour(16), 'rgb(0,0,0)');
  assert.equal(paletteColour(231), 'rgb(255,255,255)');
  assert.equal(paletteColour(255), 'rgb(238,238,238)');
});

test('bold, dim, italic, underline and inverse, on and off', () => {
  assert.deepEqual(runs('\x1b[1mb\x1b[22mn'), [['b', { fontWeight: 'bold' }], ['n', { fontWeight: '', opacity: '' }]]);
  assert.deepEqual(runs('\x1b[4mu\x1b[24mn'), [['u', { textDecoration: 'underline' }], ['n', { textDecoration: '' }]]);
  assert.deepEqual(runs('\x1b[4:3mcurly'), [['curly', { textDecoration: 'underline' }]]);
  assert.deepEqual(runs('\x1b[7mi\x1b[27mn'), [['i', { inverse: 1 }], ['n', { inverse: 0 }]]);
});

test('a style is carried to the next line until it is reset', () => {
  const { style } = readLine('\x1b[32mgreen', PLAIN);
  assert.deepEqual(runs('still', style), [['still', { color: GREEN }]]);
  assert.equal(readLine('\x1b[m', style).style, PLAIN);
});

test('every other escape is left out', () => {
  for (const escape of [
    '\x1b[2K', '\x1b[?25l', '\x1b[10;20H', '\x1b[>4;2m', '\x1b[1 q', '\x1b]0;a title\x07', '\x1b]8;;http://x/\x1b\\', '\x1bP1;2|data\x1b\\',
    '\x1b_app\x1b\\', '\x1b(B', '\x1b=', '\x1bM', '\x9b2K', '\x9d0;title\x9c', '\0', '\x07', '\x7f', '\x85',
  ]) assert.equal(plainText(`a${escape}b`), 'ab', JSON.stringify(escape));
});

test('an escape that is cut off swallows no more than itself', () => {
  assert.equal(plainText('a\x1b['), 'a');
  assert.equal(plainText('a\x1b[31'), 'a');
  assert.equal(plainText('a\x1b'), 'a');
  assert.equal(plainText('a\x1b]0;title without an end'), 'a');
});

test('what a carriage return or a backspace overwrites is not shown', () => {
  assert.equal(plainText('10%\r55%\r100%'), '100%');
  assert.equal(plainText('a line of Windows\r'), 'a line of Windows');
  assert.equal(plainText('two lines\r\nof Windows\r'), 'two lines\nof Windows');
  assert.equal(plainText('bx\bold'), 'bold');
  assert.equal(plainText('\b\ba'), 'a');
});

test('markup is text', () => {
  assert.deepEqual(runs('<script>1</script>'), [['<script>1</script>', {}]]);
});

test('nonsense neither throws nor gets into a style', () => {
  for (const line of ['\x1b[999999999999m', '\x1b[38;2m', '\x1b[38m', '\x1b[48;5m', '\x1b[;;;m', '\x1b[38;2;a;b;cm']) readLine(line, PLAIN);
  assert.deepEqual(runs('\x1b[38;2;1;expression(1)mx').map(([, style]) => style), [{}]);
});

test('a flood of escapes takes as long as it is', () => {
  for (const flood of ['\x1b[', '\x1b]', '\x1b[1', '\x9b;', '\x1b[31m', '\r', '\b']) growsEvenly((times) => {
    const line = flood.repeat(times);
    return () => plainText(line);
  });
});
