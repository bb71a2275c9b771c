#!/bin/sh
# SPDX-License-Identifier: MIT OR Apache-2.0
#
# Installs the built library for programs in C and C++, and the operator's tool:
#
#   tools/install.sh PREFIX [DESTDIR]
#
# PREFIX is where it will be used, for example /usr/local; DESTDIR is put before it while a package is made.
# SIPOAUTH_BUILD names the folder of the built libraries, by default target/release; SIPOAUTH_TOOL names the built tool,
# by default sipoauth in that folder. SIPOAUTH_LIBDIR names the folder of libraries below PREFIX, by default lib.
set -eu

fail() { printf 'install: %s\n' "$*" >&2; exit 1; }

[ $# -ge 1 ] && [ $# -le 2 ] || fail "usage: tools/install.sh PREFIX [DESTDIR]"
case $1 in /*) ;; *) fail "PREFIX must be an absolute path, not '$1'" ;; esac
PREFIX=${1%/}
ROOT=$(cd "$(dirname "$0")/.." && pwd)
BUILD=${SIPOAUTH_BUILD:-${CARGO_TARGET_DIR:-$ROOT/target}/release}
TOOL=${SIPOAUTH_TOOL:-$BUILD/sipoauth}
LIBDIR=${SIPOAUTH_LIBDIR:-lib}
TO=${2:-}$PREFIX
VERSION=$(sed -n 's/^version = "\(.*\)"/\1/p' "$ROOT/Cargo.toml" | head -n 1)
SONAME=libsipoauth.so.${VERSION%%.*}

for file in "$BUILD/libsipoauth.so" "$BUILD/libsipoauth.a" "$TOOL"; do
  [ -f "$file" ] || fail "$file is missing: build it first (cargo build --release)"
done

install -d "$TO/bin" "$TO/$LIBDIR/pkgconfig" "$TO/include" "$TO/share/doc/sipoauth"
for page in "$ROOT"/docs/man/*; do
  install -D -m 644 -t "$TO/share/man/man${page##*.}" "$page"
done
install -m 755 "$TOOL" "$TO/bin/sipoauth"
# The sign-in page is a program of its own, which a build may leave out.
if [ -f "$BUILD/sipoauth-signin" ]; then
  install -m 755 "$BUILD/sipoauth-signin" "$TO/bin/sipoauth-signin"
  install -d "$TO/lib/systemd/system"
  sed -e "s|@PREFIX@|$PREFIX|" "$ROOT/packaging/sipoauth-signin.service" > "$TO/lib/systemd/system/sipoauth-signin.service"
  chmod 644 "$TO/lib/systemd/system/sipoauth-signin.service"
fi
install -m 755 "$BUILD/libsipoauth.so" "$TO/$LIBDIR/libsipoauth.so.$VERSION"
ln -sfn "libsipoauth.so.$VERSION" "$TO/$LIBDIR/$SONAME"
ln -sfn "$SONAME" "$TO/$LIBDIR/libsipoauth.so"
install -m 644 "$BUILD/libsipoauth.a" "$TO/$LIBDIR/libsipoauth.a"
install -m 644 "$ROOT/include/sipoauth.h" "$TO/include/sipoauth.h"
sed -e "s|@PREFIX@|$PREFIX|" -e "s|@LIBDIR@|$LIBDIR|" -e "s|@VERSION@|$VERSION|" "$ROOT/sipoauth.pc.in" \
  > "$TO/$LIBDIR/pkgconfig/sipoauth.pc"
chmod 644 "$TO/$LIBDIR/pkgconfig/sipoauth.pc"
install -m 644 "$ROOT/LICENSE-MIT" "$ROOT/LICENSE-APACHE" "$ROOT"/examples/c/*.c "$TO/share/doc/sipoauth/"
printf 'install: sipoauth %s is in %s\n' "$VERSION" "$TO"
