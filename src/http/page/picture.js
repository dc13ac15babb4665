// Shows a picture that keeps changing: decodes it asynchronously, paints it without flicker, and zooms and pans it by wheel,
// pinch, drag and keys.

// Pixels: a larger canvas stays blank in Safari on iPhone.
const MAX_CANVAS = 16e6

function showPicture() {
  let face, width, height, scale, x, y, fitted = true
  const el = make('div.picture', {tabIndex: 0, role: 'img'}),
    canvas = make('canvas'),
    pointers = new Map()

  async function show(part) {
    // A bitmap only has the first frame of a GIF, and cannot be made from an SVG.
    const bitmap = !/gif|svg/.test(part.type) && await createImageBitmap(blobOf(part)).catch(() => {})
    if (bitmap?.width * bitmap?.height < MAX_CANVAS) return paint(bitmap)
    const image = make('img', {alt: '', src: URL.createObjectURL(blobOf(part))})
    await image.decode().finally(() => URL.revokeObjectURL(image.src))
    // Firefox reports 0 for an SVG without a size.
    set(image, {width: image.naturalWidth || 300, height: image.naturalHeight || 150})
    place(image)
  }

  function paint(bitmap) {
    const {width, height} = bitmap
    // Setting the size of a canvas reallocates it, so it is only set if it differs.
    if (canvas.width !== width || canvas.height !== height) set(canvas, {width, height})
    const context = canvas.getContext('2d')
    context.clearRect(0, 0, width, height)
    context.drawImage(bitmap, 0, 0)
    place(canvas)
    bitmap.close()
  }

  function place(next) {
    const resized = width !== next.width || height !== next.height
    if (face !== next) {
      el.replaceChildren(next)
      // Otherwise Firefox keeps the decoded image for a minute.
      if (face) face.src = ''
      face = next
    } else if (!resized) return
    width = next.width
    height = next.height
    fitted ||= resized
    layout()
  }

  const room = () => [el.clientWidth, el.clientHeight],
    // A small picture is enlarged at most four times.
    fitScale = () => min(room()[0] / width, room()[1] / height, 4),
    within = (at, slack) => slack > 0 ? slack / 2 : min(0, max(slack, at || 0))

  function layout() {
    if (!face) return
    if (fitted) scale = fitScale()
    x = within(x, room()[0] - width * scale)
    y = within(y, room()[1] - height * scale)
    const imageRendering = scale * devicePixelRatio < 3 ? '' : 'pixelated'
    set(face.style, {transform: `translate(${x}px,${y}px)scale(${scale})`, imageRendering})
    refresh()
  }

  // Keeps the point `at` where it is.
  function zoomTo(to, at = room().map(length => length / 2)) {
    to = min(40, max(min(fitScale(), 1) / 2, to))
    x = at[0] - (at[0] - x) * to / scale
    y = at[1] - (at[1] - y) * to / scale
    scale = to
    fitted = false
    layout()
  }

  const zoomBy = (factor, at) => zoomTo(scale * factor, at),
    // To the actual size and back; a tap on a point of a picture that fits doubles its size.
    toggle = at => fitted ? zoomTo(at && fitScale() >= 1 ? 2 * fitScale() : 1, at) : layout(fitted = true)

  // Returns whether there was anything to move.
  function panBy(right, down) {
    x += right
    y += down
    layout()
    return !fitted
  }

  // In a tile the wheel scrolls the page and a tap enlarges the feed.
  const awake = act => event => {
    const box = el.getBoundingClientRect()
    if (face && !el.closest('.tiled')) act(event, [event.clientX - box.x, event.clientY - box.y])
  }
  el.onwheel = awake((event, at) => {
    event.preventDefault()
    // With ctrlKey the event is a pinch on a trackpad.
    zoomBy(Math.exp(-event.deltaY * (event.ctrlKey ? .01 : .002)), at)
  })
  el.ondblclick = awake((_, at) => toggle(at))
  el.onpointerdown = awake((event, at) => {
    el.setPointerCapture(event.pointerId)
    pointers.set(event.pointerId, at)
  })
  el.onpointermove = awake((event, to) => {
    const from = pointers.get(event.pointerId)
    if (!from) return
    pointers.set(event.pointerId, to)
    const other = [...pointers.values()].find(at => at !== to),
      apart = at => Math.hypot(at[0] - other[0], at[1] - other[1]) || 1
    if (other) zoomBy(apart(to) / apart(from), [(to[0] + other[0]) / 2, (to[1] + other[1]) / 2])
    else panBy(to[0] - from[0], to[1] - from[1])
  })
  el.onpointerup = el.onpointercancel = ({pointerId}) => pointers.delete(pointerId)
  new ResizeObserver(layout).observe(el)

  return {el, show, picture: {zoomBy, panBy, face: () => face, toggle, zoom: () => fitted ? 'fit' : `${round(scale * 100)} %`, size: () => face && `${width} × ${height}`}}
}
