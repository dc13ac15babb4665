// One feed on the page: its tile, the part that is shown, and what is known of it.

class Feed {
  // The sequence of the newest part that came, and how many came while they were not to be shown.
  last = 0
  held = 0
  dropped = 0
  // Seconds between the last two parts, parts since the last tick, parts a second.
  gap = 0
  fresh = 0
  rate = 0

  constructor(name, onclick) {
    this.name = name
    this.note = make('span.soft')
    this.view = make('div.view', {onclick}, make('p.card', {}, 'Waiting for the first part'))
    this.el = make('section.feed', {ariaLabel: name}, make('header', {}, make('i.lamp'), make('button.name', {onclick}, name), this.note), this.view)
  }

  // What the server says of it. Another process counts from one again, and so does each viewer's own run.
  learn({kind, ended, published, history}, restarted) {
    set(this, {kind, ended, published, kept: kind === 'newest' && history})
    if (restarted || kind === 'run') this.last = 0
  }

  take(part, serverNow) {
    const {last, newest} = this
    const missed = part.sequence - last - 1
    // A keepalive, or history that is here already.
    if (missed < 0) return
    if (serverNow - part.time < 5) this.fresh++
    if (newest) this.gap = part.time - newest.time
    if (this.paused || this.past) this.held++
    this.last = part.sequence
    this.newest = part
    if (this.kind === 'lines') return this.addLine(part, missed, last)
    // What waits was replaced before it could be painted.
    this.dropped += part.dropped + (this.waiting && !this.held)
    this.waiting = part
    this.work()
  }

  addLine(part, missed, last) {
    if (!this.shows) this.put(showText(part)).log.toEnd()
    const {log} = this.shows
    if (last) this.dropped += missed
    if (missed) log.push({text: last ? `${count(missed, 'line')} skipped` : count(missed, 'earlier line')})
    log.append(textOf(part), part.time)
  }

  // The newest wins: what waits is what came last.
  async work() {
    if (this.busy) return
    this.busy = true
    while (this.waiting && !this.paused && !this.past) {
      const part = this.waiting
      this.waiting = null
      await this.draw(part)
    }
    this.busy = false
  }

  async draw(part) {
    const renderer = rendererOf(part)
    let shows = this.renderer === renderer ? this.shows : renderer(part)
    this.renderer = renderer
    // Over the one before, until that is taken away.
    if (shows !== this.shows) this.view.append(shows.el)
    try {
      await shows.show(part)
    } catch {
      shows = showCard()
      shows.show(part, 'It cannot be decoded here.')
      this.renderer = null
    }
    this.shown = part
    this.put(shows)
  }

  put(shows) {
    if (this.shows !== shows) refresh(this.view.replaceChildren((this.shows = shows).el))
    return shows
  }

  pause(paused) {
    this.paused = paused
    const log = this.kind === 'lines' && this.shows?.log
    if (log) log.wake(log.frozen = paused)
    this.release()
  }

  // Shows parts[at] of what the server still holds; without `parts`, the newest again.
  async showPast(parts, at) {
    if (!parts) this.waiting ??= this.past?.parts.at(-1)
    this.past = parts && {parts, at}
    if (parts) await this.draw(parts[at])
    this.release()
  }

  release() {
    if (!this.paused && !this.past) this.held = 0
    this.work()
  }

  save() {
    const log = this.kind === 'lines' && this.shows?.log
    if (log) savePart({feed: this.name, sequence: this.last, type: 'text/plain', body: log.lines.map(line => `${line.text}\n`).join('')})
    else if (this.shown) savePart(this.shown)
  }

  // Called twice a second.
  tick() {
    this.rate += (this.fresh * 2 - this.rate) / 4
    this.fresh = 0
  }
}
