#!/bin/bash
# SPDX-License-Identifier: MIT OR Apache-2.0
#
# 'make demo' and 'make test' from nothing: a clean clone of the last commit in a fresh Debian, which has no more than git,
# make and the Rust toolchain of this machine. Run it as root. It takes half an hour for each.
#
#   tools/test-debian.sh [SUITE ...]     default: bookworm trixie
set -euo pipefail
cd "$(dirname "$(readlink -f "$0")")/.."
. tools/debian.sh

say() { printf 'debian: %s\n' "$*"; }
fail() { printf 'debian: %s\n' "$*" >&2; exit 1; }

try() {     # suite
  # The authorities that this machine trusts are trusted there, too. A phone looks up the name of its machine.
  local suite=$1 root=$PWD/target/debians/$1 shared=(/etc/resolv.conf /etc/hosts /sys /usr/local/share/ca-certificates) folder goal start
  rm -rf "$root"
  bring_debian "$suite" "$root" minbase ca-certificates,git,make || fail "Debian $suite could not be brought (see $root.log)"
  git -c safe.directory="$PWD/.git" clone --quiet --no-hardlinks . "$root/root/sipoauth"
  for folder in "$HOME/.cargo" "$HOME/.rustup"; do
    [ ! -d "$folder" ] || shared+=("$folder")
  done
  (enter_debian "$root" "${shared[@]}" -- update-ca-certificates) >> "$root.log" 2>&1 ||
    fail "the authorities that this machine trusts cannot be trusted there (see $root.log)"
  for goal in demo test; do
    start=$SECONDS
    (enter_debian "$root" "${shared[@]}" -- env CARGO_INSTALL_ROOT=/root/tools \
      bash -c "export PATH=\$PATH:/root/tools/bin && cd /root/sipoauth && exec make $goal") > "$root.$goal.log" 2>&1 ||
      { tail -n 40 "$root.$goal.log" >&2; fail "$suite: make $goal fails (see $root.$goal.log)"; }
    say "$suite: make $goal is well ($((SECONDS - start)) s)"
  done
}

[ "$(id -u)" = 0 ] || fail "run this as root"
[ $# -gt 0 ] || set -- bookworm trixie
for suite in "$@"; do try "$suite"; done
