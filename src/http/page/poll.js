// Asks for what is new again and again, where a proxy passes on only replies that end. Of pictures and documents it gets the
// newest, of lines all that the server still has.

// At most so many requests at once: browsers open six connections to a server.
const ASKING = 4

// Resolves to true when all feeds have ended, and rejects where the server does not answer. `on` and `learn` are those of the link.
async function poll({get, read, resume}, on, learn, signal) {
  for (;;) {
    const {behind, ended} = await learn(signal)
    if (ended && !behind.length) return true
    const queue = [...behind],
      ask = async () => {
        for (let feed; feed = queue.shift(); signal.throwIfAborted()) await askFor(feed).catch(() => {})
      }
    await Promise.all(Array.from({length: ASKING}, ask))
    // What changes often is asked for more often.
    await pause(behind.length ? 100 : 1000)
    signal.throwIfAborted()
  }

  async function askFor({name, kind, last, missing}) {
    if (kind === 'lines') try {
      return await askForLines(name, last, missing)
    } catch {}
    const reply = await get(`snapshot/${encodeURIComponent(name)}?after=${last}`, signal)
    if (reply.status === 200) on.part(partOfSnapshot(name, last, reply.headers, new Uint8Array(await reply.arrayBuffer())))
  }

  // A stream that ends by itself. Without an end in time the server has fewer lines than it was asked for.
  async function askForLines(name, last, missing) {
    const abort = new AbortController(),
      timer = setTimeout(() => abort.abort(), 5000)
    let rest = missing
    try {
      const after = last ? resume(last) : '',
        history = after ? TAIL : missing
      await read(await get(`stream/${encodeURIComponent(name)}?history=${history}&parts=${missing}${after}`, abort.signal), part => {
        on.part(set(part, {feed: name}))
        if (!--rest) abort.abort()
      })
    } catch (error) {
      if (rest === missing) throw error
    } finally {
      clearTimeout(timer)
    }
  }
}

function partOfSnapshot(feed, last, headers, body) {
  const sequence = +headers.get('x-sequence'),
    fullType = headers.get('content-type') ?? 'application/octet-stream'
  return {body, fullType, type: typeOf(fullType), feed, sequence, time: +headers.get('x-timestamp'), dropped: last && max(0, sequence - last - 1)}
}

export {poll, partOfSnapshot}
