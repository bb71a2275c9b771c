#!/bin/bash
# SPDX-License-Identifier: MIT OR Apache-2.0
#
# Builds target/kamailio/auth_oauth.so for the Kamailio that is installed on this machine.
#
#   KAMAILIO_SRC        Kamailio's source tree of the same version; without it the Debian source package is fetched
#                       into target/kamailio-src with apt (no root needed, no system setting is touched)
#   KAMAILIO_MODULES    folder of the installed modules (found by itself in the usual places)
#   SIPOAUTH_STATICLIB  default target/release/libsipoauth.a
#   SIPOAUTH_INCLUDE    folder of sipoauth.h, default include
#   KAMAILIO_OUT        default target/kamailio
#   CC                  default cc
#
#   --modules           only prints that folder
#   --options           only prints the compile options, one a line, with those of the source tree
#
# Kamailio loads a module only if two strings in it, module_version and module_flags, equal its own. They are
# read out of an installed module, turned into -D options, and compared again in what was linked.
set -euo pipefail
export LC_ALL=C

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
SHIM=$ROOT/modules/kamailio
COMMON=$ROOT/modules/common
TARGET=${CARGO_TARGET_DIR:-$ROOT/target}
OUT=${KAMAILIO_OUT:-$TARGET/kamailio}
STATICLIB=${SIPOAUTH_STATICLIB:-$TARGET/release/libsipoauth.a}
INCLUDE=${SIPOAUTH_INCLUDE:-$ROOT/include}
CC=${CC:-cc}
. "$ROOT/tools/debian.sh"
. "$ROOT/tools/module.sh"

fail() { echo "kamailio-build: $*" >&2; exit 1; }
say() { echo "kamailio-build: $*"; }

trap 'fail "stopped by an unexpected error in line $LINENO"' ERR

# ---- the installed Kamailio ---------------------------------------------------------------------------------

find_modules() {
  local dir candidate
  if [ -n "${KAMAILIO_MODULES:-}" ]; then
    [ -f "$KAMAILIO_MODULES/tm.so" ] || fail "KAMAILIO_MODULES=$KAMAILIO_MODULES has no tm.so: set it to the folder of Kamailio's modules"
    echo "$KAMAILIO_MODULES"
    return
  fi
  candidate=$(dpkg-query -L kamailio 2>/dev/null | grep '/kamailio/modules/tm\.so$' | head -n 1 || true)
  if [ -n "$candidate" ]; then
    dirname "$candidate"
    return
  fi
  for dir in /usr/lib/*/kamailio/modules /usr/lib64/kamailio/modules /usr/lib/kamailio/modules \
      /usr/local/lib64/kamailio/modules /usr/local/lib/kamailio/modules; do
    if [ -f "$dir/tm.so" ]; then
      echo "$dir"
      return
    fi
  done
  fail "no installed Kamailio found: install it (apt-get install kamailio) or set KAMAILIO_MODULES to the folder that holds tm.so"
}

if [ "${1:-}" = --modules ]; then
  find_modules
  exit
fi

# file offset of a virtual address, from the section headers
file_offset() {
  local kind addr offset size
  while read -r _ _ kind addr offset size _; do
    if [ "$kind" = PROGBITS ] && (( 0x$addr != 0 && $2 >= 0x$addr && $2 < 0x$addr + 0x$size )); then
      echo $(( $2 - 0x$addr + 0x$offset ))
      return
    fi
  done <<< "$(readelf -SW "$1" | sed 's/\[ *\([0-9]*\)\]/\1/')"
}

# The text that the `char *` variable $2 of the shared object $1 points to. The pointer is filled in by a
# relative relocation when the object is loaded; without one the value in the file itself counts (RELR, REL).
module_string() {
  local address offset pointer
  address=$(readelf -sW --dyn-syms "$1" | awk -v name="$2" '$8 == name && $4 == "OBJECT" && !seen++ { print $2 }')
  [ -n "$address" ] || return 1
  # compared as text: 0000000000e81078 is a number to awk, and equal to many
  pointer=$(readelf -rW "$1" | awk -v at="$address" 'NF == 4 && ($1 "") == (at "") && $3 ~ /_RELATIVE$/ && !seen++ { print $4 }')
  if [ -n "$pointer" ]; then
    pointer=$(( 0x$pointer ))
  else
    offset=$(file_offset "$1" $(( 0x$address )))
    [ -n "$offset" ] || return 1
    pointer=$(od -An -t u8 -j "$offset" -N 8 "$1" | tr -d ' ')
  fi
  offset=$(file_offset "$1" "$pointer")
  [ -n "$offset" ] || return 1
  # no early end of a reader here: under pipefail the writer's SIGPIPE would count as a failure
  dd if="$1" bs=1 skip="$offset" count=4096 2>/dev/null | tr '\0' '\n' | sed -n 1p
}

# ---- headers ------------------------------------------------------------------------------------------------

# Makefile.defs knows the version of a source tree.
tree_version() {
  awk -F= '/^VERSION *=/ { v = $2 } /^PATCHLEVEL *=/ { p = $2 } /^SUBLEVEL *=/ { s = $2 } /^EXTRAVERSION *=/ { e = $2 }
    END { gsub(/[ \t]/, "", v); gsub(/[ \t]/, "", p); gsub(/[ \t]/, "", s); gsub(/[ \t]/, "", e); print v "." p "." s e }' "$1/src/Makefile.defs"
}

check_tree() {
  local found
  [ -f "$1/src/core/sr_module.h" ] && [ -f "$1/src/Makefile.defs" ] || return 1
  found=$(tree_version "$1")
  [ "$found" = "$VERSION" ] || fail "$1 is Kamailio $found but $VERSION is installed: use the source tree of $VERSION"
}

# deb-src entries with the URIs, suites and keys of the system's own deb entries
source_list() {
  local file
  for file in /etc/apt/sources.list /etc/apt/sources.list.d/*.list; do
    if [ -f "$file" ]; then
      sed -nE 's/^[[:space:]]*deb(-src)?([[:space:]].*)$/deb-src\2/p' "$file"
    fi
  done | sort -u > "$1/system.list"
  for file in /etc/apt/sources.list.d/*.sources; do
    if [ -f "$file" ]; then
      sed -E '/^#/d; s/^[Tt]ypes:.*/Types: deb-src/; /^[Aa]rchitectures:/d' "$file"
      echo
    fi
  done > "$1/system.sources"
}

fetch_source() {
  local work=$TARGET/kamailio-src package_version
  need dpkg-query dpkg
  need apt-get apt
  need dpkg-source dpkg-dev
  package_version=$(dpkg-query -W -f '${source:Version}' kamailio 2>/dev/null) \
    || fail "Kamailio $VERSION was not installed as a Debian package: set KAMAILIO_SRC to its source tree"
  rm -rf "$work.part"
  mkdir -p "$work.part/parts"
  source_list "$work.part/parts"
  say "fetching the headers of kamailio $package_version (13 MB)"
  download_source "kamailio=$package_version" "$work.part" \
    || fail "the source package kamailio $package_version could not be fetched (see $work.part/log): check the network, or set KAMAILIO_SRC to a source tree of Kamailio $VERSION"
  rm -rf "$work"
  mv "$work.part" "$work"
}

find_source() {
  if [ -n "${KAMAILIO_SRC:-}" ]; then
    check_tree "$KAMAILIO_SRC" || fail "KAMAILIO_SRC=$KAMAILIO_SRC has no src/core/sr_module.h: set it to the top folder of Kamailio's source tree"
    SOURCE=$KAMAILIO_SRC
    return
  fi
  SOURCE=$TARGET/kamailio-src/tree
  # a tree left from another version is replaced
  if [ ! -f "$SOURCE/src/core/sr_module.h" ] || [ "$(tree_version "$SOURCE")" != "$VERSION" ]; then
    fetch_source
  fi
  check_tree "$SOURCE" || fail "the source package of Kamailio has no src/core/sr_module.h: set KAMAILIO_SRC to a source tree of Kamailio $VERSION"
}

# ---- compile options from the two strings -------------------------------------------------------------------

options() {
  local flag name arch os
  arch=${WANT_VERSION##*(}; arch=${arch%%/*}
  os=${WANT_VERSION##*/}; os=${os%%)*}
  DEFS=("-DNAME=\"${WANT_VERSION%% *}\"" "-DVERSION=\"$VERSION\"" "-DARCH=\"$arch\"" "-DOS=${os}_" "-DOS_QUOTED=\"$os\""
    "-D__CPU_$arch" "-D__OS_${os,,}" "-DMOD_NAME=\"auth_oauth\"" -DMOD_NAMEID=auth_oauth "-DCOMPILER=\"$CC\"")
  IFS=. read -r major minor patch <<< "${VERSION%%[-~+]*}"
  DEFS+=("-DVERSIONVAL=$(( major * 1000000 + minor * 1000 + ${patch:-0} ))")
  for flag in ${WANT_FLAGS//,/ }; do
    case $flag in
    FAST_LOCK*)
      DEFS+=(-DFAST_LOCK)
      case $flag in *ADAPTIVE_WAIT*) DEFS+=(-DADAPTIVE_WAIT -DADAPTIVE_WAIT_LOOPS=1024) ;; *BUSY_WAIT*) DEFS+=(-DBUSY_WAIT) ;; esac
      case $flag in *NOSMP*) DEFS+=(-DNOSMP) ;; esac ;;
    TLS_PTHREAD_MUTEX_SHARED) DEFS+=(-DKSR_PTHREAD_MUTEX_SHARED) ;;
    *) DEFS+=("-D$flag") ;;
    esac
  done
  # what the headers need but the string does not say; where the string can say it, the string counts
  for name in STATISTICS CC_GCC_LIKE_ASM HAVE_UNION_SEMUN HAVE_SCHED_YIELD HAVE_GETHOSTBYNAME2 \
      HAVE_MSG_NOSIGNAL HAVE_MSGHDR_MSG_CONTROL HAVE_ALLOCA_H HAVE_TIMEGM HAVE_SCHED_SETSCHEDULER HAVE_IP_MREQN \
      HAVE_EPOLL HAVE_SELECT WITH_XAVP MEM_JOIN_FREE; do
    sed -n '/define SER_COMPILE_FLAGS/,/^$/p' "$SOURCE/src/core/ver_defs.h" | grep -q "\b${name}_STR\b" || DEFS+=("-D$name")
  done
}

# ---- compile and link ---------------------------------------------------------------------------------------

# What was linked has the strings of the installed Kamailio.
compare() {
  local got_version got_flags
  got_version=$(module_string "$OUT/auth_oauth.so.new" module_version) || fail "the linked module has no module_version"
  got_flags=$(module_string "$OUT/auth_oauth.so.new" module_flags) || fail "the linked module has no module_flags"
  [ "$got_version" = "$WANT_VERSION" ] || fail "Kamailio would refuse this module: its version is '$got_version', the installed one '$WANT_VERSION'"
  [ "$got_flags" = "$WANT_FLAGS" ] || fail "Kamailio would refuse this module: its compile flags are '$got_flags', the installed ones '$WANT_FLAGS'"
}

need "$CC" gcc
need readelf binutils
MODULES=$(find_modules)
WANT_VERSION=$(module_string "$MODULES/tm.so" module_version) || fail "$MODULES/tm.so has no module_version: is it a Kamailio module?"
WANT_FLAGS=$(module_string "$MODULES/tm.so" module_flags) || fail "$MODULES/tm.so has no module_flags: is it a Kamailio module?"
VERSION=${WANT_VERSION#* }; VERSION=${VERSION%% *}
SERVER="Kamailio $VERSION"
find_source
if [ "${1:-}" = --options ]; then
  options
  printf '%s\n' "${DEFS[@]}" "-I$SOURCE/src"
  exit
fi
need_library
mkdir -p "$OUT/obj"
options
compile_module "${DEFS[@]}" -isystem "$SOURCE/src"
link_module
compare
replace_module
say "$OUT/auth_oauth.so for ${WANT_VERSION}"
