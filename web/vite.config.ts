import { defineConfig } from 'vitest/config';

// The server sends `default-src 'none'`: nothing may be inlined into the page, so assets stay files
// and the module preload polyfill, which Vite would put inline, is left out.
export default defineConfig({
  base: '/',
  build: {
    target: 'es2022',
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    // The largest is hls.js, which is loaded with the first clip that is played.
    chunkSizeWarningLimit: 600,
  },
  server: {
    proxy: {
      '/api': 'http://127.0.0.1:8080',
      '/ws': { target: 'ws://127.0.0.1:8080', ws: true },
    },
  },
  // Nothing waits for a clock: the time is for machines that are busy.
  test: { include: ['test/**/*.test.ts'], testTimeout: 60_000 },
});
