// Shows a JSON value as a tree that folds. A branch is drawn when it is opened, and keeps its state from part to part.

const MAX_KEYS = 1000

function makeTree() {
  const folds = new Map(),
    el = make('div.json', {tabIndex: 0, role: 'region'})

  function draw(key, value, path, depth) {
    const label = path ? [make('span.key', {}, key), ': '] : [],
      keys = value && typeof value === 'object' && Object.keys(value)
    if (!keys) return make('div', {}, ...label, make(`span.${typeof value}`, {}, JSON.stringify(value)))
    const summary = make('summary', {}, ...label, Array.isArray(value) ? `[ ${keys.length} ]` : `{ ${keys.length} }`),
      node = make('details', {open: folds.get(path) ?? (depth < 3 && keys.length < 100)}, summary),
      fill = () => {
        if (!node.open || node.children[1]) return
        node.append(...keys.slice(0, MAX_KEYS).map(name => draw(name, value[name], `${path}/${name}`, depth + 1)))
        if (keys.length > MAX_KEYS) node.append(make('div.mark', {}, `… ${number(keys.length - MAX_KEYS)} more`))
      }
    node.ontoggle = () => fill(folds.set(path, node.open))
    fill()
    return node
  }

  const show = ({value}) => {
    const top = el.scrollTop
    el.replaceChildren(draw('', value, '', 0))
    el.scrollTop = top
  }
  return {el, show}
}
