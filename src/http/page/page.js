// Connects the parts of the page: the link, the feeds and their states, the tools and the keys.

const ui = Object.fromEntries([...document.querySelectorAll('[id]')].map(node => [node.id, node])),
  // With single slashes: two at the beginning would be followed by a host.
  base = location.pathname.replace(/[^/]*$/, '').replace(/\/\/+/g, '/'),
  // In a frame without cookies the token stays in the address, and every request repeats it.
  query = location.search.slice(1),
  place = path => base + path + (query && (/\?/.test(path) ? '&' : '?') + query),
  TOLD_MS = 8e3,
  feeds = [],
  byName = new Map(),
  byNumber = new Intl.Collator([], {numeric: true}),
  // Tells which feeds are on the screen, or nearly.
  screen = new IntersectionObserver(seen => {
    for (const {target, isIntersecting} of seen) byName.get(target.feed)?.reveal(isIntersecting)
    past.measure()
    refresh()
  }, {root: ui.feeds, rootMargin: '300px'})
// The feed that fills the page; undefined while all are tiled.
let focus, started, isHub, paused, refreshing, telling, cost = 0, refreshed = 0, film

const picture = () => focus?.shows?.picture,
  log = () => focus?.shows?.log,
  hasRun = () => feeds.some(feed => feed.kind === 'run'),
  serverNow = () => Date.now() / 1000 + link.skew,
  ageOf = ({newest}) => newest && serverNow() - newest.time

const link = makeLink(place, {
  change: refresh,
  part(part) {
    const count = feeds.length
    const feed = feedOf(part.feed)
    feed.take(part, serverNow())
    if (feed.newest === part && feed.kind !== 'lines') past.see(feed, part)
    if (feeds.length > count) route()
  },
  server(told) {
    isHub = told.hub
    const restarted = started !== told.started,
      names = new Set(told.feeds.map(info => info.name)),
      count = feeds.length,
      // Another server may run at this address now.
      gone = feeds.filter(feed => !names.has(feed.name))
    for (const info of told.feeds) feedOf(info.name).learn(info, restarted, told.recording)
    gone.forEach(forget)
    if (gone.length || feeds.length > count) route()
    started = told.started
    past.measure()
    return {
      // Lines that are not here yet; of a new feed also some that arrive before the next request.
      history: min(TAIL, max(1, ...feeds.map(feed => feed.kind === 'lines' && (feed.last ? TAIL : feed.published + 100)))),
      seen: feeds.filter(feed => feed.last).map(feed => `${encoded(feed)}:${feed.last}`),
      restarted,
      keepalive: told.keepalive,
      empty: !told.feeds.some(feed => feed.newest),
      due: told.feeds.some(feed => feed.newest || feed.kind === 'run'),
      behind: told.feeds.map(behind).filter(feed => feed.missing > 0),
      // A run is each viewer's own, and a new one starts only when the user asks for it.
      ended: !restarted && told.feeds.every(feed => feed.ended || feed.kind === 'run'),
    }
  },
})
const past = makePast(link, feeds)

// What the page does not have yet of a feed that the server describes.
function behind({name, kind, newest}) {
  const feed = feedOf(name),
    missing = newest ? newest.sequence - feed.last : kind === 'run' && !feed.newest
  return {name, kind, last: feed.last, missing: min(TAIL, missing)}
}

function feedOf(name) {
  let feed = byName.get(name)
  if (feed) return feed
  // Returning false would cancel the click, for example on a branch of JSON.
  feed = new Feed(name, () => void (focus || String(getSelection()) || go(feed)))
  if (!feeds.length) say(ui.feeds)
  // Those of a hub come in any order.
  const next = isHub && feeds.find(other => byNumber.compare(other.name, name) > 0)
  feeds.splice(next ? feeds.indexOf(next) : feeds.length, 0, feed)
  byName.set(name, feed)
  ui.feeds.insertBefore(set(feed.el, {feed: name}), next ? next.el : null)
  set(feed, {paused, past: moment, visible: false, look: past.at, isGone: past.isGone})
  screen.observe(feed.el)
  return feed
}

function forget(feed) {
  feeds.splice(feeds.indexOf(feed), 1)
  byName.delete(feed.name)
  past.forget(feed)
  screen.unobserve(feed.el)
  feed.el.remove()
}

// The address remembers which feed is enlarged.
const encoded = feed => encodeURIComponent(feed.name),
  go = feed => location.hash = feed ? encoded(feed) : ''

function route() {
  focus = feeds.length === 1 ? feeds[0] : feeds.find(feed => location.hash === `#${encoded(feed)}`)
  for (const feed of feeds) feed.el.classList.toggle('focus', feed === focus)
  ui.feeds.className = focus ? '' : 'tiled'
  ui.feeds.style.setProperty('--columns', min(Math.ceil(Math.sqrt(feeds.length)), round(innerWidth / 400) || 1))
  refresh()
}

// A feed that rarely changes is quiet; it is stale if a part is late by its own rhythm.
const stateOf = feed =>
  link.state === 'reconnecting' ? link.state :
  feed.past ? 'history' :
  paused ? 'paused' :
  feed.ended ? 'ended' :
  link.state !== 'live' ? link.state :
  feed.trouble ? feed.trouble.state :
  !feed.newest ? 'waiting' :
  feed.replay ? 'replay' :
  ageOf(feed) < 10 ? 'live' :
  ageOf(feed) > feed.gap * 3 ? 'stale' : 'quiet'

const ago = feed => feed.newest && `${age(ageOf(feed))} ago`,
  since = ({trouble: {since, reason}}) => `for ${age(serverNow() - since)}${reason ? `: ${reason}` : ''}`

// The text beside a state; the most serious state first.
const SAYS = {
  reconnecting() {
    const wait = (link.next - Date.now()) / 1000
    return `${link.reason}, ${wait > 0 ? `next try in ${age(wait + .5)}` : 'trying again'}`
  },
  lost: since,
  stale: feed => `${ago(feed)}, connection good`,
  starting: since,
  ended: feed => [feed.outcome, ago(feed)].filter(Boolean).join(', '),
  history: ({shown}) => shown && stamp(shown.time),
  paused: ({held}) => held && `${number(held)} newer`,
  live: () => link.via(),
  quiet: feed => [ago(feed), link.via()].filter(Boolean).join(', '),
  replay: ({newest}) => [stamp(newest.time), link.via()].filter(Boolean).join(', '),
  waiting: () => link.via(),
}

function readings({rate, ended, past, newest, shown = newest, shows, dropped}) {
  const pace = rate > .4 && !ended && !past && link.state === 'live' && `${rate.toFixed(rate < 10)}/s`
  return [pace, shown.body && size(shown.body.length), shows?.picture?.size(), shown.type, `#${shown.sequence}`, dropped && `${number(dropped)} dropped`].filter(Boolean).join(' · ')
}

function say(node, text) {
  if (node.textContent !== (text ||= '')) node.textContent = text
}

// Says for a while what a key has done, or why it has done nothing.
function tell(text) {
  clearTimeout(telling)
  say(ui.told, text)
  telling = setTimeout(say, TOLD_MS, ui.told)
}

// Updates all states, texts and buttons: at each change, and twice a second for the ages. With many feeds it waits, so that it
// takes a fifth of the time.
function refresh() {
  const wait = refreshed + min(250, 5 * cost) - now()
  if (wait > 0) return refreshing ||= setTimeout(refreshNow, wait)
  refreshNow()
}

function refreshNow() {
  clearTimeout(refreshing)
  refreshing = 0
  const start = now()
  update()
  refreshed = now()
  cost = refreshed - start
}

function update() {
  if (!feeds.length) say(ui.feeds, link.reason ? SAYS.reconnecting() : link.state === 'live' ? 'There is no feed yet.' : link.state)
  const first = {}
  for (const feed of feeds) {
    const state = stateOf(feed)
    first[state] ??= feed
    if (feed.el.dataset.state !== state) feed.el.dataset.state = state
    if (!feed.visible) continue
    say(feed.state, state)
    say(feed.detail, SAYS[state]?.(feed))
    say(feed.readings, feed.newest && feed.shown !== null && readings(feed))
    // How far back the server goes may be known only now.
    if (feed.shown === null) feed.label()
  }
  ui.picture.hidden = !picture()
  ui.text.hidden = !log()
  showMoment()
  buttons.Escape.hidden = !focus || feeds.length < 2
  buttons.s.hidden = !focus
  buttons.b.hidden = !(focus ? focus.remote : feeds.some(feed => feed.remote))
  buttons.v.hidden = !film && !(canFilm && picture()?.face())
  buttons.v.ariaPressed = !!film
  say(buttons.v, film ? 'stop' : 'film')
  buttons.t.hidden = focus?.kind !== 'lines'
  buttons.r.hidden = link.state !== 'ended'
  say(buttons.r, `${hasRun() ? 'play' : 'connect'} again`)
  say(buttons.Space, paused || moment ? 'resume' : 'pause')
  say(buttons[0], picture()?.zoom())
  ui.filter.value = log()?.needle ?? ''
  say(ui.found, log()?.needle && count(log().found(), 'line'))
  // With several feeds, the title and the icon show the one in the most serious state.
  const feed = focus ?? first[Object.keys(SAYS).find(state => first[state])] ?? feeds[0],
    title = feed ? `${focus ? focus.name : `${feeds.length} feeds`} · ${stateOf(feed)}` : 'mxr'
  if (document.title === title) return
  document.title = title
  const colour = getComputedStyle(feed?.el ?? ui.feeds).getPropertyValue('--lamp')
  ui.icon.href = `data:image/svg+xml,<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 2 2"><circle cx="1" cy="1" r="1" fill="${colour}"/></svg>`
}

function toggleFilm() {
  if (film) return film.stop()
  const {name} = focus
  film = makeFilm(() => picture()?.face(), blob => {
    saveAs(blob, `${name}.webm`)
    film = null
    refresh()
  })
  refresh()
}

const toggle = key => buttons[key].ariaPressed = document.body.classList.toggle(buttons[key].textContent)

// A key, its action, its description, the place of its button, the text on the button.
const ACTIONS = [
  ['Escape', click => click ? go() : !ui.when.hidden ? closeWhen() : moment ? live() : go(), 'back to live, to all feeds', 'first', '‹ all'],
  ['-', () => picture()?.zoomBy(.8), 'zoom out', 'picture', '−'],
  ['0', () => picture()?.toggle(), 'fit, actual size', 'picture', 'fit'],
  ['+', () => picture()?.zoomBy(1.25), 'zoom in', 'picture', '+'],
  ['/', () => ui.filter.focus(), 'filter'],
  ['w', () => toggle('w'), 'wrap', 'text', 'wrap'],
  ['t', () => toggle('t'), 'times of lines', 'text', 'times'],
  ['⇧ArrowLeft', () => stepBySeconds(-60), 'a minute back', 'past', '«'],
  ['ArrowLeft', (_, isRepeat) => step(-1, isRepeat), 'the part before', 'past', '‹'],
  ['ArrowRight', (_, isRepeat) => step(1, isRepeat), 'the part after', 'past', '›'],
  ['⇧ArrowRight', () => stepBySeconds(60), 'a minute on', 'past', '»'],
  ['g', askWhen, 'go to a time', 'past', 'go to'],
  ['End', () => live(), 'live', 'past', 'live'],
  ['Space', () => live(!paused && !moment), 'pause, resume', 'rest', 'pause'],
  ['b', saveSeconds, `save the ${BEFORE} s before`, 'rest', `save ${BEFORE} s`],
  ['v', toggleFilm, 'film the picture (WebM)', 'rest', 'film'],
  ['s', () => focus?.save(), 'save what is shown', 'rest', 'save'],
  ['f', () => document.fullscreenElement ? document.exitFullscreen() : document.documentElement.requestFullscreen(), 'full screen', 'rest', 'full'],
  ['r', () => link.state === 'ended' && link.open(true), 'replay', 'rest', 'replay'],
  ['?', help, 'this help', 'rest', 'help'],
]

// An <img> gets only pictures.
function help() {
  const [tag, path, hash] = picture() ? ['img', `stream/${encoded(focus)}`, ''] : ['iframe', 'view', location.hash]
  ui.snippet.value = `<${tag} src="${new URL(place(path) + hash, location)}"></${tag}>`.replace('</img>', '')
  ui.sheet.showModal()
}

const PAN = {ArrowLeft: [60, 0], ArrowRight: [-60, 0], ArrowUp: [0, 60], ArrowDown: [0, -60]},
  buttons = {}, actions = {}
for (const [key, onclick, words, place, text] of ACTIONS) {
  actions[key] = onclick
  ui.keys.append(make('dt', {}, make('kbd', {}, key.replace('ArrowLeft', '←').replace('ArrowRight', '→').replace('ape', ''))), make('dd', {}, words))
  if (place) ui[place].append(buttons[key] = make('button', {onclick, title: `${words} (${key})`, ariaLabel: text[1] ? null : words}, text))
}
toggle('w')
buttons.f.hidden = !document.fullscreenEnabled
ui.filter.oninput = () => {
  // That of the past too.
  for (const log of new Set([focus.shows.log, focus.lines || focus.shows.log])) log.redraw(log.needle = ui.filter.value)
}
ui.slider.oninput = () => goTo(+ui.slider.value + origin)
ui.slider.onpointerup = settle
ui.when.onkeydown = goToWhen
ui.when.oninput = () => ui.when.ariaInvalid = null
ui.copy.onclick = () => {
  ui.snippet.select()
  // Over plain http from another host there is no navigator.clipboard.
  say(ui.copy, document.execCommand('copy') && 'copied')
}

onkeydown = event => {
  const {key, target} = event
  if (event.ctrlKey || event.metaKey || event.altKey || ui.sheet.open) return
  if (target !== ui.slider && target.matches(key === ' ' ? 'button, input, summary' : 'input')) return
  const action = actions[key === ' ' ? 'Space' : event.shiftKey && PAN[key] ? `⇧${key}` : key]
  if (PAN[key] && !event.shiftKey && target !== ui.slider && picture()?.panBy(...PAN[key])) event.preventDefault()
  else if (action) action(event.preventDefault(), event.repeat)
}
onhashchange = onresize = route
ononline = () => document.hidden || link.wake()

// A hidden tab closes its stream, and reopens it when it is visible again; a run goes on, since it would start over.
document.onvisibilitychange = () => document.hidden ? hasRun() || link.sleep(feeds.forEach(feed => feed.away = true)) : link.wake()

setInterval(() => {
  for (const feed of feeds) feed.tick()
  link.watch()
  if (/live|ended/.test(link.state) && feeds.some(feed => feed.first === undefined)) past.measure()
  if (link.state === 'live' && feeds.filter(feed => feed.isDoubtful()).length) link.ask()
  refresh()
}, 500)
route()
document.onvisibilitychange()
