// A text log that scrolls: at most MAX_LINES lines, drawn in slices of time so that a burst never freezes
// the tab. It knows lines and nothing of feeds.

// The page asks for TAIL lines at a time, which leaves room for a mark that earlier ones are missing.
const MAX_LINES = 10000,
  TAIL = 9000,
  MAX_LINE = 16384,
  BLOCK = 100,
  SLICE_MS = 8

function makeLog() {
  // `next` is the index of the first line that is not drawn yet, `until` that of the first that may not be drawn.
  let next, style, frame, sheet, touched, text = [], unseen = 0, until = Infinity
  const more = make('button.more', {hidden: true, onclick: toEnd}),
    el = make('div.log', {tabIndex: 0, role: 'log', ariaLive: 'off'}, make('div'), more),
    log = {el, follow: true, visible: true, reveal, append, push, fill, replace, redraw, freeze, toEnd, found: () => sheet.getElementsByClassName('line').length},
    resized = new ResizeObserver(() => log.follow && toEnd())

  // Builds a new sheet off the screen, which then replaces the old one: no flicker.
  function redraw() {
    sheet = make('div.sheet')
    next = 0
    wake()
  }

  function clear() {
    log.lines = []
    style = PLAIN
    redraw()
  }

  function append(text, time) {
    const cut = text.length - MAX_LINE
    if (cut > 0) text = text.slice(0, MAX_LINE)
    push({text, time, style, cut})
    if (text.includes('\x1b')) style = readLine(text, style).style
  }

  // A line without a style is a mark that the page puts between lines.
  function push(line) {
    log.lines.push(line)
    if (!log.follow) unseen++
    if (log.lines.length > MAX_LINES * 1.1) {
      const gone = log.lines.splice(0, MAX_LINES / 10).length
      next = max(0, next - gone)
      until = max(0, until - gone)
    }
    wake()
  }

  // Shows these lines, the last of them on the screen, instead of those before.
  function fill(lines) {
    clear()
    if (lines.length === PAST_LINES) push({text: 'earlier lines are further back'})
    for (const {text, time} of lines) append(text, time)
    log.follow = true
    unseen = 0
  }

  // Shows a document instead of the one before; if it only grew, the new lines are appended.
  function replace(document) {
    const now = document.replace(/\n$/, '').split('\n'),
      grown = text.length && text.every((line, i) => line === now[i])
    if (grown) log.follow ??= true
    else {
      clear()
      const before = now.length - TAIL
      if (before > 0) push({text: count(before, 'earlier line')})
    }
    for (const line of now.slice(grown ? text.length : -TAIL)) append(line)
    if (!grown) unseen = 0
    text = now
    draw()
  }

  // Holds the lines on the screen, which can still be filtered, or adds those that arrived meanwhile.
  function freeze(held) {
    until = held ? min(until, log.lines.length) : Infinity
    wake()
  }

  // Off the screen nothing is drawn.
  function reveal(visible) {
    log.visible = visible
    wake()
  }

  function wake() {
    if (log.visible) frame ||= requestAnimationFrame(draw)
  }

  function draw() {
    cancelAnimationFrame(frame)
    frame = 0
    const end = min(until, log.lines.length)
    for (const start = now(); next < end && now() - start < SLICE_MS;) {
      const line = log.lines[next++]
      if (log.needle && !plainText(line.text).toLowerCase().includes(log.needle.toLowerCase())) continue
      // In blocks, so that lines off the screen cost no layout (content-visibility).
      if (!(sheet.lastChild?.childElementCount < BLOCK)) sheet.append(make('div.block'))
      sheet.lastChild.append(drawLine(line))
    }
    while (sheet.childElementCount > MAX_LINES / BLOCK) sheet.firstChild.remove()
    if (next < end) wake()
    else if (el.firstChild !== sheet) {
      el.firstChild.replaceWith(sheet)
      resized.observe(sheet)
    }
    if (log.follow) toEnd()
    more.hidden = !unseen
    more.textContent = `${count(unseen, 'new line')} ↓`
  }

  function toEnd() {
    log.follow = more.hidden = true
    unseen = 0
    el.scrollTop = el.scrollHeight
  }

  // New, removed and resized lines move the end too: only the reader's own input stops the log from following it.
  el.onwheel = el.onkeydown = el.onpointerdown = () => touched = now()
  el.onscroll = () => {
    // Only 3 pixels, so that a slow finger can leave the end.
    if (el.scrollHeight - el.scrollTop - el.clientHeight < 3) toEnd()
    else if (now() - touched < 1000) log.follow = false
  }
  resized.observe(el)
  clear()
  return log
}

function drawLine({text, time, style, cut}) {
  if (!style) return make('div.mark', {}, text)
  // A rule separates a part of several lines from its neighbours.
  const node = make(text.includes('\n') ? 'div.line many' : 'div.line', {}, ...readLine(text, style).runs.map(run => run.style === PLAIN ? run.text : styledNode(run)))
  if (cut > 0) node.append(make('i.mark', {}, ` … ${count(cut, 'more character')}`))
  if (time) node.dataset.time = clock(time)
  // An empty line keeps its height, also when it is copied.
  if (!node.firstChild) node.append('\n')
  return node
}
