/**
 * The inspector in Chromium by the real SFU's figures: what is shown is what the browsers see themselves, moderators see
 * everybody and others their own part, and whoever does not get in is told why.
 */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { Caller, id, startChromium, until as holds } from './calls.mjs';
import { library, Server, until } from './harness.mjs';

let server, chromium, lib, room, alice, bob, chie;

before(async () => {
  [server, chromium, lib] = await Promise.all([Server.start(), startChromium(), library()]);
  const owner = await lib.connect(server.url, 'Alice');
  room = (await owner.createRoom({ kind: 'group', title: 'Garden', visibility: 'public' })).room;
  await until(owner, () => owner.room(room) !== null);
  for (const name of ['Bob', 'Chie']) await (await lib.connect(server.url, name)).joinRoom(room);
  await lib.close();
  [alice, bob, chie] = await Promise.all(['Alice', 'Bob', 'Chie'].map((name) => Caller.inChromium(chromium, name)));
  // A firewall that lets nothing out, as far as the server sees it: the browser has no address to send from.
  await chie.page.addInitScript(() => {
    const Peer = window.RTCPeerConnection;
    window.RTCPeerConnection = class extends Peer {
      constructor(options) {
        super({ ...options, iceTransportPolicy: 'relay' });
      }
    };
  });
  await Promise.all(
    [alice, bob, chie].map(async (someone) => {
      await someone.signIn(server.url);
      await someone.open(room);
    }),
  );
  // Takes her the longest.
  await chie.click('call-button');
  await chie.sees('[data-testid="preview"][data-on="true"]');
  await chie.click('prejoin-join');
  await Promise.all([alice.enter(), bob.enter()]);
});

after(async () => {
  if (process.env.KAIWA_LOG) console.log(server?.log);
  await chromium?.close();
  await server?.end();
});

/** As the page shows them, by what each element says. */
const shown = (someone, selector) => someone.page.evaluate((wanted) => [...document.querySelectorAll(wanted)].map((e) => ({ ...e.dataset, text: e.textContent })), selector);

const open = async (someone) => {
  await someone.click('call-health');
  await someone.sees(id('inspect-person'));
};

test('a moderator sees everybody, with figures that are the browsers’ own', async () => {
  await alice.watches('bob');
  await open(alice);
  assert.equal((await shown(alice, id('inspect-panes')))[0].scope, 'all');
  await holds(async () => (await shown(alice, id('inspect-item'))).length === 3, 'Alice sees not everybody in the list');
  await alice.page.locator('[data-testid="inspect-item"][data-user="bob"]').click();
  await alice.sees('[data-testid="inspect-person"][data-user="bob"][data-state="connected"][data-protocol="udp"]');
  // What Bob's camera sends, and Alice's picture arrives at him.
  await alice.sees('[data-testid="inspect-publication"][data-source="camera"]');
  await holds(async () => {
    const [picture] = await shown(alice, '[data-testid="inspect-picture"][data-user="alice"]');
    return picture?.layer === '0' && picture.limited !== 'bandwidth';
  }, 'Bob’s picture of Alice has no layer');
  // Some seconds of Bob, as the server measured them and as his browser counts what it sends.
  const seconds = async (count) => holds(async () => (await shown(alice, id('inspect-charts')))[0]?.samples >= count, `there are not ${count} seconds of Bob`);
  await seconds(2);
  const before = await sent(bob);
  await seconds(6);
  const later = await sent(bob);
  const { samples } = (await report(alice)).participants.find(({ user }) => user === 'bob');
  for (const s of samples.slice(-3)) {
    assert.ok(s.outKbps > 5 && s.outKbps < 4_000, `he is sent ${s.outKbps} kbit/s`);
    assert.ok(s.estimateKbps > 0, `his path carries ${s.estimateKbps} kbit/s`);
    assert.ok(s.rttMs !== null && s.rttMs < 1_000, `his round trip is ${s.rttMs} ms`);
    for (const loss of [s.inLoss, s.outLoss]) assert.ok(loss >= 0 && loss < 0.5, `a loss of ${loss}`);
  }
  const inKbps = samples.slice(2, 6).reduce((sum, s) => sum + s.inKbps, 0) / 4;
  const ownKbps = ((later.bytes - before.bytes) * 8) / (later.ms - before.ms);
  assert.ok(inKbps > ownKbps / 2 && inKbps < ownKbps * 2, `the server says that he sends ${inKbps} kbit/s, his browser ${ownKbps}`);
  // In words as well, and the same for those who read tables.
  const chart = await alice.page.locator('.chart svg[role="img"]').first().getAttribute('aria-label');
  assert.match(chart, /Bitrate.*Sends: .*kbit\/s now.*Receives: .*Path carries: /s);
  await alice.page.locator(`${id('inspect-table')} summary`).click();
  await holds(async () => (await shown(alice, `${id('inspect-table')} tbody tr`)).length >= 4, 'the table has no rows');
});

/** What the endpoint says. */
async function report({ page }) {
  const token = await page.evaluate(() => JSON.parse(localStorage.getItem('kaiwa.auth')).token);
  return (await fetch(`${server.url}/api/v1/calls/${room}`, { headers: { Authorization: `Bearer ${token}` } })).json();
}

/** How much somebody's browser has sent on its path so far. */
const sent = ({ page }) =>
  page.evaluate(async () => {
    const stats = [...(await window.peers.at(-1).getStats()).values()];
    const pair = stats.find((s) => s.type === 'candidate-pair' && s.nominated);
    return { bytes: pair.bytesSent, ms: pair.timestamp };
  });

test('another member sees their own part alone', async () => {
  await open(bob);
  assert.equal((await shown(bob, id('inspect-panes')))[0].scope, 'own');
  assert.deepEqual((await shown(bob, id('inspect-person'))).map((p) => p.user), ['bob']);
  assert.equal((await shown(bob, id('inspect-item'))).length, 0);
  await holds(async () => (await shown(bob, id('inspect-charts')))[0]?.samples >= 4, 'there are not four seconds');
  await bob.sees('[data-testid="inspect-picture"][data-user="alice"]');
});

test('whoever doesn’t get in is told the cause and what to do, and the moderator sees what was tried', async () => {
  await chie.sees('[data-testid="call-status"][data-cause="media_blocked"]');
  assert.match(await chie.text('call-status'), /Nothing of the call came through.*Try another network.*Still trying/s);
  await alice.click('inspect-item-failures');
  await alice.sees('[data-testid="inspect-failure"][data-user="chie"][data-kind="media_blocked"]');
  const [failure] = await shown(alice, '[data-testid="inspect-failure"][data-user="chie"]');
  assert.match(failure.text, /Chie.*The network blocks calls/s);
});

test('an administrator finds all calls in the settings, and others do not', async () => {
  const olga = await Caller.inChromium(chromium, 'Olga');
  const token = server.tokenWith('admin', 'olga');
  await olga.page.addInitScript((auth) => localStorage.setItem('kaiwa.auth', auth), JSON.stringify({ token, user: { id: 'olga', name: 'Olga' }, expiresMs: Date.now() + 3_600_000 }));
  await olga.page.goto(server.url);
  await olga.connection('connected');
  await olga.click('open-settings');
  await olga.click('open-calls-health');
  await olga.sees(`[data-testid="inspect-call"][data-room="${room}"]`);
  await olga.sees('[data-testid="inspect-failure"][data-user="chie"]');
  await olga.click('inspect-call');
  // In a room that she is not a member of, with addresses, which people of a room don't see of each other.
  await olga.sees('[data-testid="inspect-panes"][data-scope="all"]');
  await olga.page.locator('[data-testid="inspect-item"][data-user="bob"]').click();
  await olga.sees('[data-testid="inspect-person"][data-user="bob"]');
  assert.match(await olga.text('inspect-person'), /Path \S+:\d+ ↔ \S+:\d+/);
  await olga.click('inspect-all-calls');
  await olga.sees(id('inspect-server'));
  assert.deepEqual(olga.errors, []);
  await bob.click('inspect-close');
  await bob.click('open-settings');
  await bob.sees(id('settings'));
  assert.equal(await bob.has(id('open-calls-health')), false);
});

test('no page has errors', () => {
  for (const someone of [alice, bob, chie]) assert.deepEqual(someone.errors, []);
});
