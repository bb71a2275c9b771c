#!/bin/bash
# SPDX-License-Identifier: MIT OR Apache-2.0
#
# The borders of rooms: each room uses only those that stand before it, so there is no circle. Cargo sees to the borders
# between packages.
set -euo pipefail
cd "$(dirname "$(readlink -f "$0")")/.."
PATH=$PATH:$HOME/.cargo/bin
failed=0
fail() {
  echo "borders: $*" >&2
  failed=1
}

# The folder of a package and its rooms, from the innermost out. Rooms joined by a comma do not use each other.
rooms() {
  local folder=$1 known before='' group room other paths found
  shift
  known=$(tr ', ' '\n\n' <<< "$*" | sort)
  [ "$known" = "$(sed -nE 's/^(pub )?mod (\w+);/\2/p' "$folder/lib.rs" | sort)" ] ||
    fail "the modules in $folder/lib.rs are not the rooms in $0"
  # It would hide what the rest looks for.
  if found=$(grep -rn 'use crate::{' "$folder"); then
    fail "each room has a use of its own: $found"
  fi
  for group; do
    for room in ${group//,/ }; do
      for other in $known; do
        [[ " $before $room " != *" $other "* ]] || continue
        paths="\bcrate::$other\b"
        # A room may have a module of that name.
        [ -e "$folder/$room/$other.rs" ] || paths+="|\bsuper::$other\b"
        if found=$(grep -rnE "$paths" "$folder/$room"*); then
          fail "$room must not use $other: $found"
        fi
      done
    done
    before+=" ${group//,/ }"
  done
}

rooms core/src reason text jose keys sip rules records config ports oauth check refer
rooms src clock,fault shared store process worker,io_process,commands capi

found=$(cargo tree --locked --package sipoauth-core --edges normal --prefix none --format '{p}' |
  grep -E '^(ureq|redis|heed|rustls|libc|mio|nix|socket2|tokio|clap|indicatif) ' | sort -u) || true
[ -z "$found" ] || fail "sipoauth-core must do without input and output: ${found//$'\n'/, }"
exit "$failed"
