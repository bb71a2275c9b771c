#!/bin/bash
# SPDX-License-Identifier: MIT OR Apache-2.0
#
# The end-to-end tests on other versions of Kamailio, and in their other ways to receive. The machine's own version is
# tested by 'make test'. A version that cannot be had is said aloud, and counted at the end.
#
#   tools/test-versions.sh [SERIES ...]     default: 6.0 6.1
set -uo pipefail
cd "$(dirname "$(readlink -f "$0")")/.."
PATH=$PATH:$HOME/.cargo/bin

tools/setup.sh test || exit
results=()
failed=0
absent=0

# Kamailio hands its datagrams to the workers of this group.
UDP_THREADS='udp_receiver_mode=1
async_workers_group="name=udp;workers={workers}"'

run() {    # name, lines for the core, arguments of the tests
  local name=$1 core=$2 start=$SECONDS
  shift 2
  printf '\n==== %s\n' "$name"
  if TEST_HOST_CORE=$core cargo test --test e2e -- --test-threads=6 "$@"; then
    results+=("passed   $name  ($((SECONDS - start)) s)")
  else
    results+=("FAILED   $name  ($((SECONDS - start)) s)")
    failed=1
  fi
}

for version in "trixie 6.0" "sid 6.1"; do
  read -r suite series <<< "$version"
  [ $# = 0 ] || [[ " $* " == *" $series "* ]] || continue
  tools/host.sh "$suite" "$series"
  case $? in
    0) ;;
    3) absent=$((absent + 1)); results+=("ABSENT   Kamailio $series (Debian $suite)"); continue ;;
    *) failed=1; results+=("FAILED   Kamailio $series could not be prepared"); continue ;;
  esac
  export TEST_HOST=target/hosts/$suite
  run "Kamailio $series (Debian $suite)" ""
  run "Kamailio $series, udp_receiver_mode=1" "$UDP_THREADS"
  case $series in
    6.0) ;;
    *) run "Kamailio $series, tcp_main_threads=1" "tcp_main_threads=1" ;;
  esac
  unset TEST_HOST
done

printf '\n==== versions\n'
printf '%s\n' "${results[@]}"
[ "$absent" = 0 ] || echo "$absent of them could not be had and were not tested"
exit "$failed"
