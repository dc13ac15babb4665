import assert from 'node:assert/strict';
import test from 'node:test';
import { growsEvenly, load } from './load.mjs';
import { failures } from './split.cases.mjs';

const { makeSplitter, boundaryOf } = await load('split.js');

test('streams are cut into parts at read sizes 1, 7 and whole', () => {
  assert.deepEqual(failures(makeSplitter), []);
});

test('a body is a copy, so that a reader may use its buffer again', () => {
  const parts = [];
  const bytes = new TextEncoder().encode('--B\r\nContent-Length: 2\r\n\r\nab\r\n');
  makeSplitter('B', (part) => parts.push(part))(bytes);
  bytes.fill(0);
  assert.equal(new TextDecoder().decode(parts[0].body), 'ab');
});

test('many lines in one read take as long as they are', () => {
  growsEvenly((times) => {
    const lines = Array.from({ length: times }, (_, i) => `Content-Type: text/plain\r\nContent-Length: 8\r\nX-Sequence: ${i}\r\n\r\n12345678\r\n--B\r\n`);
    const bytes = new TextEncoder().encode(`--B\r\n${lines.join('')}`);
    return () => {
      let count = 0;
      makeSplitter('B', () => count++)(bytes);
      assert.equal(count, times);
    };
  });
});

test('the boundary is found bare, quoted and among other parameters', () => {
  assert.equal(boundaryOf('multipart/mixed; boundary=mxr-1f'), 'mxr-1f');
  assert.equal(boundaryOf('multipart/mixed; boundary="mxr-1f"'), 'mxr-1f');
  assert.equal(boundaryOf('multipart/mixed; charset=x; Boundary=mxr-1f; a=b'), 'mxr-1f');
  assert.equal(boundaryOf('text/html'), undefined);
  assert.equal(boundaryOf(null), undefined);
});
