/** Cameras, microphones, screens: choosing them, opening them, and what can go wrong. */
import { signal } from '@preact/signals';
import type { Key } from './i18n.js';
import { keep, kept } from './state.js';

export type DeviceKind = 'camera' | 'microphone';

/** Why a device is not there, as a text that says what to do. */
export class DeviceProblem extends Error {
  readonly key: Key;

  constructor(key: Key) {
    super(key);
    this.name = 'DeviceProblem';
    this.key = key;
  }
}

// --- what was chosen, kept for the next call ---

export interface DeviceChoice {
  /** Ids of devices; empty: the system's choice. */
  camera: string;
  microphone: string;
  speaker: string;
  cameraOn: boolean;
  microphoneOn: boolean;
}

const KEY = 'kaiwa.devices';
const FIRST: DeviceChoice = { camera: '', microphone: '', speaker: '', cameraOn: true, microphoneOn: true };

function read(): DeviceChoice {
  try {
    return { ...FIRST, ...(JSON.parse(kept(KEY) ?? '{}') as Partial<DeviceChoice>) };
  } catch {
    return FIRST;
  }
}

export const chosen = signal<DeviceChoice>(read());

export function choose(change: Partial<DeviceChoice>): void {
  chosen.value = { ...chosen.value, ...change };
  keep(KEY, JSON.stringify(chosen.value));
}

// --- what there is ---

export interface Devices {
  cameras: MediaDeviceInfo[];
  microphones: MediaDeviceInfo[];
  /** Empty where the browser doesn't let a page choose. */
  speakers: MediaDeviceInfo[];
}

export const devices = signal<Devices>({ cameras: [], microphones: [], speakers: [] });

const canChooseSpeaker = (): boolean => typeof HTMLMediaElement !== 'undefined' && 'setSinkId' in HTMLMediaElement.prototype;

/** Names come only once a device was opened. */
export async function listDevices(): Promise<void> {
  const all = (await navigator.mediaDevices?.enumerateDevices().catch(() => [])) ?? [];
  const of = (kind: MediaDeviceKind) => all.filter((d) => d.kind === kind && d.deviceId !== '' && d.deviceId !== 'default');
  devices.value = {
    cameras: of('videoinput'),
    microphones: of('audioinput'),
    speakers: canChooseSpeaker() ? of('audiooutput') : [],
  };
}

export function watchDevices(): () => void {
  void listDevices();
  const listener = () => void listDevices();
  navigator.mediaDevices?.addEventListener('devicechange', listener);
  return () => navigator.mediaDevices?.removeEventListener('devicechange', listener);
}

// --- opening them ---

const PICTURE: MediaTrackConstraints = { width: { ideal: 1280 }, height: { ideal: 720 }, frameRate: { ideal: 30, max: 30 } };
const SOUND: MediaTrackConstraints = { echoCancellation: true, noiseSuppression: true, autoGainControl: true };

/** Throws a `DeviceProblem`. */
export async function openDevice(kind: DeviceKind): Promise<MediaStreamTrack> {
  const base = kind === 'camera' ? PICTURE : SOUND;
  const id = chosen.value[kind];
  try {
    return await open(kind, id ? { ...base, deviceId: { exact: id } } : base);
  } catch (error) {
    // The chosen one isn't there today: any other is better than none.
    if (!id || !isMissing(error)) throw problemOf(kind, error);
  }
  try {
    return await open(kind, base);
  } catch (error) {
    throw problemOf(kind, error);
  }
}

async function open(kind: DeviceKind, constraints: MediaTrackConstraints): Promise<MediaStreamTrack> {
  const media = navigator.mediaDevices;
  if (!media) throw new DeviceProblem('devInsecure');
  const stream = await media.getUserMedia(kind === 'camera' ? { video: constraints } : { audio: constraints });
  return stream.getTracks()[0]!;
}

const nameOf = (error: unknown): string => (error instanceof Error ? error.name : '');
const isMissing = (error: unknown): boolean => ['NotFoundError', 'OverconstrainedError'].includes(nameOf(error));

function problemOf(kind: DeviceKind, error: unknown): DeviceProblem {
  if (error instanceof DeviceProblem) return error;
  const which = kind === 'camera' ? 'Cam' : 'Mic';
  if (isMissing(error)) return new DeviceProblem(`devNone${which}`);
  if (nameOf(error) === 'NotAllowedError' || nameOf(error) === 'SecurityError') return new DeviceProblem(`devDenied${which}`);
  return new DeviceProblem(`devBusy${which}`);
}

export const canShareScreen = (): boolean => typeof navigator.mediaDevices?.getDisplayMedia === 'function';

/** Null: the person changed their mind. Throws a `DeviceProblem`. */
export async function openScreen(): Promise<{ picture: MediaStreamTrack; sound: MediaStreamTrack | null } | null> {
  try {
    const stream = await navigator.mediaDevices.getDisplayMedia({ video: { frameRate: { ideal: 15, max: 30 } }, audio: true });
    const picture = stream.getVideoTracks()[0]!;
    picture.contentHint = 'detail';
    return { picture, sound: stream.getAudioTracks()[0] ?? null };
  } catch (error) {
    if (nameOf(error) === 'NotAllowedError') return null;
    throw new DeviceProblem('devScreen');
  }
}

// --- how loud it is here ---

/** Gives a level from 0 to 1 many times a second, until it is ended. */
export function meter(track: MediaStreamTrack, show: (level: number) => void): () => void {
  const context = new AudioContext();
  const analyser = context.createAnalyser();
  analyser.fftSize = 1_024;
  context.createMediaStreamSource(new MediaStream([track])).connect(analyser);
  void context.resume().catch(() => {});
  const samples = new Float32Array(analyser.fftSize);
  let frame = 0;
  let level = 0;
  const step = () => {
    analyser.getFloatTimeDomainData(samples);
    const power = samples.reduce((sum, x) => sum + x * x, 0) / samples.length;
    const decibel = 10 * Math.log10(power + 1e-10);
    // Speech lies between −50 and −10 dB. Falling slowly keeps it readable.
    level = Math.max(Math.min(1, Math.max(0, (decibel + 55) / 45)), level * 0.9);
    show(level);
    frame = requestAnimationFrame(step);
  };
  step();
  return () => {
    cancelAnimationFrame(frame);
    void context.close().catch(() => {});
  };
}
