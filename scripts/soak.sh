#!/usr/bin/env bash
# The tests' own code with more seeds, for longer.
set -euo pipefail
cd "$(dirname "$0")/.."

export KAIWA_SEEDS=${SOAK_SEEDS:-20000}
export KAIWA_KILLS=${SOAK_KILLS:-500}
export KAIWA_PUSH_KILLS=${SOAK_PUSH_KILLS:-20}
target=${CARGO_TARGET_DIR:-$PWD/target}
cargo build --release --locked -p kaiwa
export KAIWA_BIN=$target/release/kaiwa
# Other cases each time; a failure says its own.
export PROPTEST_CASES=${SOAK_CASES:-20000}
cargo test --release --locked -p kaiwa-chat -p kaiwa-platform -p kaiwa-signaling
# A simulated call takes a hundred times as long as a simulated session.
KAIWA_SEEDS=${SOAK_CALLS:-2000} cargo test --release --locked -p kaiwa-sfu
cargo test --release --locked -p kaiwa-loadtest --test chaos -- --nocapture
cargo test --release --locked -p kaiwa --test notify_chaos kills -- --nocapture
