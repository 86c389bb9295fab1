/** The ring: two soft notes, made here, as long as somebody calls. */

const NOTES_HZ = [659.3, 880];
const NOTE_S = 0.34;
const EVERY_MS = 2_600;
const LOUD = 0.12;

/** Gives what ends it. Silent where the browser doesn't allow a page to make sounds by itself. */
export function startRinging(): () => void {
  if (typeof AudioContext !== 'function') return () => {};
  const context = new AudioContext();
  const ring = () => {
    // Without a gesture before, the context stays suspended; notes are for then, not for later.
    if (context.state !== 'running') return void context.resume().catch(() => {});
    NOTES_HZ.forEach((frequency, i) => note(context, frequency, context.currentTime + i * NOTE_S * 0.7));
  };
  void context.resume().then(ring, () => {});
  const timer = setInterval(ring, EVERY_MS);
  return () => {
    clearInterval(timer);
    void context.close().catch(() => {});
  };
}

function note(context: AudioContext, frequency: number, at: number): void {
  const oscillator = context.createOscillator();
  const gain = context.createGain();
  oscillator.type = 'sine';
  oscillator.frequency.value = frequency;
  gain.gain.setValueAtTime(0, at);
  gain.gain.linearRampToValueAtTime(LOUD, at + 0.03);
  gain.gain.exponentialRampToValueAtTime(0.001, at + NOTE_S * 2);
  oscillator.connect(gain).connect(context.destination);
  oscillator.start(at);
  oscillator.stop(at + NOTE_S * 2);
}
