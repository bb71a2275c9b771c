#!/bin/bash
# SPDX-License-Identifier: MIT OR Apache-2.0
#
# The benches: builds everything, measures, and prints the ratios with their goals. Loads this machine for some minutes,
# on loopback only; nothing else should run meanwhile.
#
#   tools/bench.sh             all rounds
#   tools/bench.sh --quick     few rounds, some minutes
#   tools/bench.sh --before TREE     with the build in another tree beside this one, in the same run; also after --quick
#   tools/bench.sh --keep      measures nothing; writes the last results to benches/RESULTS.md and benches/plots
#
# Kamailio's own jwt module is measured, too, where libjwt 1.12 or newer is found by pkg-config (Debian 12 has an older
# one; PKG_CONFIG_PATH names another place).
#
# auth_db is measured with PostgreSQL, too, where the packages postgresql and kamailio-postgres-modules are installed. The
# bench starts a server of its own, which listens at a socket in a temporary folder.
#
# OPENSIPS_SRC names the tree of a built OpenSIPS 3.4, 3.6 or 4.0, with the modules signaling sl tm sipmsgops usrloc registrar
# mi_datagram, and auth_jwt and rest_client, with which ours is compared. Without it nothing is compared on OpenSIPS.
set -euo pipefail
cd "$(dirname "$(readlink -f "$0")")/.."
PATH=$PATH:$HOME/.cargo/bin
BUILD=(--manifest-path benches/Cargo.toml --target-dir target/bench-build)

fail() { echo "bench: $*" >&2; exit 1; }

program() {
  local name=$1
  shift
  "target/bench-build/release/$name" "$@"
}

# Kamailio's jwt module out of its source package, for this Kamailio.
build_jwt() {
  local modules options source
  modules=$(tools/kamailio-build.sh --modules)
  [ ! -f "$modules/jwt.so" ] || return 0
  if ! pkg-config --exists 'libjwt >= 1.12' 'libjwt < 2' 2> /dev/null; then
    echo "bench: Kamailio's jwt module is left out: no libjwt 1.12 to 1.x" >&2
    return 0
  fi
  mapfile -t options < <(tools/kamailio-build.sh --options | grep -v 'MOD_NAME')
  source=${options[-1]#-I}/modules/jwt
  # shellcheck disable=SC2046
  cc -shared -fPIC -O2 -fno-strict-aliasing -w "${options[@]}" '-DMOD_NAME="jwt"' -DMOD_NAMEID=jwt \
    $(pkg-config --cflags libjwt) "$source"/*.c -o target/kamailio/jwt.so $(pkg-config --static --libs libjwt) ||
    fail "Kamailio's jwt module does not compile"
}

# Our module and OpenSIPS' own, on the OpenSIPS of OPENSIPS_SRC.
bench_opensips() {
  if [ -z "${OPENSIPS_SRC:-}" ]; then
    echo "bench: OPENSIPS_SRC is not set: nothing was compared on OpenSIPS" >&2
    return
  fi
  OPENSIPS_SERIES=$(tools/opensips-build.sh --series)
  export OPENSIPS_SERIES
  tools/opensips-build.sh
  echo "bench: opensips" >&2
  program opensips "$@"
}

if [ "${1:-}" = --keep ]; then
  [ -d target/bench/parts ] || fail "nothing has been measured yet: run make bench first"
  cargo build --release --quiet "${BUILD[@]}" --bin report
  program report --keep "$(date +%Y-%m-%d)" > /dev/null
  echo "bench: benches/RESULTS.md and benches/plots are written"
  exit
fi
quick=() before=()
while [ $# -gt 0 ]; do
  case "$1" in
    --quick) quick=(--quick) ;;
    --before)
      [ -f "${2:-}/target/kamailio/auth_oauth.so" ] && [ -f "$2/target/release/libsipoauth.so" ] ||
        fail "--before needs a tree in which 'make' has built the library and the module"
      before=(--before "$2")
      shift
      ;;
    *) fail "usage: tools/bench.sh [--quick] [--before TREE], or --keep" ;;
  esac
  shift
done

tools/setup.sh bench
echo "bench: building (some minutes the first time)" >&2
cargo build --release --lib --bins
tools/kamailio-build.sh
build_jwt
cargo build --release "${BUILD[@]}"
rm -rf target/bench/parts
for part in kamailio micro; do
  echo "bench: $part" >&2
  program "$part" "${quick[@]}" "${before[@]}"
done
for part in scale workers morning refer devices page; do
  echo "bench: $part" >&2
  program "$part" "${quick[@]}"
done
echo "bench: requests" >&2
program requests
bench_opensips "${quick[@]}"
program report
