// One feed on the page: its tile, the part that it shows, and its state and rates.

class Feed {
  // The sequence of the newest part that arrived, how many arrived while the feed was held, and how many were never shown.
  last = 0
  held = 0
  dropped = 0
  // The longest recent gap in seconds, parts since the last tick, parts per second.
  gap = Infinity
  fresh = 0
  rate = 0
  // When a part came last, and the silence after which to ask about the source.
  heard = now()
  patience = 2e3
  // The newest parts, within bounds.
  seen = []
  // Only a feed that is on the screen is painted: of a thousand tiles a dozen are.
  visible = true

  constructor(name, onclick) {
    this.name = name
    this.state = make('b.state', {role: 'status'})
    this.detail = make('span')
    this.readings = make('span.readings')
    this.card = make('p.card')
    this.view = make('div.view', {onclick}, this.card)
    this.el = make('section', {}, make('header', {}, this.state, make('button.name', {onclick}, name), this.detail, this.readings), this.view)
  }

  // Takes over what /state says of the feed. A new process starts its sequences at one, and so does each viewer's own run.
  learn({kind, ended, published, history, source}, restarted, recording) {
    const {state, reason} = source ?? {},
      // An idle source waits for viewers, and this is one: only `starting` and `lost` are worth showing.
      trouble = /^(starting|lost)$/.test(state) && source
    set(this, {kind, ended, published, trouble, replay: source?.replay, outcome: state === 'ended' && reason})
    // Whether the server can go back: each viewer's run is its own.
    this.remote = kind !== 'run' && (recording || history > 1)
    this.label()
    if (restarted || kind === 'run') this.last = 0
  }

  // Whether to ask about its source, since no part tells of an end: after a silence twice as long as any before, and each minute.
  isDoubtful(silence = now() - this.heard) {
    return !this.ended && silence > this.patience && (this.patience = silence + min(silence, 60000))
  }

  take(part, serverNow) {
    const {last, newest} = this,
      missed = part.sequence - last - 1
    // A repeat, or history that is here already.
    if (missed < 0) return
    // It is newer than the state, so the source is live again.
    if (this.trouble && part.sequence > this.published) set(this, {trouble: null, patience: 2e3})
    this.heard = now()
    if (this.replay || serverNow - part.time < 5) this.fresh++
    if (newest) {
      // A long gap is forgotten after some twenty others, or as many bursts; until then no rhythm is known.
      const seconds = part.time - newest.time
      this.gap = max(seconds, min(this.gap, 999) * .7 ** min(1, seconds * 2))
    }
    this.last = part.sequence
    this.newest = part
    this.held++
    if (this.kind === 'lines') return this.addLine(part, missed, last)
    // Nothing is dropped while the tab is hidden.
    this.dropped += this.away ? 0 : part.dropped
    this.away = false
    if (this.paused || this.past || !this.visible) return
    // The newest wins: it replaces a part that waits to be painted.
    if (this.next) this.dropped++
    this.paint(part)
  }

  addLine(part, missed, last) {
    if (!this.live) {
      this.live = !this.past && this.shows?.log ? this.shows : showText(part)
      if (!this.past) this.put(this.live)
      this.lines.toEnd()
    }
    const log = this.lines
    log.visible = this.visible && !this.past
    if (last) this.dropped += missed
    if (missed) log.push({text: last ? `${count(missed, 'line')} skipped` : count(missed, 'earlier line')})
    log.append(textOf(part), part.time)
  }

  // Paints one part at a time.
  async paint(part) {
    this.next = part
    while (this.next && !this.busy) {
      this.busy = true
      const part = this.next
      this.next = null
      await this.draw(part)
      this.busy = false
    }
  }

  async draw(part) {
    const renderer = rendererOf(part)
    let shows = this.renderer === renderer ? this.shows : renderer(part)
    this.renderer = renderer
    // On top of the old renderer, until that is removed.
    if (shows !== this.shows) this.view.append(shows.el)
    try {
      await shows.show(part)
    } catch {
      shows = showCard()
      shows.show(part)
      this.renderer = null
    }
    this.shown = part
    this.put(shows)
  }

  put(shows) {
    if (this.shows === shows) return
    shows.el.ariaLabel = this.name
    this.view.replaceChildren((this.shows = shows).el)
    refresh()
    return shows
  }

  // Holds the part that is shown, or goes on with the newest.
  hold(paused) {
    set(this, {paused, past: undefined, at: undefined, held: 0})
    const log = this.lines
    if (!this.newest) this.empty()
    else if (log) {
      this.shown = undefined
      log.freeze(paused)
      log.reveal(this.visible)
      this.put(this.live)
    } else if (!paused) this.paintNewest()
  }

  // Shows what it showed at this time; the promise ends when that, or what was asked for since, is shown.
  seek(past) {
    this.past = past
    this.lines?.reveal(false)
    return this.visible && (this.seeking ??= this.search().finally(() => this.seeking = null))
  }

  // One request at a time: of the times that come meanwhile, the last counts.
  async search() {
    while (this.past && this.at !== this.past) {
      const at = this.past,
        parts = await this.look(this, at)
      if (this.past) await this.showPast(parts, this.at = at)
    }
  }

  showPast(parts) {
    const part = parts.at(-1)
    if (!part) return this.empty()
    if (this.kind !== 'lines') return this.paint(part)
    this.shown = part
    this.before ??= showText(part)
    this.before.log.needle = this.lines?.needle
    this.before.log.fill(parts)
    this.put(this.before)
  }

  // What stands in the place of a part.
  label() {
    const isGone = this.past && this.isGone?.(this, this.past)
    this.card.textContent = isGone ? 'Parts of this time are no longer kept' : `No part${this.ended ? '' : ' yet'}`
  }

  empty() {
    this.label()
    this.shown = this.shows = this.renderer = null
    this.view.replaceChildren(this.card)
    refresh()
  }

  // Whether it is on the screen from now on.
  reveal(visible) {
    this.visible = visible
    const log = this.lines
    if (this.past) this.seek(this.past)
    else if (log) log.reveal(visible)
    else if (!this.paused) this.paintNewest()
  }

  paintNewest() {
    if (this.visible && this.newest && (this.busy || this.newest !== this.shown)) this.paint(this.newest)
  }

  // The log, if each part is a line of it.
  get lines() {
    return this.kind === 'lines' ? this.live?.log : undefined
  }

  save() {
    const log = this.lines && this.shows?.log
    if (log) savePart({feed: this.name, sequence: (this.shown ?? this.newest).sequence, type: 'text/plain', body: log.lines.map(line => `${line.text}\n`).join('')})
    else if (this.shown) savePart(this.shown)
  }

  // Called twice a second.
  tick() {
    this.rate += (this.fresh * 2 - this.rate) / 4
    this.fresh = 0
  }
}

export {Feed}
