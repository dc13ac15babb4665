// Puts the page together: the link, the feeds, the bar that says how they are, the tools and keys.

const ui = Object.fromEntries([...document.querySelectorAll('[id]')].map(node => [node.id, node]))
const base = location.pathname.replace(/view$/, '')
const feeds = new Map()
// The feed that fills the page; none where all are tiled.
let focus
let started, paused

const all = () => [...feeds.values()]
const picture = () => focus?.shows?.picture
const log = () => focus?.shows?.log
const serverNow = () => Date.now() / 1000 + link.skew
const ageOf = ({newest}) => newest && serverNow() - newest.time

const link = makeLink(base, {
  change: refresh,
  part: part => feedOf(part.feed).take(part, serverNow()),
  server(told) {
    const restarted = started !== told.started
    started = told.started
    for (const info of told.feeds) feedOf(info.name).learn(info, restarted)
    // Lines that are not here yet, with a margin for what comes between the two requests.
    return min(MAX_LINES, max(0, ...all().map(feed => feed.kind === 'lines' && feed.published - feed.last + 100)))
  },
})

function feedOf(name) {
  if (!feeds.has(name)) {
    const feed = new Feed(name, () => !focus && !String(getSelection()) && go(feed))
    feeds.set(name, feed)
    ui.feeds.append(feed.el)
    feed.pause(paused)
    route()
  }
  return feeds.get(name)
}

// The address remembers which feed is enlarged.
const encoded = feed => encodeURIComponent(feed.name)
const go = feed => location.hash = feed ? encoded(feed) : ''

function route() {
  focus = feeds.size === 1 ? all()[0] : all().find(feed => location.hash === `#${encoded(feed)}`)
  for (const feed of all()) feed.el.classList.toggle('focus', feed === focus)
  ui.feeds.className = focus ? '' : 'tiled'
  ui.feeds.style.setProperty('--columns', min(Math.ceil(Math.sqrt(feeds.size)), round(innerWidth / 400) || 1))
  refresh()
}

function stateOf(feed) {
  if (link.state === 'lost') return 'reconnecting'
  if (feed.past) return 'history'
  if (paused || link.state === 'asleep') return 'paused'
  if (link.state === 'ended' || feed.ended) return 'ended'
  if (!feed.newest) return link.state === 'open' ? 'waiting' : 'connecting'
  // A feed that has a part every minute is not stale after ten seconds.
  return ageOf(feed) > max(10, feed.gap * 3) ? 'stale' : 'live'
}

const SAYS = {
  reconnecting: () => `${link.reason}, next try in ${age((link.next - Date.now()) / 1000)}`,
  history: ({past, shown}) => `${past.parts.length - 1 - past.at} back, ${clock(shown.time)}`,
  paused: ({held}) => held && `${number(held)} newer`,
  stale: feed => `${age(ageOf(feed))}: the source is quiet, the connection good`,
  ended: feed => feed.newest && `${age(ageOf(feed))} ago`,
}

const joined = (...texts) => texts.filter(Boolean).join(' · ')
const pace = ({rate, newest}) => joined(rate > 0.4 && `${rate.toFixed(rate < 10)}/s`, newest && size(newest.body.length))

function readings(feed) {
  const {shows, dropped, newest, shown = newest} = feed
  return shown && joined(pace(feed), shows?.picture?.size(), shown.type, `#${shown.sequence}`, dropped && `${number(dropped)} dropped`)
}

function say(node, text) {
  if (node.textContent !== text) node.textContent = text || ''
}

// Writes all that the page says of itself: at each change, and twice a second for the ages.
function refresh() {
  const states = all().map(stateOf)
  const state = focus ? stateOf(focus) : states.find(one => one === 'live') ?? states[0] ?? 'connecting'
  const name = focus?.name ?? (feeds.size ? `${feeds.size} feeds` : 'mxr')
  say(ui.state, state)
  say(ui.detail, focus && SAYS[state]?.(focus))
  say(ui.name, name)
  say(ui.readings, focus && readings(focus))
  all().forEach((feed, i) => {
    feed.el.dataset.state = states[i]
    say(feed.note, states[i] === 'live' ? pace(feed) : joined(states[i], feed.newest && age(ageOf(feed))))
    if (feed.shows) feed.shows.el.ariaLabel = `${feed.name}, ${feed.newest.type}`
  })
  ui.picture.hidden = !picture()
  ui.text.hidden = !log()
  ui.past.hidden = !(focus?.kept > 1)
  buttons.Esc.hidden = !focus || feeds.size < 2
  buttons.s.hidden = !focus
  buttons.t.hidden = focus?.kind !== 'lines'
  buttons.r.hidden = link.state !== 'ended'
  say(buttons.r, all().some(feed => feed.kind === 'run') ? 'play again' : 'connect again')
  say(buttons.Space, paused ? 'resume' : 'pause')
  say(buttons[0], picture()?.zoom())
  buttons.w.ariaPressed = !log()?.el.matches('.nowrap')
  buttons.t.ariaPressed = !!log()?.el.matches('.times')
  if (document.activeElement !== ui.filter) ui.filter.value = log()?.needle ?? ''
  document.title = `${name} · ${state}`
  if (document.body.dataset.state === state) return
  document.body.dataset.state = state
  const drawing = `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 2 2"><circle cx="1" cy="1" r=".8" fill="${getComputedStyle(ui.state).color}"/></svg>`
  ui.icon.href = `data:image/svg+xml,${encodeURIComponent(drawing)}`
}

function setPaused(on) {
  paused = on
  for (const feed of all()) feed.pause(on)
  refresh()
}

async function newest() {
  log()?.toEnd()
  await focus?.showPast()
  refresh()
}

// Shows another of the parts that the server still holds; they are asked for once, at the first step back.
async function step(by) {
  const feed = focus
  if (!(feed?.kept > 1) || !feed.past && by > 0) return
  const parts = feed.past?.parts ?? await heldParts(feed)
  const at = max(0, (feed.past?.at ?? parts.length - 1) + by)
  if (at >= parts.length) return newest()
  set(ui.slider, {max: parts.length - 1, value: at})
  await feed.showPast(parts, at)
  refresh()
}

async function heldParts(feed) {
  const {name, last, kept} = feed
  const parts = []
  const abort = new AbortController()
  await link.read(`stream/${encoded(feed)}?history=${kept}`, abort.signal, part => {
    parts.push({...part, feed: name})
    if (part.sequence >= last) abort.abort()
  }).catch(() => {})
  return parts
}

function openSheet() {
  const path = encoded(focus ?? all()[0])
  ui.plain.href = `${base}stream/${path}`
  ui.snap.href = `${base}snapshot/${path}`
  ui.snippet.value = `<img src="${ui.plain.href}">`
  ui.sheet.showModal()
}

const toggle = name => log() && refresh(log().el.classList.toggle(name))
const full = () => document.fullscreenElement ? document.exitFullscreen() : document.documentElement.requestFullscreen()

// A key, where its button stands, what that says, what it does.
const ACTIONS = [
  ['Esc', 'bar', '‹ all', 'all feeds; out of history', () => focus?.past ? newest() : go()],
  ['n', '', '', 'next feed', () => go(all()[(all().indexOf(focus) + 1) % feeds.size])],
  ['Space', 'rest', 'pause', 'pause, then on with the newest', () => setPaused(!paused)],
  ['←', 'past', '‹', 'older', () => step(-1)],
  ['→', 'past', '›', 'newer', () => step(1)],
  ['End', '', '', 'the newest', newest],
  ['-', 'picture', '−', 'zoom out', () => picture()?.zoomBy(0.8)],
  ['0', 'picture', 'fit', 'fit, or actual size', () => picture()?.toggle()],
  ['+', 'picture', '+', 'zoom in', () => picture()?.zoomBy(1.25)],
  ['/', '', '', 'filter lines', () => ui.filter.focus()],
  ['w', 'text', 'wrap', 'wrap long lines', () => toggle('nowrap')],
  ['t', 'text', 'times', 'time of each line', () => toggle('times')],
  ['s', 'rest', 'save', 'save what is shown', () => focus?.save()],
  ['f', 'rest', 'full', 'full screen', full],
  ['r', 'rest', '', 'play or connect again', () => link.state === 'ended' && link.open()],
  ['?', 'rest', '?', 'keys and embedding', openSheet],
]
const NAMES = {' ': 'Space', Escape: 'Esc', ArrowLeft: '←', ArrowRight: '→', '=': '+'}
const PAN = {ArrowLeft: [60, 0], ArrowRight: [-60, 0], ArrowUp: [0, 60], ArrowDown: [0, -60]}
const buttons = {}
for (const [key, place, text, title, onclick] of ACTIONS) {
  ui.keys.append(make('dt', {}, key), make('dd', {}, title))
  if (place) ui[place].append(buttons[key] = make('button', {onclick, title: `${title} (${key})`, ariaLabel: /\w/.test(text) ? null : title}, text))
}
ui.bar.prepend(buttons.Esc)
buttons.f.hidden = !document.fullscreenEnabled
ui.filter.oninput = () => log().redraw(log().needle = ui.filter.value.toLowerCase())
ui.slider.oninput = () => step(ui.slider.value - (focus.past?.at ?? ui.slider.max))
ui.copy.onclick = () => {
  ui.snippet.select()
  // Plain http from another host has no clipboard object.
  say(ui.copy, document.execCommand('copy') && 'copied')
}

onkeydown = event => {
  const {key, target} = event
  if (event.ctrlKey || event.metaKey || event.altKey || ui.sheet.open) return
  if (target.matches('input')) return key === 'Escape' && target.blur()
  if (key === ' ' && target.matches('button, summary')) return
  const action = ACTIONS.find(([name]) => name === (NAMES[key] ?? key))
  if (PAN[key] && picture()?.panBy(...PAN[key])) event.preventDefault()
  else if (action) action[4](event.preventDefault())
}
onhashchange = onresize = route
ononline = link.wake

// A hidden tab closes its stream, and goes on when it is looked at again; a run would begin anew.
let hiding
document.onvisibilitychange = () => {
  clearTimeout(hiding)
  if (!document.hidden) link.wake()
  else if (!all().some(feed => feed.kind === 'run')) hiding = setTimeout(link.sleep, 3000)
}

setInterval(() => {
  for (const feed of all()) feed.tick()
  link.watch()
  refresh()
}, 500)
route()
link.open()
