import assert from 'node:assert/strict';
import test from 'node:test';
import { load } from './load.mjs';

globalThis.document = { createElement: () => ({ append() {} }) };
const { Feed } = await load('words.js', 'feed.js');

// The longest pause that the feed's rhythm has, after parts at these times in seconds.
function rhythm(...times) {
  const feed = new Feed('a');
  feed.paused = true;
  times.forEach((time, at) => feed.take({ sequence: at + 1, time }, time));
  return feed.gap;
}
const every = (seconds, parts, from = 0) => Array.from({ length: parts }, (_, at) => from + at * seconds);

test('a part or two have no rhythm', () => {
  assert.equal(rhythm(0), Infinity);
  assert.ok(rhythm(0, 1) > 600);
});

test('a rhythm is learned', () => {
  assert.equal(rhythm(...every(1, 30)), 1);
  assert.equal(rhythm(...every(60, 30)), 60);
  assert.ok(rhythm(...every(1 / 30, 900)) < 1);
});

test('a burst is one of many, and a long pause is forgotten in the end', () => {
  const bursts = Array.from({ length: 30 }, (_, at) => every(.001, 100, at * 60)).flat();
  assert.ok(rhythm(...bursts) > 30);
  assert.equal(rhythm(0, 3600, ...every(1, 30, 3601)), 1);
});
