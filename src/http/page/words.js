// Formats numbers, sizes, ages and times, and creates elements.

const {min, max, round} = Math,
  set = Object.assign,
  now = () => performance.now(),
  pause = ms => new Promise(done => setTimeout(done, ms)),
  number = n => n.toLocaleString('en'),
  count = (n, noun) => `${number(n)} ${noun}${n === 1 ? '' : 's'}`,
  size = n => n < 1e3 ? `${n} B` : n < 1e6 ? `${round(n / 1e3)} KB` : `${(n / 1e6).toFixed(1)} MB`,
  age = s => s < 60 ? `${max(0, round(s))} s` : s < 6e3 ? `${round(s / 60)} min` : `${round(s / 3600)} h`,
  // Local time with milliseconds, as in 2026-11-29T09:05:07.042Z, whatever the Z says.
  local = seconds => {
    const date = new Date(round(seconds * 1e3))
    return new Date(date - date.getTimezoneOffset() * 6e4).toISOString()
  },
  clock = seconds => local(seconds).slice(11, 23),
  // With the date if that is not today's.
  stamp = seconds => {
    const [day, time] = local(seconds).slice(0, 23).split('T')
    return local(Date.now() / 1e3).startsWith(day) ? time : `${day} ${time}`
  }

// make('div.log', {tabIndex: 0}, child…): the text of a part is always inserted as a text node.
function make(name, properties, ...children) {
  const [tag, className = ''] = name.split('.'),
    node = set(document.createElement(tag), {className}, properties)
  node.append(...children)
  return node
}

export {count, size, age, stamp}
