// For looking at calls without an SFU: an RTCPeerConnection that connects to nothing and receives pictures drawn in the page.
(() => {
  const HUES = [212, 16, 152, 286, 44, 190, 338, 96, 250, 70];
  window.fakeScreenMids = new Set();
  window.fakePeers = [];

  function drawPerson(c, n, at) {
    const { width: w, height: h } = c.canvas;
    const hue = HUES[n % HUES.length];
    const ground = c.createLinearGradient(0, 0, w, h);
    ground.addColorStop(0, `hsl(${hue} 28% ${30 + (n % 3) * 9}%)`);
    ground.addColorStop(1, `hsl(${hue + 30} 30% 20%)`);
    c.fillStyle = ground;
    c.fillRect(0, 0, w, h);
    c.fillStyle = `hsl(${hue + 40} 24% 46%)`;
    c.fillRect(w * 0.08, h * 0.12, w * 0.2, h * 0.34);
    const x = w * (0.5 + 0.02 * Math.sin(at + n));
    const y = h * (0.44 + 0.015 * Math.sin(at * 1.7 + n));
    c.fillStyle = `hsl(${hue + 180} 34% 42%)`;
    c.beginPath();
    c.ellipse(x, h * 1.06, w * 0.24, h * 0.42, 0, 0, 7);
    c.fill();
    c.fillStyle = `hsl(${22 + (n % 4) * 4} 42% ${46 + (n % 5) * 7}%)`;
    c.beginPath();
    c.ellipse(x, y, h * 0.17, h * 0.215, 0, 0, 7);
    c.fill();
    c.fillStyle = `hsl(${20 + (n % 6) * 12} 26% ${12 + (n % 4) * 8}%)`;
    c.beginPath();
    c.ellipse(x, y - h * 0.1, h * 0.18, h * 0.15, 0, Math.PI, 0);
    c.fill();
  }

  function drawScreen(c, at) {
    const { width: w, height: h } = c.canvas;
    c.fillStyle = '#fbfaf7';
    c.fillRect(0, 0, w, h);
    c.fillStyle = '#27477d';
    c.fillRect(0, 0, w, h * 0.07);
    c.fillStyle = '#1f2530';
    c.font = `600 ${h * 0.055}px sans-serif`;
    c.fillText('Garden plan, autumn', w * 0.06, h * 0.18);
    c.fillStyle = '#9aa3b1';
    for (let i = 0; i < 11; i++) c.fillRect(w * 0.06, h * (0.25 + i * 0.055), w * (0.36 - ((i * 7) % 5) * 0.03), h * 0.016);
    for (let i = 0; i < 6; i++) {
      c.fillStyle = ['#27477d', '#d9573b', '#2c6e4e'][i % 3];
      const height = h * (0.2 + 0.08 * ((i * 5) % 4) + 0.01 * Math.sin(at + i));
      c.fillRect(w * (0.54 + i * 0.065), h * 0.85 - height, w * 0.045, height);
    }
  }

  let serial = 0;
  function pictures(mid) {
    const n = serial++;
    const canvas = document.createElement('canvas');
    const c = canvas.getContext('2d');
    const draw = () => {
      const screen = window.fakeScreenMids.has(mid());
      const width = screen ? 1280 : 480;
      if (canvas.width !== width) Object.assign(canvas, { width, height: screen ? 720 : 270 });
      if (screen) drawScreen(c, performance.now() / 1000);
      else drawPerson(c, n, performance.now() / 1000);
    };
    draw();
    setInterval(draw, 100);
    return canvas.captureStream(10).getVideoTracks()[0];
  }

  function silence() {
    const context = new AudioContext();
    return context.createMediaStreamDestination().stream.getAudioTracks()[0];
  }

  class Transceiver {
    mid = null;
    stopped = false;
    constructor(kind, track, direction) {
      this.direction = direction;
      this.kind = kind;
      this.sender = {
        track,
        replaceTrack: async (next) => void (this.sender.track = next),
        getParameters: () => ({ encodings: [] }),
        setParameters: async () => {},
      };
      this.receiver = { track: direction === 'recvonly' ? (kind === 'video' ? pictures(() => this.mid) : silence()) : null };
    }
    setCodecPreferences() {}
  }

  window.RTCPeerConnection = class FakePeerConnection extends EventTarget {
    connectionState = 'new';
    iceConnectionState = 'new';
    localDescription = null;
    onconnectionstatechange = null;
    oniceconnectionstatechange = null;
    #all = [];

    constructor() {
      super();
      window.fakePeers.push(this);
    }

    getTransceivers() {
      return this.#all;
    }

    addTransceiver(what, { direction }) {
      const track = typeof what === 'string' ? null : what;
      const transceiver = new Transceiver(track?.kind ?? what, track, direction);
      this.#all.push(transceiver);
      return transceiver;
    }

    async createOffer() {
      const lines = this.#all.flatMap((t, i) => [`m=${t.kind} 9 UDP/TLS/RTP/SAVPF 96`, `a=mid:${t.mid ?? i}`, `a=${t.direction}`]);
      return { type: 'offer', sdp: ['v=0', ...lines, ''].join('\n') };
    }

    async setLocalDescription(description) {
      this.#all.forEach((t, i) => (t.mid ??= String(i)));
      this.localDescription = description;
    }

    async setRemoteDescription() {
      if (this.connectionState === 'new') this.become('connected');
    }

    become(state) {
      if (window.fakeStuck) return;
      this.connectionState = state;
      this.iceConnectionState = state === 'connecting' ? 'checking' : state;
      this.onconnectionstatechange?.();
    }

    async getStats() {
      return new Map();
    }

    all() {
      return this.#all;
    }

    close() {}
  };
})();
