/**
 * A push service on this machine: towards Firefox Mozilla's autopush protocol over a WebSocket, towards servers that
 * push RFC 8030 over HTTP with VAPID (RFC 8292) checked as the real one does. What is pushed while the browser is away
 * is kept for its time to live, and a later push of the same topic replaces it (RFC 8030, section 5.4). The browser never
 * connects to an endpoint: only servers do, which a real one pushes to over HTTPS alone (`tls`).
 */
import { createServer } from 'node:http';
import { createSecureServer } from 'node:http2';
import { createPublicKey, randomBytes, randomUUID, verify } from 'node:crypto';
import { EventEmitter, once } from 'node:events';
import { WebSocketServer } from 'ws';

/** RFC 8030, section 7.2: at least so much has to be taken. */
const BODY_BYTES = 4_096;
/** RFC 8292, section 2: longer is refused. */
const TOKEN_MAX_S = 24 * 3_600;
const URGENCIES = ['very-low', 'low', 'normal', 'high'];
const TOPIC = /^[A-Za-z0-9_-]{1,32}$/;
/** Of the POINT of P-256 in SubjectPublicKeyInfo. */
const SPKI = Buffer.from('3059301306072a8648ce3d020106082a8648ce3d030107034200', 'hex');

/** Emits `subscribed`, `pushed` (taken from a server), `acked` (by the browser), `gone`. */
export class PushService extends EventEmitter {
  /** By the secret part of its endpoint. */
  #subscriptions = new Map();
  #browsers = new Map();
  #http = createServer((request, response) => void this.#handlePost(request, response));
  #sockets = new WebSocketServer({ server: this.#http, handleProtocols: (offered) => (offered.has('push-notification') ? 'push-notification' : false) });
  #https = null;
  #sessions = new Set();
  /** Everything that was pushed and taken, in its order. */
  pushes = [];
  /** Everything that was refused, with its reason. */
  refused = [];
  /** What the browser said of each push: 100 it was shown to the app, 101 it couldn't be decrypted, 102 the app failed. */
  acks = [];

  /** `tls`: key and certificate of the endpoints. */
  async start({ tls = null } = {}) {
    this.#http.listen(0, '127.0.0.1');
    await once(this.#http, 'listening');
    if (tls) {
      this.#https = createSecureServer({ ...tls, allowHTTP1: true }, (request, response) => void this.#handlePost(request, response));
      this.#https.on('session', (session) => this.#sessions.add(session));
      this.#https.listen(0, '127.0.0.1');
      await once(this.#https, 'listening');
    }
    this.#sockets.on('connection', (socket) => this.#handleBrowser(socket));
    return this;
  }

  /** Of the endpoints. */
  get #origin() {
    return this.#https ? `https://127.0.0.1:${this.#https.address().port}` : `http://127.0.0.1:${this.#http.address().port}`;
  }

  /** For `dom.push.serverURL`. */
  get url() {
    return `ws://127.0.0.1:${this.#http.address().port}/`;
  }

  async end() {
    for (const socket of this.#sockets.clients) socket.terminate();
    this.#http.closeAllConnections();
    this.#http.close();
    await once(this.#http, 'close');
    for (const session of this.#sessions) session.destroy();
    this.#https?.close();
  }

  /** A subscription ends as it does when the browser's maker wishes so: pushes to it are answered with 410. */
  drop(endpoint) {
    const subscription = this.#subscriptions.get(endpoint.split('/').pop());
    if (subscription) subscription.isGone = true;
  }

  // --- towards the browser ---

  #handleBrowser(socket) {
    let uaid = null;
    const say = (message) => socket.send(JSON.stringify(message));
    socket.on('message', (frame) => {
      const message = JSON.parse(frame.toString());
      if (uaid === null && message.messageType !== 'hello') return socket.close(4774, 'hello comes first');
      switch (message.messageType) {
        case 'hello': {
          const isKnown = message.uaid && this.#browsers.has(message.uaid);
          uaid = isKnown ? message.uaid : randomUUID().replaceAll('-', '');
          this.#browsers.set(uaid, { socket, waiting: this.#browsers.get(uaid)?.waiting ?? [] });
          say({ messageType: 'hello', uaid, status: 200, use_webpush: true, broadcasts: {} });
          return this.#deliver(uaid);
        }
        case 'register': {
          const id = randomBytes(24).toString('base64url');
          const key = message.key ? Buffer.from(message.key, 'base64url') : null;
          const subscription = { id, uaid, channel: message.channelID, key, isGone: false };
          this.#subscriptions.set(id, subscription);
          const pushEndpoint = `${this.#origin}/wpush/v2/${id}`;
          say({ messageType: 'register', channelID: message.channelID, status: 200, pushEndpoint });
          return this.emit('subscribed', { ...subscription, endpoint: pushEndpoint });
        }
        case 'unregister':
          for (const subscription of this.#subscriptions.values()) {
            if (subscription.channel === message.channelID) subscription.isGone = true;
          }
          say({ messageType: 'unregister', channelID: message.channelID, status: 200 });
          return this.emit('gone', message.channelID);
        case 'ack': {
          const browser = this.#browsers.get(uaid);
          for (const update of message.updates) {
            browser.waiting = browser.waiting.filter((w) => w.version !== update.version);
            this.acks.push(update);
            this.emit('acked', update);
          }
          return undefined;
        }
        case 'nack':
          this.acks.push(message);
          return this.emit('acked', message);
        case 'ping':
          return socket.send('{}');
        default:
          // An empty object is a ping, too.
          return Object.keys(message).length === 0 ? socket.send('{}') : undefined;
      }
    });
  }

  #deliver(uaid) {
    const browser = this.#browsers.get(uaid);
    if (browser?.socket.readyState !== 1) return;
    for (const waiting of browser.waiting.filter((w) => !w.isSent && w.expiresMs > Date.now())) {
      const { channel, version, data } = waiting;
      waiting.isSent = true;
      browser.socket.send(
        JSON.stringify({
          messageType: 'notification',
          channelID: channel,
          version,
          ...(data.length > 0 && { data: data.toString('base64url'), headers: { encoding: 'aes128gcm' } }),
        }),
      );
    }
  }

  // --- towards servers that push ---

  async #handlePost(request, response) {
    const chunks = [];
    for await (const chunk of request) chunks.push(chunk);
    const body = Buffer.concat(chunks);
    const answer = this.#take(request, body);
    if (answer.status !== 201) this.refused.push({ status: answer.status, reason: answer.reason });
    response.writeHead(answer.status, answer.headers ?? { 'Content-Type': 'application/json' });
    response.end(answer.status === 201 ? '' : JSON.stringify({ code: answer.status, message: answer.reason }));
  }

  #take({ method, url, headers }, body) {
    const no = (status, reason) => ({ status, reason });
    if (method !== 'POST') return no(405, 'only POST');
    const subscription = this.#subscriptions.get(/^\/wpush\/v2\/([\w-]+)$/.exec(url)?.[1]);
    if (!subscription) return no(404, 'no such subscription');
    if (subscription.isGone) return no(410, 'the subscription has ended');
    if (!/^\d+$/.test(headers.ttl ?? '')) return no(400, 'TTL is missing');
    if (headers.urgency !== undefined && !URGENCIES.includes(headers.urgency)) return no(400, 'no such Urgency');
    if (headers.topic !== undefined && !TOPIC.test(headers.topic)) return no(400, 'not a Topic');
    if (body.length > BODY_BYTES) return no(413, 'too large');
    if (body.length > 0 && headers['content-encoding'] !== 'aes128gcm') return no(400, 'not aes128gcm');
    const reason = vapidRefusal(headers.authorization ?? '', subscription.key, this.#origin);
    if (reason) return no(headers.authorization ? 403 : 401, reason);
    const ttlS = Number(headers.ttl);
    const version = randomBytes(12).toString('base64url');
    const { uaid, channel } = subscription;
    const browser = this.#browsers.get(uaid);
    const topic = headers.topic ?? null;
    browser.waiting = browser.waiting.filter((w) => topic === null || w.isSent || w.channel !== channel || w.topic !== topic);
    browser.waiting.push({ channel, version, topic, data: body, expiresMs: Date.now() + ttlS * 1_000, isSent: false });
    const taken = { ttlS, topic, urgency: headers.urgency ?? 'normal', bytes: body.length, version };
    this.pushes.push(taken);
    this.#deliver(uaid);
    this.emit('pushed', taken);
    return { status: 201, headers: { Location: `${this.#origin}/m/${version}`, TTL: headers.ttl } };
  }
}

/** Why a push is not taken; null: it may be. */
function vapidRefusal(authorization, key, origin) {
  const [, token, k] = /^vapid t=([\w.-]+),\s*k=([\w-]+)$/.exec(authorization) ?? [];
  if (!token) return 'no VAPID authorization';
  const point = Buffer.from(k, 'base64url');
  if (point.length !== 65 || point[0] !== 4) return 'the key is no uncompressed point';
  if (key && !key.equals(point)) return 'the subscription belongs to another key';
  const [head, claims, signature] = token.split('.');
  let said;
  try {
    if (JSON.parse(Buffer.from(head, 'base64url')).alg !== 'ES256') return 'not ES256';
    said = JSON.parse(Buffer.from(claims, 'base64url'));
  } catch {
    return 'the token is no JWT';
  }
  const publicKey = createPublicKey({ key: Buffer.concat([SPKI, point]), format: 'der', type: 'spki' });
  const isSigned = verify('sha256', Buffer.from(`${head}.${claims}`), { key: publicKey, dsaEncoding: 'ieee-p1363' }, Buffer.from(signature, 'base64url'));
  if (!isSigned) return 'the signature is wrong';
  if (said.aud !== origin) return `aud is ${said.aud}, not ${origin}`;
  const leftS = said.exp - Date.now() / 1000;
  if (!(leftS > 0)) return 'the token has expired';
  if (leftS > TOKEN_MAX_S) return 'the token lasts longer than a day';
  if (!/^(mailto:|https:)/.test(said.sub ?? '')) return 'sub is missing';
  return null;
}
