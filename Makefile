# Everything one does with Kaiwa. `make run` and `make test` need Rust, Node and apt; they install the
# rest themselves, say what they do, and are quick the second time.

SHELL := bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

export CARGO_TERM_PROGRESS_WHEN := never
TARGET := $(if $(CARGO_TARGET_DIR),$(CARGO_TARGET_DIR),target)
export KAIWA_VENV ?= $(CURDIR)/.venv

# What `make run` passes on: make run ARGS="--listen 127.0.0.1:9000"
ARGS ?=

.PHONY: help run test check bench soak web setup-run setup-test clean

help: ## Shows this list.
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-8s %s\n", $$1, $$2}'

run: setup-run web ## Sets up, builds and starts everything in one process; prints the address to open.
	cargo build --release --locked -p kaiwa
	exec $(TARGET)/release/kaiwa serve $(ARGS)

test: setup-test web ## Sets up and runs every test.
	scripts/test.sh

check: ## Formatting, lints and licences, without tests.
	scripts/check.sh

bench: setup-test web ## Measures, and writes the figures into docs/benchmarks.md.
	scripts/bench.sh

soak: setup-test web ## The tests' own code with more seeds, for longer (SOAK_SEEDS, SOAK_CALLS, SOAK_CASES, SOAK_KILLS).
	scripts/soak.sh

web: ## Builds the web app, which the binary takes in.
	scripts/web.sh

setup-run:
	scripts/setup.sh run

setup-test:
	scripts/setup.sh test

clean: ## Removes what was built; the data folder stays.
	cargo clean
	rm -rf web/dist web/node_modules .venv
