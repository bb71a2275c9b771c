#!/bin/bash
# SPDX-License-Identifier: MIT OR Apache-2.0
#
# Builds target/opensips/SERIES/auth_oauth.so for OpenSIPS 3.4, 3.6 or 4.0 (SERIES).
#
#   OPENSIPS_SRC        OpenSIPS' source tree, of the same version and with the same Makefile.conf as the OpenSIPS that will
#                       load the module: no package has its headers
#   OPENSIPS_BIN        that OpenSIPS; default $OPENSIPS_SRC/opensips, then the one that is installed
#   SIPOAUTH_STATICLIB  default target/release/libsipoauth.a
#   SIPOAUTH_INCLUDE    folder of sipoauth.h, default include
#   OPENSIPS_OUT        default target/opensips/SERIES
#   CC                  default cc
#
#   --series            only prints SERIES
#
# OpenSIPS loads a module only if four strings in it equal its own: version, compile flags, kind and number of the
# revision. They come from the tree's own Makefile.defs, and are compared with what OPENSIPS_BIN -V says.
set -euo pipefail
export LC_ALL=C

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
SHIM=$ROOT/modules/opensips
COMMON=$ROOT/modules/common
TARGET=${CARGO_TARGET_DIR:-$ROOT/target}
STATICLIB=${SIPOAUTH_STATICLIB:-$TARGET/release/libsipoauth.a}
INCLUDE=${SIPOAUTH_INCLUDE:-$ROOT/include}
CC=${CC:-cc}
. "$ROOT/tools/module.sh"

fail() { echo "opensips-build: $*" >&2; exit 1; }
say() { echo "opensips-build: $*"; }

trap 'fail "stopped by an unexpected error in line $LINENO"' ERR

# What the tree's own Makefiles give each module.
definitions() {
  local conf=$SOURCE/Makefile.conf
  [ -f "$conf" ] || conf=$SOURCE/Makefile.conf.template
  # shellcheck disable=SC2016 # make expands it
  printf 'TOP_SRCDIR := %s\ninclude %s\ninclude %s\nprint:\n\t@printf "%%s\\n" %s\n' "$SOURCE" "$conf" "$SOURCE/Makefile.defs" \
    '$(DEFS)' | make --no-print-directory -s -C "$WORK" -f - print 2> "$WORK/make.log" \
    || fail "the Makefiles of $SOURCE cannot be read (see $WORK/make.log)"
}

find_source() {
  [ -n "${OPENSIPS_SRC:-}" ] || fail "set OPENSIPS_SRC to the source tree of your OpenSIPS (3.4, 3.6 or 4.0)"
  [ -f "$OPENSIPS_SRC/sr_module.h" ] && [ -f "$OPENSIPS_SRC/Makefile.defs" ] \
    || fail "OPENSIPS_SRC=$OPENSIPS_SRC has no sr_module.h: set it to the top folder of OpenSIPS' source tree"
  SOURCE=$(cd "$OPENSIPS_SRC" && pwd)
}

find_series() {
  local major minor
  major=$(sed -nE 's/^VERSION_MAJOR[ \t]*=[ \t]*([0-9]+).*/\1/p' "$SOURCE/Makefile.defs")
  minor=$(sed -nE 's/^VERSION_MINOR[ \t]*=[ \t]*([0-9]+).*/\1/p' "$SOURCE/Makefile.defs")
  SERIES=$major.$minor
  case $SERIES in
    3.4 | 3.5 | 3.6 | 4.0) NUMBER=$((major * 100 + minor)) ;;
    *) fail "$SOURCE is OpenSIPS $SERIES: this module is for 3.4 to 4.0" ;;
  esac
}

find_binary() {
  BINARY=${OPENSIPS_BIN:-$SOURCE/opensips}
  [ -x "$BINARY" ] || BINARY=${OPENSIPS_BIN:-$(command -v opensips || true)}
  [ -n "$BINARY" ] && [ -x "$BINARY" ] \
    || fail "there is no opensips to compare with: build it in $SOURCE, or set OPENSIPS_BIN to the one that will load the module"
}

# The four strings of a module that is compiled like ours, one a line.
strings_of_module() {
  printf '%s\n' '#include <stdio.h>' '#include "version.h"' \
    'int main(void) { return printf("%s\n%s\n%s\n%s\n", OPENSIPS_FULL_VERSION, OPENSIPS_COMPILE_FLAGS, VERSIONTYPE, THISREVISION) < 0; }' \
    > "$WORK/strings.c"
  "$CC" "${DEFS[@]}" -isystem "$SOURCE" -o "$WORK/strings" "$WORK/strings.c" || fail "the headers of $SOURCE cannot be compiled"
  "$WORK/strings"
}

# The same of OpenSIPS itself: "version: opensips 3.6.8 (x86_64/linux)", "flags: …", "git revision: abc".
strings_of_binary() {
  local text
  text=$("$BINARY" -V) || fail "$BINARY does not run"
  sed -n 's/^version: //p' <<< "$text"
  sed -n 's/^flags: //p' <<< "$text"
  sed -nE 's/^([^ ]+) revision: (.*)$/\1\n\2/p' <<< "$text"
}

compare() {
  local name ours theirs i
  local -a module binary names=("version" "compile flags" "kind of revision" "revision")
  mapfile -t module < <(strings_of_module)
  mapfile -t binary < <(strings_of_binary)
  for i in 0 1 2 3; do
    name=${names[$i]} ours=${module[$i]:-} theirs=${binary[$i]:-}
    # the loader compares revisions over the shorter length
    [ "$i" != 3 ] || { ours=${ours:0:${#theirs}}; theirs=${theirs:0:${#ours}}; }
    [ "$ours" = "$theirs" ] \
      || fail "$BINARY would refuse this module: its $name is '$theirs', that of $SOURCE is '$ours'; use the tree it was built from"
  done
}

find_source
find_series
if [ "${1:-}" = --series ]; then
  echo "$SERIES"
  exit
fi
SERVER="OpenSIPS $SERIES"
need "$CC" gcc
need make make
need readelf binutils
OUT=${OPENSIPS_OUT:-$TARGET/opensips/$SERIES}
WORK=$OUT/obj
mkdir -p "$WORK"
mapfile -t DEFS < <(definitions)
[ ${#DEFS[@]} -gt 0 ] || fail "the Makefiles of $SOURCE define nothing (see $WORK/make.log)"
find_binary
compare
need_library
compile_module -ffunction-sections "${DEFS[@]}" -DMOD_NAME=auth_oauth "-DOPENSIPS_SERIES=$NUMBER" -isystem "$SOURCE"
link_module
replace_module
say "$OUT/auth_oauth.so for OpenSIPS $SERIES"
