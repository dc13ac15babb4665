import assert from 'node:assert/strict';
import test from 'node:test';
import { load } from './load.mjs';

process.env.TZ = 'Europe/Berlin';
const { makePast, timeOf, stamp } = await load('words.js', 'split.js', 'show.js', 'poll.js', 'link.js', 'past.js');

const at = (text) => Date.parse(text) / 1000;

test('a time is meant as it is typed', () => {
  const now = at('2026-11-29T15:00:00Z');
  const span = [now - 7200, now];
  const means = (text) => timeOf(text, now, span, now);
  assert.equal(means('-10m'), now - 600);
  assert.equal(means(' -1h 30m '), now - 5400);
  assert.equal(means('-90'), now - 90);
  assert.equal(means('-1.5m'), now - 90);
  assert.equal(means('15:05'), at('2026-11-29T14:05:00Z'));
  assert.equal(means('15:05:30.5'), at('2026-11-29T14:05:30.5Z'));
  assert.equal(means('2026-11-29 15:05'), at('2026-11-29T14:05:00Z'));
  assert.equal(means('2026-11-29T14:05:30Z'), at('2026-11-29T14:05:30Z'));
  assert.equal(means('2026-07-01'), at('2026-06-30T22:00:00Z'));
  assert.equal(means('1764000000.25'), 1764000000.25);
  for (const text of ['', 'soon', '25:00', '14:60', '-', '-10x', '2026-13-01', '14', '1.2.3']) assert.ok(Number.isNaN(means(text)), text);
});

test('a clock time is that of the day that is shown, or of a day beside it that was recorded', () => {
  const first = at('2026-11-27T21:00:00Z');
  const last = at('2026-11-29T01:00:00Z');
  const means = (text, near) => timeOf(text, near, [first, last], last);
  assert.equal(means('12:00', at('2026-11-28T08:00:00Z')), at('2026-11-28T11:00:00Z'));
  assert.equal(means('23:30', last), at('2026-11-28T22:30:00Z'));
  assert.equal(means('01:00', first), at('2026-11-28T00:00:00Z'));
});

test('a time has its date where that is not today, and its own offset from UTC', (t) => {
  t.mock.timers.enable({ apis: ['Date'], now: at('2026-11-29T15:00:00Z') * 1000 });
  assert.equal(stamp(at('2026-11-29T14:05:30.123Z')), '15:05:30.123');
  assert.equal(stamp(at('2026-07-01T14:05:30.123Z')), '2026-07-01 16:05:30.123');
  assert.equal(stamp(1764000000.123), '2025-11-24 17:00:00.123');
});

const named = (name, settings) => ({ name, kind: 'newest', seen: [], visible: true, ...settings });
const part = (time, bytes = 1) => ({ time, body: { length: bytes } });
const times = (parts) => parts.map(({ time }) => time);

test('without a server that has them, the parts are those that the page has seen', async () => {
  const feed = named('a');
  const past = makePast({}, [feed]);
  [10, 11, 11, 13].forEach((time) => past.see(feed, part(time)));
  assert.equal(past.firstOf(feed), 10);
  for (const [time, shown] of [[9, []], [10, [10]], [10.9, [10]], [12, [11]], [99, [13]]]) assert.deepEqual(times(await past.at(feed, time)), shown);
  for (const [time, before, after] of [[10, undefined, 11], [11, 10, 13], [12, 11, 13], [13, 11, undefined]]) {
    assert.equal(await past.beside(feed, time, -1), before);
    assert.equal(await past.beside(feed, time, 1), after);
  }
});

test('lines are shown up to the time, without the marks between them', async () => {
  const lines = [{ text: 'mark' }, ...Array.from({ length: 400 }, (_, time) => ({ text: '', time: time + 1 }))];
  const feed = named('a', { kind: 'lines', lines: { lines } });
  const past = makePast({}, [feed]);
  assert.equal(past.firstOf(feed), 1);
  assert.deepEqual(times(await past.at(feed, 3.5)), [1, 2, 3]);
  assert.equal((await past.at(feed, 399)).length, 300);
});

test('the page keeps 50 parts of a feed, and 64 MB of all', () => {
  const feeds = [named('a'), named('b')];
  const past = makePast({}, feeds);
  for (let time = 0; time < 60; time++) past.see(feeds[0], part(time));
  assert.deepEqual([feeds[0].seen.length, past.firstOf(feeds[0])], [50, 10]);
  for (let time = 60; time < 70; time++) past.see(feeds[1], part(time, 10e6));
  assert.equal(feeds[0].seen.length, 0);
  assert.deepEqual(times(feeds[1].seen), [64, 65, 66, 67, 68, 69]);
  past.forget(feeds[1]);
  past.see(feeds[0], part(70, 60e6));
  assert.equal(feeds[0].seen.length, 1);
});

// A past whose server answers each path with a reply, or with the status of an error.
function pastOf(feed, answers) {
  const asked = [];
  const get = async (path, signal, method) => {
    asked.push(`${method ?? 'GET'} ${path}`);
    const answer = answers[path];
    if (answer instanceof Response) return answer.clone();
    throw Object.assign(Error('refused'), { status: answer });
  };
  return { past: makePast({ get }, [feed]), asked };
}
const picture = (time) => new Response('PNG', { headers: { 'content-type': 'image/png', 'x-timestamp': `${time}`, 'x-sequence': '7' } });

test('the server is asked for a moment, and what the page has seen is shown where it does not answer', async () => {
  const feed = named('a/b', { remote: true });
  const { past, asked } = pastOf(feed, { 'snapshot/a%2Fb?at=20': picture(19.5), 'snapshot/a%2Fb?at=19.999999': picture(18), 'snapshot/a%2Fb?at=1': 404 });
  past.see(feed, part(5));
  const [shown] = await past.at(feed, 20);
  assert.deepEqual([shown.time, shown.sequence, shown.type, shown.feed], [19.5, 7, 'image/png', 'a/b']);
  assert.equal(await past.beside(feed, 20, -1), 18);
  assert.deepEqual(await past.at(feed, 1), []);
  assert.deepEqual(times(await past.at(feed, 30)), [5]);
  assert.deepEqual(asked.slice(0, 2), ['GET snapshot/a%2Fb?at=20', 'HEAD snapshot/a%2Fb?at=19.999999']);
});

test('a step back leads to the last part before the time, be it the one that is shown', async () => {
  const plot = named('plot', { remote: true });
  const { past, asked } = pastOf(plot, { 'snapshot/plot?at=49.647999': picture(49.613), 'snapshot/plot?at=49.648&step=1': picture(50) });
  assert.equal(await past.beside(plot, 49.648, -1), 49.613);
  assert.equal(await past.beside(plot, 49.648, 1), 50);
  // In the digits that a number of today has.
  await past.beside(plot, 1764423249.648, -1);
  assert.equal(asked.at(-1), 'HEAD snapshot/plot?at=1764423249.647999');
});

test('what the server no longer keeps is shown if the page has seen it', async () => {
  const feed = named('a', { remote: true });
  const { past } = pastOf(feed, { 'snapshot/a?at=6': 404, 'snapshot/a?at=6.999999': 404 });
  past.see(feed, part(5));
  assert.deepEqual(times(await past.at(feed, 6)), [5]);
  assert.equal(await past.beside(feed, 7, -1), 5);
});

test('a feed whose oldest part is not its first has lost what was before', () => {
  const { past } = pastOf(named('a'), {});
  const isGone = (settings, time) => past.isGone(named('a', settings), time);
  assert.equal(isGone({ first: 10, oldest: { sequence: 7 } }, 5), true);
  assert.equal(isGone({ first: 10, oldest: { sequence: 1 } }, 5), false);
  // Deleted since the server was asked how far it goes.
  assert.equal(isGone({ first: 10, oldest: { sequence: 1 } }, 11), true);
  assert.equal(isGone({ seen: [{ sequence: 3 }] }, 5), true);
  assert.equal(isGone({ first: null }, 5), false);
});

test('lines come as a recording, whose head is left out', async () => {
  const boundary = 'mxr-0123456789abcdef0123456789abcdef';
  const line = (time, text) => `--${boundary}\r\nContent-Type: text/plain\r\nContent-Length: ${text.length}\r\nX-Timestamp: ${time}\r\nX-Sequence: ${time}\r\nX-Feed: a\r\n\r\n${text}\r\n`;
  const head = `Content-Type: multipart/mixed; boundary=${boundary}\r\nX-Recording: mxr 1\r\n\r\n`;
  assert.equal(head.length, 100);
  const feed = named('a', { kind: 'lines', remote: true });
  const { past } = pastOf(feed, { 'recording/a?to=3&parts=300': new Response(`${head}${line(1, 'one')}${line(2, '--x')}--${boundary}--\r\n`) });
  assert.deepEqual((await past.at(feed, 3)).map(({ text, time }) => [text, time]), [['one', 1], ['--x', 2]]);
});

test('how far the server goes back is asked once for each feed on the screen', async () => {
  const feeds = [named('a', { remote: true }), named('b'), named('c', { remote: true, visible: false })];
  const asked = [];
  const get = async (path) => {
    asked.push(path);
    return Response.json({ first: 1, last: 9, count: 5, parts: [{ time: 1, sequence: 4 }] });
  };
  const past = makePast({ get }, feeds);
  await past.measure();
  await past.measure();
  assert.deepEqual(asked, ['parts/a?max=2']);
  assert.deepEqual([past.firstOf(feeds[0]), feeds[0].latest, feeds[0].oldest.sequence], [1, 9, 4]);
});
