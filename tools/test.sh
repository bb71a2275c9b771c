#!/bin/bash
# SPDX-License-Identifier: MIT OR Apache-2.0
#
# Every test, from a clean clone on a fresh Debian 12, installing what it needs.
set -euo pipefail
cd "$(dirname "$(readlink -f "$0")")/.."
PATH=$PATH:$HOME/.cargo/bin
# Backtraces of the threads that test panics are noise in a log.
export RUST_BACKTRACE=0

step() { printf '\n==== %s (%d s)\n' "$*" "$SECONDS"; }

step "setting up"
tools/setup.sh test
step "building the library, the tool and the Kamailio module"
cargo build --release --lib --bins
tools/kamailio-build.sh
step "random numbers from the kernel only"
# A build that does not read .cargo/config.toml works, but the first request of each worker waits for entropy.
symbols=$(nm target/release/libsipoauth.a 2> /dev/null || true)
case $symbols in
  *jent_*) echo "test.sh: the library was built without .cargo/config.toml" >&2; exit 1 ;;
  *RAND_bytes*) ;;
  *) echo "test.sh: nm shows no random numbers in target/release/libsipoauth.a" >&2; exit 1 ;;
esac
step "instructions of a cached check"
tools/instructions.sh
step "building the module whose core can be made to panic"
cargo build --package sipoauth --lib --features fault-injection
SIPOAUTH_STATICLIB=target/debug/libsipoauth.a KAMAILIO_OUT=$PWD/target/kamailio-fault tools/kamailio-build.sh
step "lints"
tools/lint.sh
step "library and tool tests, vectors, peers, C ABI"
# Those below need more than this, or are shown apart.
targets=()
for file in tests/*.rs tests/*/main.rs; do
  name=${file#tests/}
  name=${name%/main.rs}
  name=${name%.rs}
  case $name in
    e2e | opensips | phones | servers | wycheproof) ;;
    *) targets+=(--test "$name") ;;
  esac
done
# Most of a test is waiting for proxies and servers.
cargo test --lib --bins "${targets[@]}" -- --test-threads=8
cargo test --test wycheproof -- --nocapture
step "sign-in page: browsers with and without scripts, and attackers"
cargo test --package sipoauth-signin --test page -- --test-threads=6
step "end to end: real phones, real Kamailio, real authorization server"
cargo test --test e2e -- --test-threads=6
step "the same on OpenSIPS, if OPENSIPS_SRC is set"
tools/test-opensips.sh
step "done"
