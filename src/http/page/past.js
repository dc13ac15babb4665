// The way back in time: where parts of the past come from, and which time a text means. It asks the server, which may have a
// recording or a history, and else takes what the page has seen. It knows nothing of the screen.

// What is kept of a feed of pictures or documents, and the bytes of all.
const SEEN_PARTS = 50,
  SEEN_BYTES = 64e6,
  // How many lines are shown of a moment.
  PAST_LINES = 300,
  // How long to believe how far back the server goes, and how long to wait for it.
  SPAN_MS = 30e3,
  RETRY_MS = 2e3,
  ANSWER_MS = 9e3,
  // A recording begins with a head of this size (docs/recordings.md).
  HEAD = 100

function makePast({get}, feeds) {
  let bytes = 0, measuring
  const drop = feed => bytes -= feed.seen.shift().body.length,
    // A line has its time, a mark between lines has none.
    seenOf = feed => feed.lines ? feed.lines.lines.filter(line => line.time) : feed.seen,
    ask = (feed, path, method) => get(path.replace('NAME', encodeURIComponent(feed.name)), AbortSignal.timeout(ANSWER_MS), method)

  // Keeps a part; beyond the bound the oldest of all feeds goes.
  function see(feed, part) {
    feed.seen.push(part)
    bytes += part.body.length
    if (feed.seen.length > SEEN_PARTS) drop(feed)
    while (bytes > SEEN_BYTES) drop(feeds.filter(feed => feed.seen.length).reduce((a, b) => b.seen[0].time < a.seen[0].time ? b : a))
  }

  const forget = feed => {
    while (feed.seen.length) drop(feed)
  }

  // Asks the server; where it gives no answer or keeps no part, the page may have seen one.
  const look = (feed, there, here) => feed.remote ? there().catch(() => here()) : here()

  // What a feed showed at a time: one part, or the last lines, oldest first; nothing before its first.
  const at = async (feed, time) => look(feed, () => feed.kind === 'lines' ? linesAt(feed, time) : partAt(feed, time), () => {
    const parts = seenOf(feed).filter(part => part.time <= time)
    return parts.slice(feed.kind === 'lines' ? -PAST_LINES : -1)
  })

  async function partAt(feed, time) {
    const reply = await ask(feed, `snapshot/NAME?at=${time}`)
    return [partOfSnapshot(feed.name, 0, reply.headers, new Uint8Array(await reply.arrayBuffer()))]
  }

  async function linesAt(feed, time) {
    const reply = await ask(feed, `recording/NAME?to=${time}&parts=${PAST_LINES}`),
      body = new Uint8Array(await reply.arrayBuffer()),
      lines = [],
      keep = raw => {
        const part = partOf(raw)
        lines.push(set(part, {text: textOf(part)}))
      }
    makeSplitter(boundaryOf(new TextDecoder().decode(body.subarray(0, HEAD))), keep)(body.subarray(HEAD))
    return lines
  }

  // The time of the last part before a time (`by` is -1) or of the first after it (1); undefined if there is none. The part that is
  // shown at a time may be before it, and `step=-1` would leave that one out; times are whole microseconds.
  const beside = (feed, time, by) => look(feed,
    async () => +(await ask(feed, `snapshot/NAME?at=${by < 0 ? (time - 1e-6).toFixed(6) : `${time}&step=1`}`, 'HEAD')).headers.get('x-timestamp'),
    () => {
      const times = seenOf(feed).map(part => part.time)
      return by < 0 ? times.findLast(other => other < time) : times.find(other => other > time)
    })

  // It has no answer at once for a long recording that it has just begun to read.
  const isDue = feed => feed.remote && feed.visible && !(now() - feed.measured < (feed.first === undefined ? RETRY_MS : SPAN_MS))

  // Learns how far the server's parts reach, of one feed after the other: browsers open few connections.
  async function measure() {
    if (measuring) return
    measuring = true
    for (let feed; feed = feeds.find(isDue);) {
      feed.measured = now()
      await ask(feed, 'parts/NAME?max=2').then(reply => reply.json()).then(({first, last, parts}) => set(feed, {first, latest: last, oldest: parts[0]}), () => {})
    }
    measuring = false
  }

  // When the oldest part came that can be shown.
  const firstOf = feed => min(feed.first ?? Infinity, (feed.lines ? feed.lines.lines.find(line => line.time) : feed.seen[0])?.time ?? Infinity)

  // Whether a feed that shows nothing at a time had parts then: its oldest is not number one, or was deleted since that was asked.
  const isGone = (feed, time) => (feed.oldest ?? feed.seen[0])?.sequence > 1 || !!feed.first && time >= feed.first

  return {see, forget, at, beside, measure, firstOf, isGone}
}

const SECONDS = {s: 1, m: 60, h: 3600, d: 86400}

// The seconds since 1970 that a text means: -10m, 14:05, 14:05:30, 2026-11-29 14:05, RFC 3339 or these seconds themselves; NaN if none.
// A clock time is that of the day of `near`, or of a day beside it which lies within `span`.
function timeOf(text, near, span, serverNow) {
  text = text.trim()
  if (/^-( *[\d.]+ *[smhd]?)+$/.test(text)) return [...text.matchAll(/([\d.]+) *([smhd]?)/g)].reduce((time, [, n, unit]) => time - n * (SECONDS[unit] ?? 1), serverNow)
  const [, hours, minutes, seconds = 0] = /^([01]?\d|2[0-3]):([0-5]\d)(?::([0-5]\d(?:\.\d+)?))?$/.exec(text) ?? []
  if (hours) {
    const on = days => {
      const date = new Date(near * 1e3)
      date.setDate(date.getDate() + days)
      return date.setHours(hours, minutes, 0, 0) / 1e3 + +seconds
    }
    return [0, -1, 1].map(on).find(time => time >= span[0] && time <= span[1]) ?? on(0)
  }
  if (/^\d{9,}(\.\d+)?$/.test(text)) return +text
  // A date alone would be read as UTC.
  return /^\d{4}-/.test(text) ? Date.parse(text.replace(' ', 'T').replace(/^[\d-]+$/, '$&T00:00')) / 1e3 : NaN
}

export {makePast, timeOf}
