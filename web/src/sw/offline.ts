/**
 * Keeps the app's own files at hand, so that it opens, with what was written, while the server is away. Pages come from
 * the network whenever it answers, so that nobody sees an app of yesterday; files named by their content never change.
 */
const CACHE = 'kaiwa-shell-1';

/** Stores a page and every file that it names, and forgets files that no page names any more. */
async function keep(page: Response): Promise<void> {
  const cache = await caches.open(CACHE);
  const html = await page.clone().text();
  const named = [...html.matchAll(/(?:src|href)="(\/[^"]+)"/g)].map((m) => new URL(m[1]!, location.origin).href);
  const held = new Set((await cache.keys()).map((request) => request.url));
  // Files without a hash in their name are read again; all before the page that needs them.
  await cache.addAll(named.filter((url) => !held.has(url) || !url.includes('/assets/')));
  await cache.put('/', page);
  const wanted = new Set([...named, new URL('/', location.origin).href]);
  for (const url of held) if (!wanted.has(url)) await cache.delete(url);
}

export const keepShell = (): Promise<void> => fetch('/', { cache: 'no-cache' }).then(keep);

export function handleFetch(event: FetchEvent): void {
  const { request } = event;
  const url = new URL(request.url);
  if (request.method !== 'GET' || url.origin !== location.origin) return;
  if (request.mode === 'navigate') {
    // A clip's files, and what carries them, are the server's business alone.
    if (/^\/(api|v|objects)\//.test(url.pathname) || url.pathname === '/ws') return;
    event.respondWith(
      fetch(request).then(
        (page) => {
          const type = page.headers.get('content-type') ?? '';
          if (page.ok && type.startsWith('text/html')) event.waitUntil(keep(page.clone()).catch(() => {}));
          return page;
        },
        async (error) => {
          const page = await caches.match('/');
          if (!page) throw error;
          return page;
        },
      ),
    );
  } else if (url.pathname.startsWith('/assets/')) {
    event.respondWith(caches.match(request).then((file) => file ?? fetch(request)));
  } else if (/^\/[\w-]+\.(js|svg|png|webmanifest)$/.test(url.pathname)) {
    event.respondWith(fetch(request).catch(async (error) => {
      const file = await caches.match(request);
      if (!file) throw error;
      return file;
    }));
  }
}
