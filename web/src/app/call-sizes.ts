/**
 * Tells the server how large others' pictures are shown: the sizes of all tiles in sight, in the device's pixels, the
 * largest first. What is out of sight is paused, and everything is while the page is.
 */
import { callTick, client } from './state.js';

interface Shown {
  publication: string;
  visible: boolean;
  width: number;
  height: number;
}

/** Sizes go in steps, so that a resize by some pixels is no news. */
const STEP = 32;

const shown = new Map<Element, Shown>();
let scheduled = false;

const sizes = new ResizeObserver((entries) => {
  for (const { target, contentRect } of entries) {
    const entry = shown.get(target);
    if (entry) Object.assign(entry, { width: contentRect.width, height: contentRect.height });
  }
  schedule();
});

const sights = new IntersectionObserver((entries) => {
  for (const { target, isIntersecting } of entries) {
    const entry = shown.get(target);
    if (entry) entry.visible = isIntersecting;
  }
  schedule();
});

document.addEventListener('visibilitychange', schedule);
// Another publication may have taken another's place under the same name.
callTick.subscribe(schedule);

/** Gives what ends it. */
export function showsPublication(element: Element, publication: string): () => void {
  const { width, height } = element.getBoundingClientRect();
  shown.set(element, { publication, visible: true, width, height });
  sizes.observe(element);
  sights.observe(element);
  schedule();
  return () => {
    shown.delete(element);
    sizes.unobserve(element);
    sights.unobserve(element);
    schedule();
  };
}

function schedule(): void {
  if (scheduled) return;
  scheduled = true;
  queueMicrotask(() => {
    scheduled = false;
    say();
  });
}

function say(): void {
  const call = client.value?.call;
  if (!call || call.room === '') return;
  const scale = window.devicePixelRatio || 1;
  const hidden = document.visibilityState === 'hidden';
  const round = (length: number) => Math.min(4_096, Math.ceil((length * scale) / STEP) * STEP);
  const largest = new Map<string, { publication: string; width: number; height: number; paused: boolean }>();
  for (const { publication, visible, width, height } of shown.values()) {
    const wish = { publication, width: round(width), height: round(height), paused: hidden || !visible || width === 0 };
    const known = largest.get(publication);
    if (!known || (known.paused && !wish.paused) || (known.paused === wish.paused && area(wish) > area(known))) largest.set(publication, wish);
  }
  call.prefer([...largest.values()].sort((a, b) => Number(a.paused) - Number(b.paused) || area(b) - area(a)));
}

const area = ({ width, height }: { width: number; height: number }): number => width * height;
