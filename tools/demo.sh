#!/bin/bash
# SPDX-License-Identifier: MIT OR Apache-2.0
#
# The demonstration: sets up what is missing, builds, and shows phones registering at a real Kamailio with the tokens of a
# real authorization server. KEEP=1 leaves both running; 'tools/demo.sh stop' ends them.
set -euo pipefail
cd "$(dirname "$(readlink -f "$0")")/.."

stop() {
  [ -f target/demo/pids ] || { echo "demo: nothing is running"; return; }
  while read -r pid; do kill "$pid" 2> /dev/null || true; done < target/demo/pids
  rm -f target/demo/pids
  echo "demo: stopped"
}

if [ "${1:-}" = stop ]; then
  stop
  exit
fi
[ ! -f target/demo/pids ] || stop
tools/setup.sh demo
echo "demo: building (some minutes the first time)"
PATH=$PATH:$HOME/.cargo/bin
cargo build --release --lib --bins
tools/kamailio-build.sh
[ ! -x target/node/bin/node ] || PATH=$PWD/target/node/bin:$PATH
exec node tools/demo.mjs
