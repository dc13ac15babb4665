// The screen of a terminal: a grid of fixed cells. Fonts disagree on the width of what is not ASCII, so each such character has
// a box of one cell or of two. It knows rows of text with colours and nothing of feeds.

// What the server counts as two cells (unicode-width 0.2; half of a flag is one), and what joins the cell before.
const WIDE = /^(?:(?![\u{1f1e6}-\u{1f1ff}])\p{Emoji_Presentation}|[\u1100-\u115f\u2329\u232a\u2630-\u2637\u268a-\u268f\u2e80-\u303e\u3041-\u3247\u3250-\ua4c6\ua960-\ua97c\uac00-\ud7a3\uf900-\ufaff\ufe10-\ufe19\ufe30-\ufe6b\uff01-\uff60\uffe0-\uffe6\u{16fe0}-\u{1b2fb}\u{1d300}-\u{1d376}\u{1f200}-\u{1f265}\u{1fa8b}-\u{1fafa}\u{20000}-\u{3fffd}])/u,
  JOINS = '[\\p{Mn}\\p{Me}\\p{Cf}\\u1160-\\u11ff\\ud7b0-\\ud7fb]',
  CELLS = RegExp(`[ -~]+(?!${JOINS})|[^]${JOINS}*`, 'gu'),
  GRID = /;\s*screen=(\d+)x(\d+)/

// Splits text into stretches of ASCII, and cells of their own: [text, cells].
const cellsOf = text => (text.match(CELLS) ?? []).map(cell => [cell, /^[ -~]+$/.test(cell) ? cell.length : WIDE.test(cell) ? 2 : 1])

function drawCells({text, style}) {
  const node = styledNode({text: '', style})
  node.append(...cellsOf(text).map(([cell, width]) => /^[ -~]/.test(cell) ? cell : make(width > 1 ? 'i.wide' : 'i', {}, cell)))
  return node
}

function showScreen() {
  const el = make('div.screen', {tabIndex: 0}),
    drawn = []
  // Rows that stay as they are keep their nodes: no flicker, and a selection survives.
  function show(part) {
    const [, cols, rows] = GRID.exec(part.fullType),
      lines = textOf(part).split('\n')
    el.style.setProperty('--cols', cols)
    for (let at = 0; at < min(rows, 999); at++) {
      const line = lines[at] ?? ''
      if (drawn[at] === line) continue
      drawn[at] = line
      const row = make('div', {}, ...readLine(line, PLAIN).runs.map(drawCells))
      // An empty row keeps its height when it is copied.
      if (!row.firstChild) row.append('\n')
      if (el.children[at]) el.children[at].replaceWith(row)
      else el.append(row)
    }
    while (el.children[rows]) el.lastChild.remove(drawn.pop())
  }
  return {el, show}
}

export {cellsOf}
