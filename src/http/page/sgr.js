// Reads a line as a terminal does: colours (SGR) become runs of styled text, every other escape is removed.

const PLAIN = {},
  // A CSI sequence, a string (OSC, DCS and their like) up to its end, a two-byte escape, another control.
  ESCAPE = /(?:\x1b\[|\x9b)([0-?]*)([ -/]*[@-~]?)|(?:\x1b[\]PX^_]|[\x90\x98\x9d-\x9f]).*?(?:\x07|\x1b\\|\x9c|$)|\x1b[ -/]*[0-~]?|[\0-\x08\x0b-\x1f\x7f-\x9f]/gs

// Splits a line that begins in `style` into runs of {text, style}; the returned style is that of the next line. Text that a
// carriage return or a backspace overwrites is removed, as for a progress bar.
function readLine(line, style) {
  let runs = [], at = 0
  line = line.replace(/\r+$/gm, '')
  const put = end => end > at && runs.push({text: line.slice(at, end), style})
  for (const found of line.matchAll(ESCAPE)) {
    const [all, digits, final] = found
    put(found.index)
    at = found.index + all.length
    if (final === 'm') style = applySgr(style, digits)
    if (all === '\r') runs = []
    if (all === '\b' && runs.length) runs.at(-1).text = runs.at(-1).text.slice(0, -1)
  }
  put(line.length)
  return {runs, style}
}

const plainText = line => readLine(line, PLAIN).runs.map(run => run.text).join('')

// The CSS of each code; inverse is resolved when the run is drawn.
const CODES = {
  1: {fontWeight: 'bold'}, 2: {opacity: .7}, 3: {fontStyle: 'italic'}, 4: {textDecoration: 'underline'}, 7: {inverse: 1}, 9: {textDecoration: 'line-through'},
  22: {fontWeight: '', opacity: ''}, 23: {fontStyle: ''}, 24: {textDecoration: ''}, 27: {inverse: 0}, 29: {textDecoration: ''}, 39: {color: ''}, 49: {background: ''},
}

function applySgr(style, digits) {
  // Sequences with these are private to a terminal.
  if (/[<-?]/.test(digits)) return style
  // With colons an underline may have a shape, and a colour a colour space: `4:3`, `38:2::R:G:B`.
  const codes = digits.replace(/\b4:[1-9]/g, 4).replace('::', ':').split(/[;:]/).map(Number)
  while (codes.length) {
    const code = codes.shift(),
      [, tens, ones] = /^(3|4|9|10)([0-8])$/.exec(code) ?? [],
      side = tens % 3 ? 'background' : 'color'
    if (ones === '8') {
      // `5;N` or `2;R;G;B`.
      const [kind, ...rest] = codes.splice(0, codes[0] === 5 ? 2 : 4)
      style = {...style, [side]: kind === 5 ? paletteColour(rest[0], side) : `rgb(${rest})`}
    } else if (tens) style = {...style, [side]: paletteColour(+ones + (tens > 8 ? 8 : 0), side)}
    else style = code ? {...style, ...CODES[code]} : PLAIN
  }
  return style
}

// The first sixteen use the page's own lightness, so that they are readable on dark and on light.
const HUES = [0, 25, 145, 85, 260, 325, 200]

function paletteColour(n, side) {
  if (n > 231) return `rgb(${Array(3).fill(n * 10 - 2312)})`
  if (n > 15) return `rgb(${[36, 6, 1].map(step => Math.floor((n - 16) / step) % 6).map(level => level && level * 40 + 55)})`
  const hue = HUES[n % 8],
    colour = hue ? `oklch(var(--${n < 8 ? 'light' : 'bright'}) .15 ${hue})` : `var(--${n === 8 || !n && side === 'background' ? 'soft' : 'ink'})`
  return side === 'background' ? `color-mix(in oklab,${colour} 40%,var(--ground))` : colour
}

function styledNode({text, style: {inverse, ...css}}) {
  const node = make('span', {}, text)
  if (inverse) css = {...css, color: css.background || 'var(--ground)', background: css.color || 'var(--ink)'}
  set(node.style, css)
  return node
}

export {readLine, plainText, paletteColour, PLAIN}
