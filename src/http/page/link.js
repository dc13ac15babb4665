// The one connection to the server: reads every feed from it, notices when it dies, and comes back.

// `on` has server(told), which answers how much history to ask for, part(part) and change().
// `place` makes the URL of a path.
function makeLink(place, on) {
  // `heard` is when the last bytes came, where some are due; `silence` how many milliseconds they may take. `over` is whether
  // the stream had its end: then another one is opened only once the server has more to give.
  let abort = new AbortController(), tries = 0, silence = 16e3, heard, timer, over
  const link = {
    // Then connecting, live, reconnecting or ended.
    state: 'asleep',
    // Seconds from this clock to the server's.
    skew: 0,
    open,
    get,
    read,
    sleep: () => stop(over ? 'ended' : 'asleep'),
    wake: () => /asleep|reconnecting|ended/.test(link.state) && open(),
    // Silent past three keepalives: dead, whatever the system says of the connection.
    watch: () => Date.now() - heard > silence && retry(Error('it fell silent')),
  }
  const learn = async signal => on.server(await (await get('state', signal)).json())

  async function open(anew) {
    if (anew) over = false
    stop(/reconnecting|ended/.test(link.state) ? link.state : 'connecting')
    const {signal} = abort
    heard = Date.now()
    try {
      const {history, keepalive, empty, ended} = await learn(signal)
      silence = keepalive ? 3000 * keepalive + 1000 : Infinity
      if (over &&= ended) return goOn('ended')
      // A feed without a part has nothing to repeat.
      if (empty) heard = Infinity
      // Firefox gives a reply out with its first bytes alone, and a feed may have none yet.
      on.change(link.state = 'live')
      // What comes on a pipe is known by its first bytes.
      over = await read(await get(`streams?history=${history}`, signal), part => on.part(part, heard = Date.now(), tries = 0), () => empty && learn(signal))
      if (!over) throw Error('it broke off')
      goOn('ended')
    } catch (error) {
      if (!signal.aborted) retry(error)
    }
  }

  async function get(path, signal) {
    // WebKit's fetch refuses multipart/x-mixed-replace.
    const reply = await fetch(place(path), {signal, headers: {Accept: 'multipart/mixed'}})
    // In steps of four, since the header has whole seconds.
    link.skew = 4 * round((Date.parse(reply.headers.get('date')) - Date.now()) / 4000) || 0
    if (reply.ok) return reply
    // Our own refusals say why in a line; those of a proxy are pages.
    if (/40[13]/.test(reply.status)) throw Error('open the URL that mxr prints')
    throw Error(/^text\/plain/.test(reply.headers.get('content-type')) ? (await reply.text()).split('\n')[0] : `HTTP ${reply.status}`)
  }

  // Calls onPart for each part, and `first` before; the promise is true at the close-delimiter, false where the stream broke off.
  async function read({headers, body}, onPart, first) {
    const push = makeSplitter(boundaryOf(headers.get('content-type')), raw => onPart(partOf(raw))),
      reader = body.getReader()
    for (let since = now(); ;) {
      const {done, value} = await reader.read()
      if (done) return false
      await first?.(first = null)
      if (heard < Infinity) heard = Date.now()
      for (let at = 0; at < value.length; at += 8192) {
        if (push(value.subarray(at, at + 8192))) return true
        if (now() - since < SLICE_MS) continue
        // A burst leaves room for painting and keys.
        await pause(0)
        since = now()
      }
    }
  }

  function retry({name, message}) {
    // It is fetch itself that fails with a TypeError.
    link.reason = (over ? 'it ended, then ' : '') + (name === 'TypeError' ? 'no answer' : message)
    goOn('reconnecting')
  }

  // Tries again after a pause, after an end too: a server that stops in an orderly way ends its streams, and may come back.
  function goOn(state) {
    const ms = min(15, 2 ** tries++ / 2) * (500 + Math.random() * 1000)
    link.next = Date.now() + ms
    stop(state)
    timer = setTimeout(open, ms)
  }

  function stop(state) {
    // A reader's cancel() does not close the connection in Firefox.
    abort.abort()
    abort = new AbortController()
    clearTimeout(timer)
    heard = Infinity
    on.change(link.state = state)
  }

  return link
}

function partOf({headers, body}) {
  const fullType = headers['content-type'],
    [sequence, time, dropped] = ['sequence', 'timestamp', 'dropped'].map(name => +headers[`x-${name}`] || 0)
  return {body, fullType, type: fullType.split(';')[0].toLowerCase(), feed: decodeURIComponent(headers['x-feed']), sequence, time, dropped}
}

export {makeLink}
