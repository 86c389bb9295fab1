#!/bin/sh
# Runs the Autobahn suite against the transport's echo server: run.sh [CASE ...]
set -eu
cd "$(dirname "$0")/../.."
cargo build --quiet --locked --package kaiwa-signaling --example echo
target="${CARGO_TARGET_DIR:-target}"
said="$(mktemp)"
"$target/debug/examples/echo" >"$said" &
echo=$!
trap 'kill "$echo"; rm -f "$said"' EXIT
until [ -s "$said" ]; do sleep 0.1; done
python3 tests/autobahn/run.py "$(cat "$said")" "$@"
