#!/usr/bin/env bash
# Every test. Each suite prints its time; the budget is in ARCHITECTURE.md.
set -euo pipefail
cd "$(dirname "$0")/.."

target=${CARGO_TARGET_DIR:-$PWD/target}
# The same cases each time: new ones are looked for by `make soak`, and those found are kept as tests.
export PROPTEST_RNG_SEED=${PROPTEST_RNG_SEED:-1}
times=()
begun=$SECONDS

suite() {
  local name=$1 start=$SECONDS
  shift
  printf '\n\033[1m=== %s\033[0m\n' "$name"
  "$@"
  times+=("$(printf '%5d s  %s' $((SECONDS - start)) "$name")")
}

suite "lints" scripts/check.sh
suite "build" cargo build --workspace --all-targets --locked --quiet
export KAIWA_BIN=$target/debug/kaiwa
suite "rust: rules, conformance, simulation, hostile clients" cargo test --workspace --locked --quiet
suite "the double of MediaConvert" env -C tools/fake-mediaconvert "${KAIWA_VENV:-$PWD/.venv}/bin/python" -m unittest -q
suite "web: client library" npm --prefix web test --silent
suite "WebSocket conformance (Autobahn)" tests/autobahn/run.sh
suite "two people in two browsers" npm --prefix web run --silent e2e
suite "clips in browsers" npm --prefix web run --silent e2e:clips
suite "calls in browsers" npm --prefix web run --silent e2e:calls
suite "notifications: service worker, Firefox against a push service" npm --prefix web run --silent e2e:fake
suite "notifications: from the server to Firefox" npm --prefix web run --silent e2e:push
suite "calls on bad networks" npm --prefix web run --silent e2e:network

printf '\n\033[1mtimes\033[0m\n'
printf '%s\n' "${times[@]}"
printf '%5d s  in all\n' $((SECONDS - begun))
