import { defineConfig } from 'vite';

/** The service worker: one classic script beside the app, named without a hash, since its address is its identity. */
export default defineConfig({
  publicDir: false,
  build: {
    target: 'es2022',
    emptyOutDir: false,
    rollupOptions: { input: 'src/sw/sw.ts', output: { format: 'iife', entryFileNames: 'sw.js' } },
  },
});
