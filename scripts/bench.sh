#!/usr/bin/env bash
# Measures, and writes the figures into docs/benchmarks.md between its markers. Everything runs on this
# machine over loopback; each figure stands beside a bare loop or SQLite alone in the same run.
set -euo pipefail
cd "$(dirname "$0")/.."

target=${CARGO_TARGET_DIR:-$PWD/target}
results=$target/bench-results
cargo build --release --locked -p kaiwa
cargo build --release --locked -p kaiwa-loadtest --features ordinary
cargo build --release --locked -p kaiwa-chat --example sqlite_floor
cargo build --release --locked -p kaiwa-sfu --example floor
cargo build --release --locked -p kaiwa-platform --example queue_floor
cargo build --release --locked -p kaiwa-notifier --example router_rate --example web_push
cargo build --release --locked -p kaiwa-media-pipeline --example transcode_floor
mkdir -p "$target/bench-data" "$results"
"$target/release/loadtest" chat all --server "$target/release/kaiwa" \
  --floor "$target/release/examples/sqlite_floor" --data "$target/bench-data" --out "$results"
"$target/release/loadtest" call all --server "$target/release/kaiwa" \
  --floor "$target/release/examples/floor" --janus-root "${JANUS_ROOT:-/}" \
  --data "$target/bench-data" --out "$results"
"$target/release/loadtest" report --results "$results" --into docs/benchmarks.md --plots docs/benchmarks
# Browsers need cores of their own: after the rest, not beside it.
export KAIWA_BIN=$target/release/kaiwa
npm --prefix web run --silent bench:join -- --into "$PWD/docs/benchmarks.md"
npm --prefix web run --silent bench:network -- --into "$PWD/docs/benchmarks.md"
"$target/release/loadtest" notify all --server "$target/release/kaiwa" \
  --examples "$target/release/examples" --data "$target/bench-data" --out "$results"
"$target/release/loadtest" clips all --server "$target/release/kaiwa" \
  --examples "$target/release/examples" --data "$target/bench-data" --out "$results"
"$target/release/loadtest" report --results "$results" --into docs/benchmarks.md --plots docs/benchmarks
