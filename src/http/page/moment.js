// The moment that the page shows: all feeds at the same time, in the past or live. It moves by a slider, by parts, by seconds and to a
// time that is typed.

// Seconds since 1970; undefined while the feeds are live. `origin` is the slider's zero, `steps` are not made yet.
let moment, origin, steps = 0, isStepping

// The seconds that are saved at once.
const BEFORE = 30

// Back to the newest parts, or, with `hold`, holds them.
function live(hold = false) {
  paused = hold
  moment = undefined
  steps = 0
  for (const feed of feeds) feed.hold(hold)
  if (!hold) log()?.toEnd()
  refresh()
}

const liveTime = () => max(0, ...feeds.map(feed => feed.newest?.time ?? 0)),
  // From the oldest to the newest part of all feeds; a recording that is played has parts behind the newest.
  span = () => [min(...feeds.map(past.firstOf)), max(liveTime(), ...feeds.map(feed => feed.latest ?? 0))],
  // The time that is shown; feeds without a part yet are behind all that is recorded.
  timeShown = () => moment ?? (liveTime() || span()[1] + 1)

function showMoment() {
  const [first, last] = span()
  ui.past.hidden = !(last > first)
  if (ui.past.hidden) return
  // Microseconds since 1970 have too many digits for Chromium (docs/field.md, Browsers).
  origin ??= Math.floor(first)
  set(ui.slider, {min: first - origin, max: last - origin})
  // After its limits, within which it is kept.
  set(ui.slider, {value: timeShown() - origin, ariaValueText: moment ? stamp(moment) : 'live'})
  const [time, day] = moment ? stamp(moment).slice(0, -4).split(' ').reverse() : []
  say(ui.time, time)
  say(ui.day, day)
  // Their place is kept free, so that nothing moves under a pointer.
  ui.day.hidden = !stamp(first).includes(' ')
  buttons.End.disabled = !moment
}

// Shows what all feeds showed at a time. The end of what is live is live.
async function goTo(time) {
  const [first, last] = span()
  if (!(last > first) || isNaN(time)) return
  if (time >= last && last === liveTime()) return live()
  moment = max(first, min(last, time))
  past.measure()
  refresh()
  await Promise.all(feeds.map(feed => feed.seek(moment)))
  refresh()
}

// Steps that come while one is made wait for it; those of a key that is held down do not (`isRepeat`).
async function step(by, isRepeat) {
  if (isStepping && isRepeat) return
  steps += by
  if (isStepping) return
  isStepping = true
  for (let by; by = Math.sign(steps); await stepTo(by)) steps -= by
  isStepping = false
}

async function stepTo(by) {
  const from = moment
  if (!from && by > 0) return
  const at = from ?? (focus?.shown ?? focus?.newest)?.time ?? timeShown(),
    shown = focus ? [focus] : feeds.filter(feed => feed.visible),
    times = (await Promise.all(shown.map(feed => past.beside(feed, at, by)))).filter(Boolean)
  // Behind the last part all is live.
  if (moment === from && (times.length || by > 0)) await goTo(by < 0 ? max(...times) : min(...times))
}

const stepBySeconds = seconds => goTo(timeShown() + seconds)

// Behind a drag the thumb stands at the newest of the parts that are shown.
async function settle() {
  const at = moment
  if (!at) return
  await goTo(at)
  const shown = max(...feeds.filter(feed => feed.visible && feed.shown).map(feed => feed.shown.time))
  if (moment === at && shown <= at) goTo(shown)
}

function askWhen() {
  ui.when.hidden = !ui.when.hidden
  ui.when.value = ''
  if (!ui.when.hidden) ui.when.focus()
}

function goToWhen({key}) {
  if (key === 'Escape') askWhen()
  if (key !== 'Enter') return
  const ends = span(),
    // Before now, or before what is played of a recording.
    time = timeOf(ui.when.value, timeShown(), ends, ends[1] > liveTime() ? liveTime() : serverNow())
  ui.when.ariaInvalid = isNaN(time)
  if (!isNaN(time)) askWhen(goTo(time))
}

// The seconds before what is shown, as the server has them.
function saveSeconds() {
  const before = moment ? `from=${moment - BEFORE}&to=${moment}` : `last=${BEFORE}s`
  make('a', {href: place(`recording${focus ? `/${encoded(focus)}` : ''}?${before}`), download: ''}).click()
}
