#!/usr/bin/env bash
# Formatting, lints, licences.
set -euo pipefail
cd "$(dirname "$0")/.."

cargo fmt --all --check
cargo clippy --workspace --all-targets --locked --quiet -- -D warnings
if cargo deny --version >/dev/null 2>&1; then
  cargo deny --offline --log-level error check bans licenses sources
else
  echo "check: cargo-deny is not installed (cargo install --locked cargo-deny); licences not checked" >&2
fi
