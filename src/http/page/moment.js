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
  if (moment !== from) return
  if (!times.length && by < 0) return tell('there is no earlier part')
  await goTo(by < 0 ? max(...times) : min(...times))
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

// Opens the box for a time; its button closes it, too.
function askWhen(click) {
  if (ui.past.hidden) return tell('there is no earlier part')
  if (click && !ui.when.hidden) return closeWhen()
  set(ui.when, {hidden: false, value: '', ariaInvalid: null})
  ui.when.focus()
}

const closeWhen = () => ui.when.hidden = true

function goToWhen({key}) {
  if (key === 'Escape') closeWhen()
  if (key !== 'Enter') return
  const [first, last] = span(),
    // Before now, or before what is played of a recording.
    end = last > liveTime() ? liveTime() : serverNow(),
    time = timeOf(ui.when.value, timeShown(), [first, last], end)
  if (isNaN(time)) {
    ui.when.ariaInvalid = true
    ui.when.select()
    return tell('a time is 14:05, 14:05:30, 2026-11-29 14:05 or -10m')
  }
  closeWhen(goTo(time))
  tell(time < first ? `the first part is of ${stamp(first)}` : time > max(last, end) && `the last part is of ${stamp(last)}`)
}

// The seconds before what is shown, as the server has them. It is asked first: of a refusal a download says nothing.
async function saveSeconds() {
  const before = moment ? `from=${moment - BEFORE}&to=${moment}` : `last=${BEFORE}s`,
    path = `recording${focus ? `/${encoded(focus)}` : ''}?${before}`
  try {
    await link.get(path, AbortSignal.timeout(ANSWER_MS), 'HEAD')
    make('a', {href: place(path), download: ''}).click()
    tell(`saving ${BEFORE} s`)
  } catch ({status, message}) {
    tell(status === 404 ? `nothing came in these ${BEFORE} s` : `not saved: ${status ? message : 'no answer'}`)
  }
}
