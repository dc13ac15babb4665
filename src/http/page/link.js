// The one connection to the server: reads every feed from it, detects when it dies, and reconnects.

// The name under which everything is asked for: jupyter-server-proxy holds back what is asked for by any other (docs/field.md, Proxies),
// and WebKit's fetch refuses multipart/x-mixed-replace (Browsers).
const ACCEPT = 'text/event-stream',
  // How many milliseconds the first byte of a stream may take, if the server has a part already.
  FIRST_BYTE = 5000

// `on` has server(told), which says what to ask for, part(part) and change().
// `place` turns a path into a URL.
function makeLink(place, on) {
  // `heard` is when the last bytes arrived (undefined or infinite if none are due), `silence` how many milliseconds the next ones
  // may take. `over` is whether the stream has ended: another one is opened only once the server has more parts.
  // `proven` is whether a stream came through since the page was opened, `polls` whether none does. `run` is the
  // boundary of the process that numbers the parts.
  let run = '', abort = new AbortController(), tries = 0, silence = 16e3, heard, timer, over, proven, polls
  const link = {
    // asleep, connecting, live, reconnecting or ended
    state: 'asleep',
    // Seconds from this clock to the server's.
    skew: 0,
    open,
    get,
    read,
    resume,
    // How the parts come, if not by a stream.
    via: () => polls && 'by polling, through a proxy that holds streams back',
    sleep: () => stop(over ? 'ended' : 'asleep'),
    wake: () => /asleep|reconnecting|ended/.test(link.state) && open(),
    ask: () => learn(abort.signal).catch(() => {}),
    // After three missed keepalives the connection is dead, whatever the system says.
    watch: () => Date.now() - heard > silence && retry(Error('no data')),
  }
  async function learn(signal) {
    const told = on.server(await (await get('state?viewers=0', signal)).json())
    if (told.restarted) run = ''
    return told
  }

  // The query by which a stream goes on behind these parts, as long as proxies take it.
  function resume(...after) {
    return run && after.reduce((query, seen) => query.length < 4000 ? `${query}&after=${seen}` : query, `&run=${run}`)
  }

  async function open(anew) {
    if (anew) over = false
    stop(/reconnecting|ended/.test(link.state) ? link.state : 'connecting')
    const {signal} = abort
    heard = Date.now()
    try {
      const told = await learn(signal),
        {keepalive, empty, ended} = told
      silence = keepalive ? 3000 * keepalive + 1000 : Infinity
      if (over &&= ended) return goOn('ended')
      // A feed without a part has nothing to repeat.
      if (empty) heard = Infinity
      // Firefox resolves a fetch with the first byte of the body, and a feed may have none yet (docs/field.md, Browsers).
      on.change(link.state = 'live')
      over = polls ? await follow(signal) : await stream(told, signal) ?? await follow(signal)
      if (!over) throw Error('connection lost')
      goOn('ended')
    } catch (error) {
      if (!signal.aborted) retry(error)
    }
  }

  // All feeds over one connection. Resolves to undefined if a proxy holds it back.
  async function stream({history, seen = [], empty, due}, signal) {
    const attempt = new AbortController()
    signal.addEventListener('abort', () => attempt.abort())
    let isLate
    const wait = async () => {
      for (;;) {
        await pause(FIRST_BYTE)
        if (proven || attempt.signal.aborted) return
        if (isLate = due) return attempt.abort()
        due = (await learn(signal)).due
      }
    }
    if (!proven) wait().catch(() => {})
    try {
      // The kind of a feed from a pipe is known after its first bytes.
      return await read(await get(`streams?history=${history}${resume(...seen)}`, attempt.signal),
        part => on.part(part, heard = Date.now(), tries = 0), () => (proven = true, empty && learn(signal)))
    } catch (error) {
      attempt.abort()
      if (!isLate || signal.aborted) throw error
      polls = true
    }
  }

  // A request takes as long as it takes, but not for ever.
  function follow(signal) {
    silence = 60e3
    return poll(link, {part: part => on.part(part, tries = 0)}, signal => learn(signal, heard = Date.now()), signal)
  }

  // Firefox lets a request for a URL wait for the end of the one before it, of another window too, unless it is not for the cache.
  async function get(path, signal, method = 'GET') {
    const reply = await fetch(place(path), {signal, method, cache: 'no-store', headers: {Accept: ACCEPT}})
    // In steps of four seconds, since the header only has whole ones.
    link.skew = 4 * round((Date.parse(reply.headers.get('date')) - Date.now()) / 4000) || 0
    if (reply.ok) return reply
    // A refusal of mxr is a line of text, that of a proxy a page.
    const isPlain = /^text\/plain/.test(reply.headers.get('content-type')),
      reason = /40[13]/.test(reply.status) ? 'open the URL that mxr prints' : isPlain && (await reply.text()).split('\n')[0] || `HTTP ${reply.status}`
    throw set(Error(reason), {status: reply.status})
  }

  // Calls `first` before the first part, and onPart for each. Resolves to true at the close-delimiter, to false if the stream broke off.
  async function read({headers, body}, onPart, first) {
    const boundary = boundaryOf(headers.get('content-type')),
      isOther = run && run !== boundary
    run = boundary
    // It numbers parts anew, as /state tells.
    if (isOther) throw Error('another server')
    const push = makeSplitter(boundary, raw => onPart(partOf(raw))),
      reader = body.getReader()
    for (let since = now(); ;) {
      const {done, value} = await reader.read()
      if (done) return false
      await first?.(first = null)
      if (heard < Infinity) heard = Date.now()
      for (let at = 0; at < value.length; at += 8192) {
        if (push(value.subarray(at, at + 8192))) return true
        if (now() - since < SLICE_MS) continue
        // A burst must leave time for painting and keys.
        await pause(0)
        since = now()
      }
    }
  }

  function retry({name, message}) {
    // A TypeError comes from fetch itself: there was no reply.
    link.reason = (over ? 'ended, then ' : '') + (name === 'TypeError' ? 'no answer' : message)
    goOn('reconnecting')
  }

  // Tries again after a pause. After an end too: a server that stops in an orderly way ends its streams, and may come back.
  function goOn(state) {
    const ms = min(15, 2 ** tries++ / 2) * (500 + Math.random() * 1000)
    link.next = Date.now() + ms
    stop(state)
    timer = setTimeout(open, ms)
  }

  function stop(state) {
    // A reader's cancel() does not close the connection in Firefox (docs/field.md, Browsers).
    abort.abort()
    abort = new AbortController()
    clearTimeout(timer)
    heard = Infinity
    on.change(link.state = state)
  }

  return link
}

const typeOf = fullType => fullType.split(';')[0].toLowerCase()

function partOf({headers, body}) {
  const fullType = headers['content-type'],
    [sequence, time, dropped] = ['sequence', 'timestamp', 'dropped'].map(name => +headers[`x-${name}`] || 0)
  return {body, fullType, type: typeOf(fullType), feed: headers['x-feed'] && decodeURIComponent(headers['x-feed']), sequence, time, dropped}
}

export {makeLink}
