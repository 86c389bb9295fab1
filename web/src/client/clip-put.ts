/** Sends one part. */
import { clipsErrorOf } from './clip-wire.js';
import type { SignedPart } from './clip-types.js';

/** Gives the store's mark. Throws `ClipsError` for an answer that is none, `TypeError` when it didn't get there. */
export type PutPart = (part: SignedPart, bytes: ArrayBuffer, sent: (bytes: number) => void, signal: AbortSignal) => Promise<string>;

/** Headers that a page may not set; the browser sets them itself (Fetch Standard, forbidden request-header). */
const FORBIDDEN = /^(content-length|host|connection|expect|te|trailer|transfer-encoding|upgrade|date|origin|cookie|keep-alive|via|(proxy|sec)-.*)$/i;

export const allowedHeaders = (headers: Record<string, string>): [string, string][] =>
  Object.entries(headers).filter(([name]) => !FORBIDDEN.test(name));

/** By XMLHttpRequest, since `fetch` does not tell how far it is. */
export function putByXhr(base = ''): PutPart {
  return (part, bytes, sent, signal) =>
    new Promise((resolve, reject) => {
      const lost = () => reject(new TypeError('the part did not get there'));
      if (signal.aborted) return lost();
      const request = new XMLHttpRequest();
      const abort = () => request.abort();
      signal.addEventListener('abort', abort);
      request.upload.onprogress = (event) => sent(event.loaded);
      request.onerror = request.onabort = request.ontimeout = lost;
      request.onloadend = () => signal.removeEventListener('abort', abort);
      request.onload = () => {
        if (request.status >= 200 && request.status < 300) return resolve(request.getResponseHeader('etag') ?? '');
        reject(clipsErrorOf(request.status, request.getResponseHeader('retry-after'), parsed(request.responseText)));
      };
      request.open(part.method, part.url.startsWith('/') ? base + part.url : part.url);
      for (const [name, value] of allowedHeaders(part.headers)) request.setRequestHeader(name, value);
      request.send(bytes);
    });
}

/** By `fetch`, where there is no XMLHttpRequest. */
export function putByFetch(base = '', ask: typeof fetch = fetch): PutPart {
  return async (part, bytes, sent, signal) => {
    const url = part.url.startsWith('/') ? base + part.url : part.url;
    const response = await ask(url, { method: part.method, headers: allowedHeaders(part.headers), body: bytes, signal });
    if (!response.ok) throw clipsErrorOf(response.status, response.headers.get('retry-after'), parsed(await response.text()));
    sent(bytes.byteLength);
    return response.headers.get('etag') ?? '';
  };
}

export const defaultPut = (base = ''): PutPart => (typeof XMLHttpRequest === 'undefined' ? putByFetch(base) : putByXhr(base));

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}
