// The screen of a terminal: a grid of fixed cells. Fonts disagree on the width of what is not ASCII, so each such character has
// a box of one cell or of two. It knows rows of text with colours and nothing of feeds.

// What the server counts as two cells (unicode-width 0.2), and what joins the cell before.
const WIDE = /^[\u1100-\u115f\u231a\u231b\u2329\u232a\u23e9-\u23ec\u23f0\u23f3\u25fd\u25fe\u2614\u2615\u2630-\u2637\u2648-\u2653\u267f\u268a-\u268f\u2693\u26a1\u26aa\u26ab\u26bd\u26be\u26c4\u26c5\u26ce\u26d4\u26ea\u26f2\u26f3\u26f5\u26fa\u26fd\u2705\u270a\u270b\u2728\u274c\u274e\u2753-\u2755\u2757\u2795-\u2797\u27b0\u27bf\u2b1b\u2b1c\u2b50\u2b55\u2e80-\u3029\u3030-\u303e\u3041-\u3096\u309b-\u3163\u3165-\u3247\u3250-\ua4c6\ua960-\ua97c\uac00-\ud7a3\uf900-\ufaff\ufe10-\ufe19\ufe30-\ufe6b\uff01-\uff60\uffe0-\uffe6\u{16fe0}-\u{16fe3}\u{16ff2}-\u{1b2fb}\u{1d300}-\u{1d376}\u{1f004}\u{1f0cf}\u{1f18e}\u{1f191}-\u{1f19a}\u{1f1ae}\u{1f200}-\u{1f320}\u{1f32d}-\u{1f335}\u{1f337}-\u{1f37c}\u{1f37e}-\u{1f393}\u{1f3a0}-\u{1f3ca}\u{1f3cf}-\u{1f3d3}\u{1f3e0}-\u{1f3f0}\u{1f3f4}\u{1f3f8}-\u{1f43e}\u{1f440}\u{1f442}-\u{1f4fc}\u{1f4ff}-\u{1f53d}\u{1f54b}-\u{1f54e}\u{1f550}-\u{1f567}\u{1f57a}\u{1f595}\u{1f596}\u{1f5a4}\u{1f5fb}-\u{1f64f}\u{1f680}-\u{1f6c5}\u{1f6cc}\u{1f6d0}-\u{1f6d2}\u{1f6d5}-\u{1f6df}\u{1f6eb}\u{1f6ec}\u{1f6f4}-\u{1f6fc}\u{1f7da}-\u{1f7f0}\u{1f90c}-\u{1f93a}\u{1f93c}-\u{1f945}\u{1f947}-\u{1f9ff}\u{1fa70}-\u{1fafa}\u{20000}-\u{3fffd}]/u,
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
