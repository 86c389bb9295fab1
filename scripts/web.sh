#!/usr/bin/env bash
# Builds the web app into web/dist, if its sources or the schema changed.
set -euo pipefail
cd "$(dirname "$0")/.."

sum() {
  git ls-files -co --exclude-standard -- web proto/kaiwa 2>/dev/null |
    grep -vE '^web/(e2e|test)/' | LC_ALL=C sort | xargs -d '\n' sha256sum | sha256sum | cut -d' ' -f1
}
lock=$(sha256sum web/package-lock.json | cut -d' ' -f1)
if [ "$(cat web/node_modules/.kaiwa-lock 2>/dev/null)" != "$lock" ]; then
  printf '\033[1m» installing the web app'\''s packages\033[0m\n' >&2
  (cd web && npm ci --no-audit --no-fund --loglevel=error)
  printf '%s' "$lock" >web/node_modules/.kaiwa-lock
fi
sources=$(sum)
if [ "$(cat web/node_modules/.kaiwa-built 2>/dev/null)" != "$sources" ] || [ ! -f web/dist/index.html ]; then
  printf '\033[1m» building the web app\033[0m\n' >&2
  (cd web && npm run --silent build)
  printf '%s' "$sources" >web/node_modules/.kaiwa-built
fi
