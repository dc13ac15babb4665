// Splits a multipart body into parts, at any read sizes. Pure: bytes in, parts out. The server writes strictly, so a body is cut
// by its Content-Length and never searched.

// Returns push(bytes), which calls onPart({headers, body}) for each complete part and returns true after the close-delimiter. It
// throws if the bytes are not what the server writes.
function makeSplitter(boundary, onPart) {
  let head = '', part, filled, ended
  return bytes => {
    for (let at = 0; at < bytes.length && !ended;) {
      if (part) {
        const piece = bytes.subarray(at, at + part.body.length - filled)
        part.body.set(piece, filled)
        filled += piece.length
        at += piece.length
      } else {
        const byte = bytes[at++]
        head += String.fromCharCode(byte)
        if (byte === 45) ended = head.trim() === `--${boundary}--`
        if (byte !== 10 || !head.endsWith('\r\n\r\n')) continue
        part = readHead(head, boundary)
        filled = 0
        head = ''
      }
      if (filled < part.body.length) continue
      onPart(part)
      part = null
    }
    return ended
  }
}

function readHead(head, boundary) {
  const [delimiter, ...lines] = head.trim().split('\r\n'),
    headers = Object.fromEntries(lines.map(line => line.split(/:\s*(.*)/)).map(([name, value]) => [name.toLowerCase(), value])),
    length = headers['content-length']
  if (delimiter !== `--${boundary}` || !/^\d+$/.test(length)) throw Error('garbled stream')
  return {headers, body: new Uint8Array(+length)}
}

// The boundary parameter of a Content-Type, bare or quoted.
const boundaryOf = type => /boundary="?([^";\s]+)/i.exec(type)?.[1]

export {makeSplitter, boundaryOf}
