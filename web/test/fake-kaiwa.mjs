#!/usr/bin/env node
// The fake server as a program with the real one's command line, to look at the app without it:
//   node test/fake-kaiwa.mjs serve --data DIR --listen 127.0.0.1:8080
import { createServer } from 'node:http';
import { existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { extname, join, normalize } from 'node:path';
import { fileURLToPath } from 'node:url';
import { deserialize, serialize } from 'node:v8';
import { createServer as createVite } from 'vite';
import { WebSocketServer } from 'ws';

const option = (name, otherwise) => {
  const at = process.argv.indexOf(`--${name}`);
  return at > 0 ? process.argv[at + 1] : otherwise;
};
const [host, port] = option('listen', '127.0.0.1:8080').split(':');
const data = option('data', 'kaiwa-data');
const root = fileURLToPath(new URL('..', import.meta.url));
const dist = join(root, 'dist');
const disk = join(data, 'fake.bin');

const vite = await createVite({ root, server: { middlewareMode: true, ws: false }, appType: 'custom', logLevel: 'error' });
const { FakeServer } = await vite.ssrLoadModule('/test/fake-server.ts');
const server = new FakeServer(() => Date.now());

mkdirSync(data, { recursive: true });
if (existsSync(disk)) {
  const state = deserialize(readFileSync(disk));
  for (const [id, name] of state.users) server.users.set(id, name);
  for (const [id, room] of state.rooms) server.rooms.set(id, room);
  for (let i = 0; i < 1_000 + state.rooms.size; i++) server.nextId('');
}
const save = () => {
  writeFileSync(`${disk}.new`, serialize({ users: server.users, rooms: server.rooms }));
  renameSync(`${disk}.new`, disk);
};
server.persist = save;

const TYPES = { '.html': 'text/html; charset=utf-8', '.js': 'text/javascript', '.css': 'text/css', '.svg': 'image/svg+xml', '.webmanifest': 'application/manifest+json' };
const CSP =
  "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; connect-src 'self'; font-src 'self'; manifest-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

const http = createServer(async (request, response) => {
  const { pathname } = new URL(request.url, 'http://localhost');
  const json = (status, body) => {
    response.writeHead(status, { 'Content-Type': 'application/json' });
    response.end(JSON.stringify(body));
  };
  if (pathname === '/api/v1/info') return json(200, { name: 'Kaiwa', version: 'fake', sign_in: 'local' });
  if (pathname === '/api/v1/sign-in') {
    let body = '';
    for await (const chunk of request) body += chunk;
    const { name } = JSON.parse(body);
    const id = name.trim().toLowerCase().replace(/\s+/g, '-');
    if (!/^[a-z0-9._-]{1,64}$/.test(id)) {
      return json(400, { error: { code: 400, reason: 'invalid_argument', message: 'not a name' } });
    }
    const token = server.token(id, name.trim());
    save();
    return json(200, { token, user: { id, name: name.trim() }, expires_ms: Number(token.split('.')[1]) });
  }
  if (pathname === '/api/v1/refresh') {
    const id = (request.headers.authorization ?? '').slice(7).split('.')[0];
    const name = server.users.get(id);
    if (name === undefined) return json(401, { error: { code: 200, reason: 'token_invalid', message: 'unknown' } });
    const token = server.token(id, name);
    return json(200, { token, user: { id, name }, expires_ms: Number(token.split('.')[1]) });
  }
  let file = join(dist, normalize(pathname));
  if (!file.startsWith(dist) || pathname === '/' || !existsSync(file)) file = join(dist, 'index.html');
  response.writeHead(200, { 'Content-Type': TYPES[extname(file)] ?? 'application/octet-stream', 'Content-Security-Policy': CSP });
  response.end(readFileSync(file));
});

const sockets = new WebSocketServer({
  server: http,
  path: '/ws',
  handleProtocols: (offered) => [...offered].find((p) => p.startsWith('kaiwa.v1+')) ?? false,
});
sockets.on('connection', (ws) => {
  const conn = server.accept({ protocol: ws.protocol, send: (frame) => ws.send(frame), close: (code) => ws.close(code === 1006 ? 1001 : code) });
  ws.on('message', (frame, binary) => conn.receive(binary ? new Uint8Array(frame) : frame.toString()));
  ws.on('close', () => conn.closed());
});
setInterval(() => server.ping(), 25_000).unref();

http.listen(Number(port), host, () => {
  process.stdout.write(`ready http://${host}:${http.address().port}/\n`);
});
