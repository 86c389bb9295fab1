/** UUIDv7 (RFC 9562, section 5.7), the `cid` of a write: 48 bits of ms, then randomness. */
export function uuid7(timeMs: number, random: Uint8Array): string {
  const b = new Uint8Array(16);
  b.set(random.subarray(0, 16));
  let ms = Math.max(0, Math.floor(timeMs));
  for (let i = 5; i >= 0; i--) {
    b[i] = ms % 256;
    ms = Math.floor(ms / 256);
  }
  b[6] = (b[6]! & 0x0f) | 0x70;
  b[8] = (b[8]! & 0x3f) | 0x80;
  const hex = Array.from(b, (x) => x.toString(16).padStart(2, '0')).join('');
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20)}`;
}

/** The time inside a UUIDv7, in ms since the Unix epoch. */
export function uuid7TimeMs(id: string): number {
  return Number.parseInt(id.slice(0, 8) + id.slice(9, 13), 16);
}
