// Loads scripts of the viewer page as one module. They are classic text that the server joins into the page, so they are
// joined here in the same way.
import { readFile } from 'node:fs/promises';

const folder = new URL('../../src/http/page/', import.meta.url);

export async function load(...names) {
  const texts = await Promise.all(names.map((name) => readFile(new URL(name, folder), 'utf8')));
  return import(`data:text/javascript,${encodeURIComponent(texts.join('\n'))}`);
}
