// Loads scripts of the viewer page as one module. They are classic text that the server joins into the page, so they are
// joined here in the same way.
import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';

const folder = new URL('../../src/http/page/', import.meta.url);

export async function load(...names) {
  const texts = await Promise.all(names.map((name) => readFile(new URL(name, folder), 'utf8')));
  return import(`data:text/javascript,${encodeURIComponent(texts.join('\n'))}`);
}

// Fails where ten times the work takes much more than ten times as long, of the processor's time: others use it, too.
// `prepare(times)` gives the work.
export function growsEvenly(prepare) {
  const best = (times) => {
    const work = prepare(times);
    const runs = Array.from({ length: 5 }, () => {
      const start = process.cpuUsage();
      work();
      const { user, system } = process.cpuUsage(start);
      return (user + system) / 1000;
    });
    return Math.min(...runs);
  };
  const [some, many] = [best(2000), best(20000)];
  assert.ok(many < 50 * some + 50, `${some} ms, ten times as much ${many} ms`);
}
