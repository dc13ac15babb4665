// Films a picture as WebM, by the browser's own recorder. It knows nothing of feeds.

const WEBM = 'video/webm',
  // What is filmed a second, and the pixels of its longer side.
  FILM_FPS = 30,
  FILM_SIDE = 1920,
  canFilm = globalThis.MediaRecorder?.isTypeSupported(WEBM) && document.createElement('canvas').captureStream

// Films what look() gives, a canvas or an image, until stop() of the recorder that is returned; then calls done(blob).
function makeFilm(look, done) {
  const first = look(),
    scale = min(1, FILM_SIDE / max(first.width, first.height)),
    canvas = make('canvas', {width: round(first.width * scale), height: round(first.height * scale)}),
    context = canvas.getContext('2d'),
    chunks = []
  // A film has one size: any other picture is fitted in.
  function draw() {
    const face = look()
    if (!face) return
    const {width, height} = canvas,
      scale = min(width / face.width, height / face.height),
      [w, h] = [face.width * scale, face.height * scale]
    context.fillRect(0, 0, width, height)
    context.drawImage(face, (width - w) / 2, (height - h) / 2, w, h)
  }
  draw()
  const timer = setInterval(draw, 1000 / FILM_FPS),
    recorder = new MediaRecorder(canvas.captureStream(), {mimeType: WEBM})
  recorder.ondataavailable = ({data}) => chunks.push(data)
  recorder.onstop = () => done(new Blob(chunks, {type: WEBM}), clearInterval(timer))
  recorder.start(1000)
  return recorder
}
