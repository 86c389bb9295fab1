// Has Chromium and Firefox offer what calls need, one step after the other, answers each offer with
// the example `sdp_answer`, and has the browser take the answer. Writes offers and answers beside this
// file, or to CAPTURE_TO, and fails when a browser or the negotiator refuses something.
//
//   node capture.mjs <path of the built example> [chromium|firefox]     (needs puppeteer-core)
import { spawn } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import http from 'node:http';
import puppeteer from 'puppeteer-core';

const [example, only] = process.argv.slice(2);
const here = process.env.CAPTURE_TO ?? new URL('.', import.meta.url).pathname;

const BROWSERS = {
  chromium: {
    executablePath: '/usr/bin/chromium',
    args: ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
      '--disable-component-update', '--disable-sync', '--use-fake-device-for-media-stream', '--use-fake-ui-for-media-stream'],
  },
  firefox: {
    browser: 'firefox',
    executablePath: '/usr/bin/firefox-esr',
    extraPrefsFirefox: {
      'media.navigator.streams.fake': true, 'media.navigator.permission.disabled': true,
      'media.peerconnection.ice.loopback': true, 'network.manage-offline-status': false,
      'network.captive-portal-service.enabled': false,
      'network.connectivity-service.enabled': false, 'app.update.enabled': false, 'services.settings.server': '',
    },
  },
};

/** The answering side: one negotiation. */
class Server {
  #child = spawn(example, { stdio: ['pipe', 'pipe', 'inherit'] });
  #bytes = Buffer.alloc(0);
  #wake = () => {};

  constructor() {
    this.#child.stdout.on('data', (more) => {
      this.#bytes = Buffer.concat([this.#bytes, more]);
      this.#wake();
    });
  }

  async answer(sdp, tracks) {
    const bytes = Buffer.from(sdp);
    this.#child.stdin.write(`${bytes.length} ${tracks.join(' ')}\n`);
    this.#child.stdin.write(bytes);
    const [word, length] = (await this.#take((all) => all.indexOf('\n') + 1)).toString().trim().split(' ');
    const text = (await this.#take((all) => (all.length >= Number(length) ? Number(length) : 0))).toString();
    if (word !== 'answer') throw new Error(`refused: ${text}`);
    return text;
  }

  async #take(upTo) {
    while (!upTo(this.#bytes)) await new Promise((resolve) => (this.#wake = resolve));
    const end = upTo(this.#bytes);
    const taken = this.#bytes.subarray(0, end);
    this.#bytes = this.#bytes.subarray(end);
    return taken;
  }

  end() {
    this.#child.kill();
  }
}

/** What runs in the page before each scenario. */
const PAGE = `
  window.make = (config = { bundlePolicy: 'max-bundle' }) => { window.pc?.close(); window.pc = new RTCPeerConnection(config); };
  window.media = () => navigator.mediaDevices.getUserMedia({ audio: true, video: { width: 1280, height: 720 } });
  window.layers = () => [
    { rid: 'q', scaleResolutionDownBy: 4, maxBitrate: 150000 },
    { rid: 'h', scaleResolutionDownBy: 2, maxBitrate: 500000 },
    { rid: 'f', maxBitrate: 1700000 }];
  window.publish = async () => {
    const stream = await media();
    window.mic = pc.addTransceiver(stream.getAudioTracks()[0], { direction: 'sendonly', streams: [stream] });
    window.cam = pc.addTransceiver(stream.getVideoTracks()[0], { direction: 'sendonly', streams: [stream], sendEncodings: layers() });
  };
  window.pool = (audio, video) => {
    for (let i = 0; i < audio; i++) pc.addTransceiver('audio', { direction: 'recvonly' });
    for (let i = 0; i < video; i++) pc.addTransceiver('video', { direction: 'recvonly' });
  };
  window.picture = () => {
    const canvas = document.createElement('canvas');
    canvas.getContext('2d').fillRect(0, 0, 10, 10);
    return canvas.captureStream(5).getVideoTracks()[0];
  };
  window.offer = async (options) => {
    await pc.setLocalDescription(await pc.createOffer(options));
    if (pc.iceGatheringState !== 'complete') {
      await new Promise((resolve) => { pc.onicegatheringstatechange = () => pc.iceGatheringState === 'complete' && resolve(); setTimeout(resolve, 2000); });
    }
    return pc.localDescription.sdp;
  };
  window.take = async (sdp) => {
    await pc.setRemoteDescription({ type: 'answer', sdp });
    return {
      transceivers: pc.getTransceivers().map((t) => [t.mid, t.currentDirection, t.sender.getParameters().encodings.map((e) => (e.rid ?? '') + (e.active ? '' : '~')).join(';'),
        t.sender.getParameters().codecs[0]?.mimeType ?? ''].join(' ')),
      ice: [pc.iceConnectionState, pc.signalingState, pc.currentRemoteDescription.sdp.match(/a=ice-ufrag:(.*)/)?.[1]].join(' '),
    };
  };`;

/** Scenarios: each a new connection and session; each step a script, a name, and what is published then. */
const MIC_CAM = ['0=microphone', '1=camera'];
const SCENARIOS = {
  call: [
    ['publish', 'await publish()', MIC_CAM],
    ['screen', "window.screenT = pc.addTransceiver(picture(), { direction: 'sendonly', sendEncodings: [{}] })", [...MIC_CAM, '2=screen']],
    ['removed', 'pc.removeTrack(screenT.sender)', MIC_CAM],
    ['back', "await screenT.sender.replaceTrack(picture()); screenT.direction = 'sendonly'", [...MIC_CAM, '2=screen']],
    ['stopped', 'screenT.stop()', MIC_CAM],
    ['recycled', "window.screenT = pc.addTransceiver(picture(), { direction: 'sendonly' })", [...MIC_CAM, '3=screen']],
    ['pool', 'pool(3, 6)', [...MIC_CAM, '3=screen']],
    ['more', 'pool(0, 3)', [...MIC_CAM, '3=screen']],
    ['restart', 'pc.restartIce()', [...MIC_CAM, '3=screen']],
  ],
  pool: [['first', 'pool(3, 6)', []], ['publish', 'await publish()', ['9=microphone', '10=camera']]],
  vp8: [['first', `pool(0, 2); for (const t of pc.getTransceivers()) t.setCodecPreferences?.(RTCRtpReceiver.getCapabilities('video').codecs.filter((c) => /vp8|rtx/i.test(c.mimeType)))`, []]],
  // A camera that is switched off and on again keeps its layers.
  camera: [
    ['publish', 'await publish()', MIC_CAM],
    ['off', "await cam.sender.replaceTrack(null); cam.direction = 'inactive'", ['0=microphone']],
    ['on', "await cam.sender.replaceTrack(picture()); cam.direction = 'sendonly'", MIC_CAM],
  ],
  // A page that knows nothing of this server: any bundle policy, sendrecv, a data channel.
  naive: [
    ['first', "make({}); const s = await media(); s.getTracks().forEach((t) => pc.addTrack(t, s)); pc.createDataChannel('x')", MIC_CAM],
    ['again', 'pool(1, 1)', MIC_CAM],
  ],
  data: [
    ['first', "pc.createDataChannel('x'); pool(1, 0)", []],
    ['again', 'pool(0, 1)', []],
  ],
  paused: [
    ['first', "const s = await media(); window.cam = pc.addTransceiver(s.getVideoTracks()[0], { direction: 'sendonly', sendEncodings: layers().map((l, i) => ({ ...l, active: i !== 2 })) })", ['0=camera']],
    ['unpaused', 'const p = cam.sender.getParameters(); p.encodings.forEach((e) => (e.active = true)); await cam.sender.setParameters(p)', ['0=camera']],
  ],
  // A sender that is not named is answered inactive, and may send when it is.
  refused: [
    ['first', 'await publish()', ['0=microphone']],
    ['named', '', MIC_CAM],
  ],
};

const page = http.createServer((_, reply) => reply.setHeader('content-type', 'text/html').end('<!doctype html>'));
await new Promise((resolve) => page.listen(0, '127.0.0.1', resolve));
let failures = 0;
for (const [name, options] of Object.entries(BROWSERS).filter(([name]) => !only || name === only)) {
  const browser = await puppeteer.launch({ headless: true, ...options });
  console.log(`== ${name} ${await browser.version()}`);
  const tab = await browser.newPage();
  tab.on('pageerror', (error) => console.log('  page:', error.message));
  await tab.goto(`http://127.0.0.1:${page.address().port}/`);
  await tab.evaluate(PAGE);
  for (const [scenario, steps] of Object.entries(SCENARIOS)) {
    const server = new Server();
    await tab.evaluate('make()');
    for (const [at, [step, script, named]] of steps.entries()) {
      const label = `${name}_${scenario}_${at + 1}_${step}`;
      try {
        const sdp = await tab.evaluate(`(async () => { ${script}; return offer(); })()`);
        writeFileSync(`${here}/${label}.sdp`, sdp);
        const answer = await server.answer(sdp, named);
        writeFileSync(`${here}/${label}.answer.sdp`, answer);
        const state = await tab.evaluate(`take(${JSON.stringify(answer)})`);
        console.log(`  ok ${label}: offer ${sdp.length} B, answer ${answer.length} B, ${state.ice} [${state.transceivers.join(', ')}]`);
      } catch (error) {
        failures += 1;
        console.log(`  FAILED ${label}: ${error.message}`);
        break;
      }
    }
    server.end();
  }
  await browser.close();
}
page.close();
process.exit(failures ? 1 : 0);
