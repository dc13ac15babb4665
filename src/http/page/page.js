// Puts the page together: the link, the feeds and what is said of each, the tools and keys.

const ui = Object.fromEntries([...document.querySelectorAll('[id]')].map(node => [node.id, node]))
const base = location.pathname.replace(/view$/, '')
const feeds = []
// The feed that fills the page; none where all are tiled.
let focus
let started, paused

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
    return min(MAX_LINES, max(0, ...feeds.map(feed => feed.kind === 'lines' && feed.published - feed.last + 100)))
  },
})

function feedOf(name) {
  let feed = feeds.find(feed => feed.name === name)
  if (feed) return feed
  feed = new Feed(name, () => !focus && !String(getSelection()) && go(feed))
  feeds.push(feed)
  ui.feeds.append(feed.el)
  feed.paused = paused
  route()
  return feed
}

// The address remembers which feed is enlarged.
const encoded = feed => encodeURIComponent(feed.name)
const go = feed => location.hash = feed ? encoded(feed) : ''

function route() {
  focus = feeds.length === 1 ? feeds[0] : feeds.find(feed => location.hash === `#${encoded(feed)}`)
  for (const feed of feeds) feed.el.classList.toggle('focus', feed === focus)
  ui.feeds.className = focus ? '' : 'tiled'
  ui.feeds.style.setProperty('--columns', min(Math.ceil(Math.sqrt(feeds.length)), round(innerWidth / 400) || 1))
  refresh()
}

function stateOf(feed) {
  if (link.state === 'reconnecting') return link.state
  if (feed.past) return 'history'
  if (paused) return 'paused'
  if (feed.ended) return 'ended'
  if (link.state !== 'live') return link.state
  if (!feed.newest) return 'waiting'
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

function readings({rate, newest, shown = newest, shows, dropped}) {
  const pace = rate > 0.4 && `${rate.toFixed(rate < 10)}/s`
  const texts = [pace, size(shown.body.length), shows?.picture?.size(), shown.type, `#${shown.sequence}`, dropped && `${number(dropped)} dropped`]
  return texts.filter(Boolean).join(' · ')
}

function say(node, text) {
  if (node.textContent !== text) node.textContent = text || ''
}

// Writes all that the page says of itself: at each change, and twice a second for the ages.
function refresh() {
  for (const feed of feeds) {
    const state = stateOf(feed)
    feed.el.dataset.state = state
    say(feed.state, state)
    say(feed.detail, SAYS[state]?.(feed))
    say(feed.readings, feed.newest && readings(feed))
  }
  ui.picture.hidden = !picture()
  ui.text.hidden = !log()
  ui.past.hidden = !(focus?.kept > 1)
  if (!focus?.past) ui.slider.value = ui.slider.max = focus?.kept
  buttons.Esc.hidden = !focus || feeds.length < 2
  buttons.s.hidden = !focus
  buttons.t.hidden = focus?.kind !== 'lines'
  buttons.r.hidden = link.state !== 'ended'
  say(buttons.r, feeds.some(feed => feed.kind === 'run') ? 'play again' : 'connect again')
  say(buttons.Space, paused ? 'resume' : 'pause')
  say(buttons[0], picture()?.zoom())
  buttons.w.ariaPressed = !log()?.el.matches('.nowrap')
  buttons.t.ariaPressed = !!log()?.el.matches('.times')
  ui.filter.value = log()?.needle ?? ''
  const feed = focus ?? feeds.find(feed => stateOf(feed) === 'live') ?? feeds[0]
  const title = feed ? `${focus ? focus.name : `${feeds.length} feeds`} · ${stateOf(feed)}` : 'mxr'
  if (document.title === title) return
  document.title = title
  const colour = getComputedStyle(feed?.el ?? ui.feeds).getPropertyValue('--lamp')
  ui.icon.href = `data:image/svg+xml,${encodeURIComponent(`<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 2 2"><circle cx="1" cy="1" r=".8" fill="${colour}"/></svg>`)}`
}

function setPaused(on) {
  paused = on
  for (const feed of feeds) feed.hold(on)
  refresh()
}

function newest() {
  log()?.toEnd()
  focus?.hold(paused)
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
  await feed.hold(paused, {parts, at})
  refresh()
}

async function heldParts(feed) {
  const {name, last, kept} = feed
  const parts = []
  const abort = new AbortController()
  await link.get(`stream/${encoded(feed)}?history=${kept}`, abort.signal).then(reply => link.read(reply, part => {
    parts.push({...part, feed: name})
    if (part.sequence >= last) abort.abort()
  })).catch(() => {})
  return parts
}

function openSheet() {
  const path = encoded(focus ?? feeds[0])
  ui.plain.href = `${base}stream/${path}`
  ui.snap.href = `${base}snapshot/${path}`
  ui.snippet.value = `<img src="${ui.plain.href}">`
  ui.sheet.showModal()
}

const toggle = name => log() && refresh(log().el.classList.toggle(name))
const full = () => document.fullscreenElement ? document.exitFullscreen() : document.documentElement.requestFullscreen()

// A key, where its button stands, what that says, what it does.
const ACTIONS = [
  ['Esc', 'first', '‹ all', 'all feeds; out of history', () => focus?.past ? newest() : go()],
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
buttons.f.hidden = !document.fullscreenEnabled
ui.filter.oninput = () => log().redraw(log().needle = ui.filter.value)
ui.slider.oninput = () => step(ui.slider.value - (focus.past?.at ?? ui.slider.max))
ui.copy.onclick = () => {
  ui.snippet.select()
  // Plain http from another host has no clipboard object.
  say(ui.copy, document.execCommand('copy') && 'copied')
}

onkeydown = event => {
  const {key, target} = event
  if (event.ctrlKey || event.metaKey || event.altKey || ui.sheet.open) return
  if (target.matches(key === ' ' ? 'button, input, summary' : 'input')) return
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
  else if (!feeds.some(feed => feed.kind === 'run')) hiding = setTimeout(link.sleep, 3000)
}

setInterval(() => {
  for (const feed of feeds) feed.tick()
  link.watch()
  refresh()
}, 500)
route()
link.open()
