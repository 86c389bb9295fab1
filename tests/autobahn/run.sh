#!/bin/sh
# Runs the Autobahn suite against the transport's echo server, in a release build: run.sh [CASE ...]
set -eu
cd "$(dirname "$0")/../.."
cargo build --quiet --release --package kaiwa-signaling --example echo
target="${CARGO_TARGET_DIR:-target}"
said="$(mktemp)"
"$target/release/examples/echo" >"$said" &
echo=$!
trap 'kill "$echo"; rm -f "$said"' EXIT
until [ -s "$said" ]; do sleep 0.1; done
python3 tests/autobahn/run.py "$(cat "$said")" "$@"
