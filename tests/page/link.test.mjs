import assert from 'node:assert/strict';
import test from 'node:test';
import { load } from './load.mjs';

const { makeLink } = await load('words.js', 'split.js', 'sgr.js', 'log.js', 'link.js');

// A link whose server answers with `answer`, whose lots are all `lot`, and whose pauses end when `next` is called.
function linkTo(t, answer, lot = 0.5) {
  const pauses = [];
  const timer = {};
  t.mock.method(Math, 'random', () => lot);
  t.mock.method(globalThis, 'setTimeout', (act, ms) => {
    // With 0 it leaves room for painting.
    if (ms === 0) return setImmediate(act);
    pauses.push(ms);
    timer.next = act;
  });
  const { mock } = t.mock.method(globalThis, 'fetch', answer);
  const link = makeLink((path) => `http://localhost/${path}`, { server: () => ({ history: 1 }), part() {}, change() {} });
  return { link, pauses, timer, asked: () => mock.callCount() };
}

const silent = async () => {
  throw new TypeError('Failed to fetch');
};

test('the pauses before a server that does not answer is tried again double, up to 15 s', async (t) => {
  const { link, pauses, timer } = linkTo(t, silent);
  await link.open();
  for (let tries = 0; tries < 6; tries++) await timer.next();
  assert.deepEqual(pauses, [500, 1000, 2000, 4000, 8000, 15000, 15000]);
  assert.deepEqual([link.state, link.reason], ['reconnecting', 'no answer']);
});

test('viewers that lost their server together do not all come back together', async (t) => {
  for (const [lot, ms] of [[0, 250], [1, 750]]) {
    const { link, pauses } = linkTo(t, silent, lot);
    await link.open();
    assert.deepEqual(pauses, [ms]);
    t.mock.restoreAll();
  }
});

test('who comes back to the page, or to the network, does not wait for the pause to end', async (t) => {
  const { link, asked } = linkTo(t, silent);
  await link.open();
  link.wake();
  assert.equal(asked(), 2);
});

test('a link that sleeps asks for nothing until it wakes', async (t) => {
  const { link, pauses, asked } = linkTo(t, silent);
  await link.open();
  link.sleep();
  assert.deepEqual([link.state, pauses.length, asked()], ['asleep', 1, 1]);
  await link.wake();
  assert.equal(asked(), 2);
});

test('our own refusals are told in their words, those of a proxy by their number', async (t) => {
  const refusals = [
    [new Response('mxr: too many viewers\nhint: more\n', { status: 503, headers: { 'content-type': 'text/plain; charset=utf-8' } }), 'mxr: too many viewers'],
    [new Response('<h1>Bad Gateway</h1>', { status: 502, headers: { 'content-type': 'text/html' } }), 'HTTP 502'],
  ];
  for (const [refusal, reason] of refusals) {
    const { link } = linkTo(t, async () => refusal);
    await link.open();
    assert.equal(link.reason, reason);
    t.mock.restoreAll();
  }
});

test('the end is an end, a stream that breaks off is not', async (t) => {
  const streams = [
    ['--B\r\nContent-Type: text/plain\r\nContent-Length: 1\r\nX-Feed: a\r\n\r\na\r\n--B--\r\n', 'ended'],
    ['--B\r\nContent-Type: text/plain\r\nContent-Length: 1\r\nX-Feed: a\r\n\r\na\r\n--B\r\n', 'reconnecting'],
  ];
  for (const [stream, state] of streams) {
    const answers = [Response.json({}), new Response(stream, { headers: { 'content-type': 'multipart/mixed; boundary=B' } })];
    const { link, pauses } = linkTo(t, async () => answers.shift());
    await link.open();
    assert.deepEqual([link.state, pauses.length], [state, state === 'ended' ? 0 : 1]);
    t.mock.restoreAll();
  }
});
