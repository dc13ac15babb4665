import assert from 'node:assert/strict';
import test from 'node:test';
import { load } from './load.mjs';

const { makeLink } = await load('words.js', 'split.js', 'sgr.js', 'log.js', 'poll.js', 'link.js');

// A link whose server answers with `answer`, whose lots are all `lot`, and whose pauses end when `next` is called; `told` is
// what the page makes of /state.
function linkTo(t, answer, lot = 0.5, told = () => ({ history: 1 }), part = () => {}) {
  const pauses = [];
  const timer = {};
  t.mock.method(Math, 'random', () => lot);
  t.mock.method(globalThis, 'setTimeout', (act, ms) => {
    // With 0 it leaves room for painting.
    if (ms === 0) return setImmediate(act);
    // The first byte of a stream comes sooner.
    if (ms === 5000) return;
    pauses.push(ms);
    timer.next = act;
  });
  const { mock } = t.mock.method(globalThis, 'fetch', answer);
  const link = makeLink((path) => `http://localhost/${path}`, { server: told, part, change() {} });
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
    assert.deepEqual([link.state, pauses.length], [state, 1]);
    t.mock.restoreAll();
  }
});

// A page whose streams break off one after the other, and the targets that it asks for; `restarts` is what it is told each time.
async function targets(t, streams, restarts = []) {
  const asked = [];
  const answer = async (url) => {
    asked.push(url.slice('http://localhost/'.length));
    if (/state/.test(url)) return Response.json({});
    const [boundary, stream] = streams.shift();
    return new Response(stream, { headers: { 'content-type': `multipart/mixed; boundary=${boundary}` } });
  };
  let last = 0;
  const told = () => ({ history: 5, seen: last ? [`a:${last}`] : [], restarted: restarts.shift() });
  const { link, timer } = linkTo(t, answer, 0.5, told, (part) => (last = part.sequence));
  const count = streams.length;
  await link.open();
  for (let tries = 1; tries < count; tries++) await timer.next();
  return { asked: asked.filter((target) => /stream/.test(target)), last };
}
const partOf = (boundary, sequence) => `--${boundary}\r\nContent-Type: text/plain\r\nContent-Length: 1\r\nX-Feed: a\r\nX-Sequence: ${sequence}\r\n\r\nx\r\n`;

test('a stream goes on behind the last whole part of the one before', async (t) => {
  const cut = (bytes) => (partOf('B', 1) + partOf('B', 2)).slice(0, bytes);
  const whole = partOf('B', 1).length;
  const { asked } = await targets(t, [['B', cut(whole - 3)], ['B', cut(whole)], ['B', cut(2 * whole - 4)], ['B', cut(2 * whole)], ['B', '']]);
  assert.deepEqual(asked, ['', '&run=B', '&run=B&after=a:1', '&run=B&after=a:1', '&run=B&after=a:2'].map((resume) => `streams?history=5${resume}`));
});

test('what another process counted is no place to go on from', async (t) => {
  const { asked } = await targets(t, [['B', partOf('B', 7)], ['C', ''], ['C', '']], [true, true]);
  assert.deepEqual(asked, ['', '', '&run=C&after=a:7'].map((resume) => `streams?history=5${resume}`));
  t.mock.restoreAll();
  // One that has taken over since the page asked for its state.
  const { last } = await targets(t, [['B', partOf('B', 7)], ['C', partOf('C', 1)], ['C', partOf('C', 2)]], [true, false, true]);
  assert.equal(last, 2);
});

test('the address of a stream stays so short that a proxy takes it', async (t) => {
  const { link } = linkTo(t, async (url) => (/state/.test(url) ? Response.json({}) : new Response('', { headers: { 'content-type': 'a/b; boundary=B' } })));
  await link.open();
  const query = link.resume(...Array.from({ length: 1000 }, (_, at) => `${'a'.repeat(300)}:${at}`));
  assert.ok(query.length > 4000 && query.length < 4400, `${query.length}`);
});

// A server whose feed has ended unless `goes.on`, and that is there unless `goes.away`; `streams` counts the streams.
function endedServer() {
  const goes = { streams: 0 };
  const answer = async (url) => {
    if (goes.away) throw new TypeError('Failed to fetch');
    if (/state/.test(url)) return Response.json({ ended: !goes.on });
    goes.streams++;
    return new Response('--B--\r\n', { headers: { 'content-type': 'multipart/mixed; boundary=B' } });
  };
  return { goes, answer, told: ({ ended }) => ({ history: 1, ended }) };
}

test('after the end the server is asked ever more rarely, and for its state alone', async (t) => {
  const { goes, answer, told } = endedServer();
  const { link, pauses, timer, asked } = linkTo(t, answer, 0.5, told);
  await link.open();
  for (let looks = 0; looks < 6; looks++) {
    await timer.next();
    assert.equal(link.state, 'ended');
  }
  assert.deepEqual(pauses, [500, 1000, 2000, 4000, 8000, 15000, 15000]);
  assert.deepEqual([goes.streams, asked()], [1, 8]);
});

test('after the end a stream is opened again where the server has more to give, and where a person asks for it', async (t) => {
  const { goes, answer, told } = endedServer();
  const { link, timer } = linkTo(t, answer, 0.5, told);
  await link.open();
  goes.on = true;
  await timer.next();
  assert.equal(goes.streams, 2);
  goes.on = false;
  await link.open(true);
  assert.equal(goes.streams, 3);
});

test('a server that is gone after the end is looked for, and found as it was it is still at its end', async (t) => {
  const { goes, answer, told } = endedServer();
  const { link, timer } = linkTo(t, answer, 0.5, told);
  await link.open();
  goes.away = true;
  await timer.next();
  assert.deepEqual([link.state, link.reason], ['reconnecting', 'ended, then no answer']);
  goes.away = false;
  await timer.next();
  assert.deepEqual([link.state, goes.streams], ['ended', 1]);
});

test('a page that nobody looks at does not ask after the end either', async (t) => {
  const { answer, told } = endedServer();
  const { link, asked } = linkTo(t, answer, 0.5, told);
  const cleared = t.mock.method(globalThis, 'clearTimeout', () => {}).mock;
  await link.open();
  const before = cleared.callCount();
  link.sleep();
  assert.deepEqual([link.state, cleared.callCount(), asked()], ['ended', before + 1, 2]);
  await link.wake();
  assert.deepEqual([link.state, asked()], ['ended', 3]);
});

// A server behind a proxy that holds back the first `held` streams; it has one part, with this sequence.
function behindProxy(t, held) {
  const asked = [];
  const timers = [];
  const answer = async (url, { headers, signal }) => {
    if (/state/.test(url)) return Response.json({});
    asked.push(/snapshot/.test(url) ? url : headers.Accept);
    if (/snapshot/.test(url)) return new Response('new', { headers: { 'content-type': 'text/plain', 'x-sequence': '7', 'x-timestamp': '5' } });
    if (asked.length > held) return new Response('--B--\r\n', { headers: { 'content-type': 'multipart/mixed; boundary=B' } });
    return new Promise((_, failed) => signal.addEventListener('abort', () => failed(new DOMException('', 'AbortError'))));
  };
  t.mock.method(globalThis, 'setTimeout', (act, ms) => (ms === 0 ? setImmediate(act) : timers.push(act)));
  t.mock.method(globalThis, 'fetch', answer);
  const parts = [];
  const told = { history: 1, due: true };
  const server = () => ({ ...told, behind: parts.length ? [] : [{ name: 'a', kind: 'newest', last: 4, missing: 3 }] });
  const link = makeLink((path) => `http://localhost/${path}`, { server, part: (part) => parts.push(part), change() {} });
  const settle = () => new Promise((done) => setImmediate(() => setImmediate(done)));
  return { link, asked, parts, told, late: async () => (await settle(), timers.pop()(), settle()) };
}

test('a page asks for an event stream, and part by part where no byte of it comes in time', async (t) => {
  const { link, asked, parts, late } = behindProxy(t, 1);
  link.open();
  await late();
  assert.deepEqual(asked, ['text/event-stream', 'http://localhost/snapshot/a?after=4']);
  const [{ feed, sequence, time, dropped, type }] = parts;
  assert.deepEqual([feed, sequence, time, dropped, type], ['a', 7, 5, 2, 'text/plain']);
  assert.deepEqual([link.state, /polling/.test(link.via())], ['live', true]);
  t.mock.restoreAll();
});

test('a stream of feeds without a part is not late', async (t) => {
  const { link, asked, told, late } = behindProxy(t, 1);
  told.due = false;
  link.open();
  await late();
  await late();
  assert.deepEqual([asked, link.via()], [['text/event-stream'], undefined]);
  told.due = true;
  await late();
  await late();
  assert.deepEqual(asked, ['text/event-stream', 'http://localhost/snapshot/a?after=4']);
  t.mock.restoreAll();
});

test('a page that has had a byte of a stream looks for no other way', async (t) => {
  const { link, asked, late } = behindProxy(t, 0);
  await link.open();
  await late();
  assert.deepEqual([new Set(asked), link.via()], [new Set(['text/event-stream']), undefined]);
  t.mock.restoreAll();
});
