/** What a server that pushes does, for tests: VAPID (RFC 8292) and encryption (RFC 8291, aes128gcm of RFC 8188), by Node's own cryptography. */
import { createCipheriv, createECDH, createHmac, createPrivateKey, generateKeyPairSync, randomBytes, sign } from 'node:crypto';

const RECORD_BYTES = 4_096;

const hmac = (key, ...data) => createHmac('sha256', key).update(Buffer.concat(data.map((d) => Buffer.from(d)))).digest();
/** HKDF (RFC 5869) with an output of one block. */
const hkdf = (salt, secret, info, bytes) => hmac(hmac(salt, secret), info, [1]).subarray(0, bytes);

/** A message for a subscription, as the body of a push. `fixed`: salt and private key, for the RFC's example. */
export function encrypt(text, { p256dh, auth }, fixed = {}) {
  const sender = createECDH('prime256v1');
  if (fixed.privateKey) sender.setPrivateKey(fixed.privateKey);
  else sender.generateKeys();
  const receiverKey = Buffer.from(p256dh, 'base64url');
  const senderKey = sender.getPublicKey();
  const salt = fixed.salt ?? randomBytes(16);
  // RFC 8291, section 3.4.
  const secret = hkdf(Buffer.from(auth, 'base64url'), sender.computeSecret(receiverKey), Buffer.concat([Buffer.from('WebPush: info\0'), receiverKey, senderKey]), 32);
  const key = hkdf(salt, secret, Buffer.from('Content-Encoding: aes128gcm\0'), 16);
  const nonce = hkdf(salt, secret, Buffer.from('Content-Encoding: nonce\0'), 12);
  const cipher = createCipheriv('aes-128-gcm', key, nonce);
  // One record, and the last: its delimiter is 2 (RFC 8188, section 2).
  const record = Buffer.concat([cipher.update(text), cipher.update(Buffer.from([2])), cipher.final(), cipher.getAuthTag()]);
  const header = Buffer.alloc(21);
  salt.copy(header);
  header.writeUInt32BE(RECORD_BYTES, 16);
  header.writeUInt8(senderKey.length, 20);
  return Buffer.concat([header, senderKey, record]);
}

const json = (value) => Buffer.from(JSON.stringify(value)).toString('base64url');

/** A key pair of a server that pushes. */
export class Vapid {
  #privateKey;
  /** An uncompressed point, as `applicationServerKey` is. */
  publicKey;

  constructor() {
    const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'prime256v1' });
    this.#privateKey = privateKey;
    const { x, y } = privateKey.export({ format: 'jwk' });
    this.publicKey = Buffer.concat([Buffer.from([4]), Buffer.from(x, 'base64url'), Buffer.from(y, 'base64url')]);
  }

  authorization(endpoint, { expiresS = Math.floor(Date.now() / 1000) + 3_600, audience = new URL(endpoint).origin } = {}) {
    const signed = `${json({ typ: 'JWT', alg: 'ES256' })}.${json({ aud: audience, exp: expiresS, sub: 'mailto:operator@chat.example' })}`;
    const signature = sign('sha256', Buffer.from(signed), { key: createPrivateKey(this.#privateKey.export({ type: 'pkcs8', format: 'pem' })), dsaEncoding: 'ieee-p1363' });
    return `vapid t=${signed}.${signature.toString('base64url')}, k=${this.publicKey.toString('base64url')}`;
  }
}

/** Pushes as RFC 8030 has it. Gives the push service's answer. */
export function push(subscription, text, { vapid, ttlS = 60, urgency = 'normal', topic = null, headers = {} }) {
  return fetch(subscription.endpoint, {
    method: 'POST',
    headers: {
      'Content-Encoding': 'aes128gcm',
      'Content-Type': 'application/octet-stream',
      TTL: `${ttlS}`,
      Urgency: urgency,
      ...(topic !== null && { Topic: topic }),
      Authorization: vapid.authorization(subscription.endpoint),
      ...headers,
    },
    body: encrypt(text, subscription.keys),
  });
}
