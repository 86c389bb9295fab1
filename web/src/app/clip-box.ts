/** How large a clip is shown in a message. */
const SIDE_MAX = 440;
const WIDTH_MIN = 260;

/** The size in which a clip is shown: as large as fits, and never a stripe. */
export function boxOf(clip: { width: number; height: number }, most = SIDE_MAX): { width: string; aspectRatio: string } {
  const [w, h] = clip.width > 0 && clip.height > 0 ? [clip.width, clip.height] : [16, 9];
  const scale = Math.min(most / w, most / h);
  const width = Math.max(WIDTH_MIN, Math.round(w * scale));
  const height = Math.max(150, Math.min(most, Math.round(h * scale)));
  return { width: `${width}px`, aspectRatio: `${width} / ${height}` };
}
