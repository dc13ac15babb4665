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

// A feed whose source the server describes in this way, after parts with these sequences.
function feedWith(source, ...sequences) {
  const feed = new Feed('a');
  feed.paused = true;
  feed.learn({ kind: 'newest', published: 3, source });
  for (const sequence of sequences) feed.take({ sequence, time: 0 }, 0);
  return feed;
}
const trouble = (...state) => feedWith(...state).trouble;

test('a source that is starting or lost is told, with its reason and since when', () => {
  const lost = { state: 'lost', since: 1764000000, reason: 'connection refused' };
  assert.equal(trouble(lost), lost);
  const starting = { state: 'starting', since: 1764000000 };
  assert.equal(trouble(starting), starting);
});

test('the reason why a source has ended is told, where there is one', () => {
  assert.equal(feedWith({ state: 'ended', since: 1764000000, reason: 'exit status 1' }).outcome, 'exit status 1');
  assert.ok(!feedWith({ state: 'ended', since: 1764000000 }).outcome);
  assert.ok(!feedWith({ state: 'lost', since: 1764000000, reason: 'gone' }).outcome);
});

test('any other state, and none at all, leaves the page to judge by the parts', () => {
  const others = ['live', 'idle', 'ended', 'unheard of', 'lost at sea', ''].map((state) => ({ state, since: 1764000000 }));
  for (const source of [undefined, null, {}, ...others]) assert.ok(!trouble(source), JSON.stringify(source));
});

test('a part that came after the server spoke proves the source live, one from before does not', () => {
  const lost = { state: 'lost', since: 1764000000 };
  assert.equal(trouble(lost, 2, 3), lost);
  assert.ok(!trouble(lost, 3, 4));
});

test('a feed is asked about after a silence twice as long as any before and at least each minute, and never once it has ended', () => {
  const feed = feedWith({ state: 'live' }, 1);
  const asked = [1000, 2500, 4000, 5500, 11000, 11500].map((silence) => !!feed.isDoubtful(silence));
  assert.deepEqual(asked, [false, true, false, true, false, true]);
  assert.deepEqual([3600e3, 3659e3, 3661e3].map((silence) => !!feed.isDoubtful(silence)), [true, false, true]);
  feed.learn({ ended: true });
  assert.ok(!feed.isDoubtful(1e9));
});

test('a source that comes back after a failure is asked about soon again', () => {
  const feed = feedWith({ state: 'lost' });
  feed.isDoubtful(1e6);
  feed.take({ sequence: 4, time: 0 }, 0);
  assert.ok(feed.isDoubtful(2500));
});

test('a feed that has ended without a part waits for none', () => {
  const feed = feedWith({ state: 'live' });
  assert.equal(feed.card.textContent, 'No part yet');
  feed.learn({ ended: true });
  assert.equal(feed.card.textContent, 'No part');
});

test('a feed says whether a past part never was or is no longer kept', () => {
  const feed = feedWith({ state: 'live' });
  Object.assign(feed, { past: 5, isGone: () => true });
  feed.label();
  assert.equal(feed.card.textContent, 'Parts of this time are no longer kept');
  feed.isGone = () => false;
  feed.label();
  assert.equal(feed.card.textContent, 'No part yet');
});

test('old parts of a recording that is played count for its rate, others do not', () => {
  for (const replay of [true, undefined]) {
    const feed = feedWith({ state: 'live', replay });
    feed.take({ sequence: 9, time: 5000 }, 1e9);
    assert.equal(feed.fresh, replay ? 1 : 0);
  }
});
