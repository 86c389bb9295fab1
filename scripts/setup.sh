#!/usr/bin/env bash
# Installs what is missing: setup.sh run | test. Does nothing, quickly, where all is there.
set -euo pipefail
cd "$(dirname "$0")/.."

say() { printf '\033[1m» %s\033[0m\n' "$*" >&2; }
die() { printf 'setup: %s\n' "$*" >&2; exit 1; }

command -v cargo >/dev/null || die "Rust is needed (1.95 or later): https://rustup.rs"
command -v npm >/dev/null || die "Node.js is needed (20 or later) with npm"

# apt PACKAGE COMMAND …: installs the packages whose commands are missing.
missing=()
need() { command -v "$2" >/dev/null || missing+=("$1"); }

need build-essential cc
# Looks at clips and transcodes them.
need ffmpeg ffmpeg
if [ "$1" = test ]; then
  need chromium chromium
  # The second kind of browser in calls.
  need firefox-esr firefox-esr
  need iproute2 ip
  need nftables nft
  need python3-venv python3
  python3 -c 'import venv, ensurepip' 2>/dev/null || missing+=(python3-venv)
  # The Japanese screens are looked at with Japanese letters.
  [ -n "$(find /usr/share/fonts -iname '*noto*cjk*' -print -quit 2>/dev/null)" ] || missing+=(fonts-noto-cjk)
fi
if [ ${#missing[@]} -gt 0 ]; then
  command -v apt-get >/dev/null || die "please install: ${missing[*]}"
  root=()
  [ "$(id -u)" = 0 ] || root=(sudo)
  say "installing ${missing[*]}"
  "${root[@]}" apt-get update -qq
  DEBIAN_FRONTEND=noninteractive "${root[@]}" apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
fi

if [ "$1" = test ]; then
  venv=${KAIWA_VENV:-$PWD/.venv}
  stamp=$venv/.installed
  if ! cmp -s tests/requirements.txt "$stamp" 2>/dev/null; then
    say "installing Python's test tools into ${venv##*/}"
    python3 -m venv --clear "$venv"
    "$venv/bin/pip" install --quiet --disable-pip-version-check -r tests/requirements.txt
    cp tests/requirements.txt "$stamp"
  fi
fi
