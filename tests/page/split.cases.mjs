// What the splitter has to do, without anything of Node in it, so that a browser can run it too: `failures` gives a line
// for each case that went wrong.

const BOUNDARY = 'mxr-65a75aa120b9a931cf40e06aae048e17';
const bytesOf = (text) => Uint8Array.from(text, (letter) => letter.charCodeAt(0));
const textOf = (bytes) => Array.from(bytes, (byte) => String.fromCharCode(byte)).join('');
const part = (body, headers = '') => `Content-Type: text/plain\r\nContent-Length: ${body.length}\r\n${headers}\r\n${body}\r\n`;
const stream = (...parts) => `--${BOUNDARY}\r\n${parts.map((one) => `${one}--${BOUNDARY}\r\n`).join('')}`;
const closed = (...parts) => stream(...parts).replace(/\r\n$/, '--\r\n');
const every = Array.from({ length: 256 }, (_, byte) => String.fromCharCode(byte)).join('');

// Name, the bytes of the stream, the bodies that come out of it, whether it is over then ('garbled' where it throws).
const CASES = [
  ['one part is given out once its last byte is there', stream(part('hello')), ['hello'], false],
  ['a part is given out before the next delimiter', `--${BOUNDARY}\r\n${part('hello')}`, ['hello'], false],
  ['a part that is not whole is held back', stream(part('hello')).slice(0, -50), [], false],
  ['parts come in order', closed(part('a'), part('bb'), part('ccc')), ['a', 'bb', 'ccc'], true],
  ['an empty body is a part', closed(part(''), part('a')), ['', 'a'], true],
  ['a body is bytes', closed(part(every)), [every], true],
  ['a large body', closed(part('x'.repeat(100000)), part('y')), ['x'.repeat(100000), 'y'], true],
  ['a blank line in a body', closed(part('a\r\n\r\nb')), ['a\r\n\r\nb'], true],
  ['a delimiter in a body', closed(part(`a\r\n--${BOUNDARY}\r\nb`)), [`a\r\n--${BOUNDARY}\r\nb`], true],
  ['a close-delimiter in a body', closed(part(`\r\n--${BOUNDARY}--\r\n`)), [`\r\n--${BOUNDARY}--\r\n`], true],
  ['the end of a feed without a part', `--${BOUNDARY}--\r\n`, [], true],
  ['the end without a last line end', closed(part('a')).slice(0, -2), ['a'], true],
  ['what comes behind the end is left alone', `${closed(part('a'))}${stream(part('b'))}`, ['a'], true],
  ['another boundary', stream(part('a')).replaceAll('65a75', '65a76'), [], 'garbled'],
  ['a page of HTML', '<!doctype html>\r\n\r\n', [], 'garbled'],
  ['no length', `--${BOUNDARY}\r\nContent-Type: text/plain\r\n\r\nhello\r\n`, [], 'garbled'],
  ['a length that is no number', stream(part('hello').replace('5', '5, 5')), [], 'garbled'],
  ['a negative length', stream(part('hello').replace('5', '-5')), [], 'garbled'],
  ['a length that is too short', stream(part('hello').replace('5', '3'), part('a')), ['hel'], 'garbled'],
];

function run(makeSplitter, text, step) {
  const bytes = bytesOf(text);
  const parts = [];
  const push = makeSplitter(BOUNDARY, (one) => parts.push(one));
  let ended = false;
  try {
    for (let at = 0; at < bytes.length; at += step) ended = push(bytes.subarray(at, at + step));
  } catch {
    ended = 'garbled';
  }
  return { parts, ended: ended || false };
}

export function failures(makeSplitter) {
  const wrong = [];
  for (const [name, text, bodies, over] of CASES) {
    for (const step of [1, 7, text.length]) {
      const { parts, ended } = run(makeSplitter, text, step);
      const got = JSON.stringify(parts.map(({ body }) => textOf(body)));
      if (got !== JSON.stringify(bodies)) wrong.push(`${name}, read by ${step}: ${got.slice(0, 200)}`);
      if (ended !== over) wrong.push(`${name}, read by ${step}: ended is ${ended}`);
    }
  }
  const [{ headers }] = run(makeSplitter, stream(part('a', 'X-Feed: a%20b\r\nx-sequence:42\r\nX-Odd: a: b\r\n')), 1).parts;
  const got = JSON.stringify([headers['content-type'], headers['x-feed'], headers['x-sequence'], headers['x-odd']]);
  if (got !== '["text/plain","a%20b","42","a: b"]') wrong.push(`headers: ${got}`);
  return wrong;
}
