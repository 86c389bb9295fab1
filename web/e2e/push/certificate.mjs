/** A certificate for this machine, from an authority of its own that only a test trusts. */
import { execFile } from 'node:child_process';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';

const run = promisify(execFile);
const DAYS = '2';

/** Gives key and certificate, and the file of the authority; `end` takes that away. */
export async function certificate() {
  const folder = await mkdtemp(join(tmpdir(), 'kaiwa-tls-'));
  const at = (name) => join(folder, name);
  const ec = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes'];
  await run('openssl', ['req', '-x509', ...ec, '-subj', '/CN=Kaiwa test authority', '-days', DAYS, '-addext', 'keyUsage=critical,keyCertSign', '-keyout', at('ca.key'), '-out', at('ca.pem')]);
  await run('openssl', ['req', ...ec, '-subj', '/CN=push', '-keyout', at('push.key'), '-out', at('push.csr')]);
  await writeFile(at('ext'), 'basicConstraints=CA:FALSE\nsubjectAltName=IP:127.0.0.1\nextendedKeyUsage=serverAuth\n');
  await run('openssl', ['x509', '-req', '-in', at('push.csr'), '-CA', at('ca.pem'), '-CAkey', at('ca.key'), '-CAcreateserial', '-days', DAYS, '-extfile', at('ext'), '-out', at('push.pem')]);
  const [key, cert] = await Promise.all([readFile(at('push.key')), readFile(at('push.pem'))]);
  return { key, cert, authority: at('ca.pem'), end: () => rm(folder, { recursive: true, force: true }) };
}
