#!/bin/bash
# SPDX-License-Identifier: MIT OR Apache-2.0
#
# The end-to-end tests on OpenSIPS in place of Kamailio.
#
#   OPENSIPS_SRC=… tools/test-opensips.sh [arguments of the tests]
#
# OPENSIPS_SRC is the source tree of a built OpenSIPS 3.4, 3.6 or 4.0, with these modules: signaling sl tm rr maxfwd sipmsgops
# usrloc registrar auth auth_db db_text nathelper proto_ws dialog acc rtpengine cfgutils cachedb_local mi_datagram mi_fifo
# event_datagram; for 3.4 event_route, too. OPENSIPS_BIN names the program where it is not in that tree. Tests for what OpenSIPS does not have are in
# tests/e2e/opensips/skipped; they are said aloud and counted.
set -uo pipefail
cd "$(dirname "$(readlink -f "$0")")/.."
PATH=$PATH:$HOME/.cargo/bin

SKIPPED=tests/e2e/opensips/skipped
skip=()
while read -r test _; do
  case $test in
    '' | '#'*) ;;
    *) skip+=(--skip "$test") ;;
  esac
done < "$SKIPPED"

if [ -z "${OPENSIPS_SRC:-}" ]; then
  count=$( (cargo test --test e2e -- --list "${skip[@]}" && cargo test --test opensips -- --list) 2> /dev/null | grep -c ': test$')
  echo "test-opensips: OPENSIPS_SRC is not set: $count tests on OpenSIPS were not run"
  exit 0
fi

SERIES=$(tools/opensips-build.sh --series) || exit
tools/setup.sh test || exit
cargo build --release --lib || exit
tools/opensips-build.sh || exit
cargo build --package sipoauth --lib --features fault-injection || exit
SIPOAUTH_STATICLIB=${CARGO_TARGET_DIR:-target}/debug/libsipoauth.a OPENSIPS_OUT=${CARGO_TARGET_DIR:-$PWD/target}/opensips/$SERIES-fault \
  tools/opensips-build.sh || exit

export OPENSIPS_SRC OPENSIPS_SERIES=$SERIES
cargo test --test e2e --no-run || exit
cargo test --test e2e -- --test-threads=6 "${skip[@]}" "$@"
status=$?
cargo test --test opensips -- --test-threads=4 || status=1
printf '\nOpenSIPS %s: %d tests, or groups of tests, were not run:\n' "$SERIES" "$((${#skip[@]} / 2))"
grep -v '^#' "$SKIPPED" | grep .
exit "$status"
