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
const { callsFixture, fixture } = await vite.ssrLoadModule('/test/inspect-fixture.ts');
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

const TYPES = { '.html': 'text/html; charset=utf-8', '.js': 'text/javascript', '.css': 'text/css', '.svg': 'image/svg+xml', '.webmanifest': 'application/manifest+json', '.png': 'image/png' };
const CSP =
  "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; connect-src 'self'; font-src 'self'; manifest-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

const http = createServer(async (request, response) => {
  const { pathname, searchParams } = new URL(request.url, 'http://localhost');
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
  // Made-up figures, to look at the inspector.
  const inspected = /^\/api\/v1\/calls(?:\/([^/]+))?(\/reports)?$/.exec(pathname);
  if (inspected) {
    const [, room, isReport] = inspected;
    if (isReport) return json(200, { cause: null });
    return json(200, room ? fixture({ nowMs: Date.now(), room: decodeURIComponent(room), seconds: Number(searchParams.get('seconds') ?? 60) }) : callsFixture(Date.now()));
  }
  if (pathname === '/fake-rtc.js') {
    response.writeHead(200, { 'Content-Type': 'text/javascript' });
    return response.end(readFileSync(join(root, 'test/fake-rtc.js')));
  }
  if (pathname === '/fake/calls') {
    let body = '';
    for await (const chunk of request) body += chunk;
    return json(200, direct(JSON.parse(body)));
  }
  if (pathname === '/fake/notify') {
    let body = '';
    for await (const chunk of request) body += chunk;
    return json(200, notify(JSON.parse(body)));
  }
  let file = join(dist, normalize(pathname));
  if (!file.startsWith(dist) || pathname === '/' || !existsSync(file)) file = join(dist, 'index.html');
  response.writeHead(200, { 'Content-Type': TYPES[extname(file)] ?? 'application/octet-stream', 'Content-Security-Policy': CSP });
  // There are no calls without an SFU: the page gets a peer connection that draws what it receives.
  const fake = '<script src="/fake-rtc.js"></script>';
  response.end(extname(file) === '.html' ? readFileSync(file, 'utf8').replace('<script', `${fake}<script`) : readFileSync(file));
});

/**
 * Other people in a call, to be ordered: POST /fake/calls
 *   {"room":"r1","people":[{"id":"ben","name":"Ben","camera":true,"microphone":"muted","screen":false}]}
 *   {"room":"r1","speakers":[["ben",24]],"active":"ben"}, {"room":"r1","quality":{"ben":"poor"}},
 *   {"room":"r1","interrupted":["ben"]}, {"room":"r1","starved":["ben"]}, {"room":"r1","mute":"aiko"}, {"room":"r1","end":["aiko","removed"]},
 *   {"room":"r1","ring":["aiko","ben"]}, {"peopleMax":0}, {"refuse":true,"cut":true}
 */
function direct(order) {
  const { calls } = server;
  const { room } = order;
  const inCall = () => [...(calls.rooms.get(room)?.participants.values() ?? [])];
  const idOf = (user) => inCall().find((p) => p.user === user)?.id ?? '';
  if (order.people) {
    for (const p of inCall()) if (!p.session) calls.gone(room, p.id, 'left');
    for (const { id, name, camera, microphone, screen } of order.people) {
      server.users.set(id, name);
      const sources = [];
      if (microphone !== 'none') sources.push({ source: 1, muted: microphone === 'muted' });
      if (camera !== undefined) sources.push({ source: 2, muted: !camera });
      if (screen) sources.push({ source: 3 });
      calls.addBot(room, id, sources);
    }
  }
  if (order.speakers) calls.speakers(room, order.speakers.map(([user, level]) => [idOf(user), level]), idOf(order.active));
  for (const [user, quality] of Object.entries(order.quality ?? {})) calls.quality(room, idOf(user), quality);
  for (const p of order.interrupted ? inCall() : []) {
    p.interrupted = order.interrupted.includes(p.user);
    calls.changed(room, p.id);
  }
  if (order.starved) {
    calls.starved.clear();
    for (const user of order.starved) calls.starved.add(user);
    for (const p of inCall()) calls.changed(room, p.id);
  }
  for (const p of order.mute ? inCall().filter((q) => q.user === order.mute) : []) {
    for (const t of p.publications) if (t.source === 1) t.muted = true;
    calls.changed(room, p.id);
  }
  if (order.end) calls.end(room, idOf(order.end[0]), order.end[1]);
  if (order.ring) calls.pushRinging(room, order.ring[0], order.ring[1], Date.now() + 45_000);
  if (order.peopleMax !== undefined) calls.peopleMax = order.peopleMax;
  if (order.refuse !== undefined) server.refuseResume = order.refuse ? 'expired' : '';
  if (order.cut) server.cut();
  return { participants: inCall().map((p) => ({ id: p.id, user: p.user, publications: p.publications, preferences: [...p.preferences.values()] })) };
}

/**
 * Notifications, to be ordered: POST /fake/notify
 *   {"vapidKey":"base64url"}, {"mark":["room","user",7]}, {"devices":[{"user":"bob","name":"Chrome · Android"}]},
 *   {"decisions":{"user":"bob","list":[{"reason":"quiet","message":"…","isSent":false,"room":"r1"}]}}
 * Gives who is registered, what was acknowledged and who has read how far.
 */
function notify(order) {
  const { notify: fake } = server;
  if (order.vapidKey !== undefined) fake.vapidKey = new Uint8Array(Buffer.from(order.vapidKey, 'base64url'));
  if (order.mark) fake.mark(...order.mark);
  for (const { user, name } of order.devices ?? []) fake.addDevice(user, name);
  if (order.decisions) fake.decide(order.decisions.user, order.decisions.list);
  const base64 = (bytes) => Buffer.from(bytes).toString('base64url');
  const devices = [...fake.devices.values()].map(({ user, device, address: { value } }) => ({
    user,
    deviceId: device.deviceId,
    name: device.name,
    endpoint: value?.endpoint ?? '',
    keys: { p256dh: base64(value?.p256dh ?? []), auth: base64(value?.auth ?? []) },
  }));
  return { devices, acks: fake.acks, marks: Object.fromEntries(fake.marks) };
}

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
