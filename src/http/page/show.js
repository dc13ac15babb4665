// One renderer for each kind of part: {el, show(part)}, and what the tools need. No part ever runs code: text is inserted as
// text, HTML is in a sandbox without scripts, SVG is an image.

// Bytes; larger JSON is shown as text.
const MAX_TREE = 4e6

function rendererOf(part) {
  const {type} = part
  if (/^image\//.test(type)) return showPicture
  if (/html/.test(type)) return showFrame
  if (/[/+]json$/.test(type) && part.body.length < MAX_TREE) {
    try {
      part.value = JSON.parse(textOf(part))
      return makeTree
    } catch {}
  }
  if (GRID.test(part.fullType)) return showScreen
  if (/^text\/|[/+](json|xml|yaml|toml|javascript)$/.test(type)) return showText
  const native = type === 'application/pdf' ? navigator.pdfViewerEnabled : /^(audio|video)/.test(type) && make('video').canPlayType(type)
  return native ? showFrame : showCard
}

function textOf({fullType, body}) {
  try {
    return new TextDecoder(/charset="?([\w-]+)/i.exec(fullType)?.[1]).decode(body)
  } catch {
    return new TextDecoder().decode(body)
  }
}

function showText(part) {
  const log = makeLog()
  // A pipe and a file with the name of a log are read from the end; any other text is, once it has grown.
  log.follow = /^stdin$|\.(log|out|err)$/.test(part.feed) || null
  return {el: log.el, log, show: part => log.replace(textOf(part))}
}

// HTML, and PDF, sound and film in the browser's own viewer. The new part is laid out invisibly and then replaces the old one:
// no flash of white.
function showFrame() {
  const el = make('div')
  let old
  const show = async part => {
    const tag = /^(audio|video)\//.exec(part.type)?.[1] ?? 'iframe',
      face = make(`${tag}.coming`, {title: `${part.feed}, ${part.type}`, controls: true})
    if (/html/.test(part.type)) set(face, {sandbox: '', srcdoc: textOf(part)})
    else face.src = URL.createObjectURL(blobOf(part))
    const loaded = new Promise((done, failed) => set(face, {onload: done, onloadeddata: done, onerror: failed}))
    el.append(face)
    await Promise.race([loaded, pause(1500)])
    face.className = ''
    while (el.firstChild !== face) el.firstChild.remove()
    URL.revokeObjectURL(old)
    old = face.src
  }
  return {el, show}
}

function showCard() {
  const el = make('div.card'),
    show = part => el.replaceChildren(make('b', {}, part.fullType), `${size(part.body.length)}, not shown by this browser`, make('button', {onclick: () => savePart(part)}, 'save'))
  return {el, show}
}

const blobOf = ({body, type}) => new Blob([body], {type})

function savePart(part) {
  const name = /\.\w+$/.test(part.feed) ? part.feed : `${part.feed}.${part.type.replace(/.*\//, '').replace(/\W.*/, '')}`
  saveAs(blobOf(part), `${part.sequence}-${name}`)
}

function saveAs(blob, download) {
  const href = URL.createObjectURL(blob)
  make('a', {href, download}).click()
  setTimeout(() => URL.revokeObjectURL(href), 9999)
}
