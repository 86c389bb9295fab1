/** The HTTP calls beside the protocol (docs/protocol.md, section 9). */
import { KaiwaError, type User } from './types.js';

export interface SignedIn {
  token: string;
  user: User;
  /** When the token stops being valid, in ms since the Unix epoch. */
  expiresMs: number;
}

/** Names a person at a server without an identity provider. Throws `KaiwaError`, or `TypeError` when unreachable. */
export function signIn(name: string, base = ''): Promise<SignedIn> {
  return post(`${base}/api/v1/sign-in`, { 'Content-Type': 'application/json' }, JSON.stringify({ name }));
}

/** A later token for the same person, as long as this one is valid. */
export function refreshToken(token: string, base = ''): Promise<SignedIn> {
  return post(`${base}/api/v1/refresh`, { Authorization: `Bearer ${token}` }, null);
}

export async function serverInfo(base = ''): Promise<{ name: string; version: string; signIn: 'local' | 'none' }> {
  const response = await fetch(`${base}/api/v1/info`);
  const info = (await response.json()) as { name?: string; version?: string; sign_in?: string };
  return { name: info.name ?? 'Kaiwa', version: info.version ?? '', signIn: info.sign_in === 'local' ? 'local' : 'none' };
}

async function post(url: string, headers: Record<string, string>, body: string | null): Promise<SignedIn> {
  const response = await fetch(url, { method: 'POST', headers, body });
  if (!response.ok) throw await errorOf(response);
  const answer = (await response.json()) as { token: string; user: User; expires_ms: number };
  return { token: answer.token, user: { id: answer.user.id, name: answer.user.name ?? '' }, expiresMs: Number(answer.expires_ms) };
}

/** What the server refused with. */
export async function errorOf(response: Response): Promise<KaiwaError> {
  const temporary = response.status >= 500 || response.status === 429;
  const retryMs = (Number(response.headers.get('retry-after')) || 0) * 1_000;
  try {
    const { error } = (await response.json()) as { error: { code: number; reason: string; message: string } };
    return new KaiwaError({ ...error, temporary, retryMs });
  } catch {
    return new KaiwaError({ code: 0, reason: `http_${response.status}`, message: response.statusText, temporary, retryMs });
  }
}
