#!/bin/bash
# SPDX-License-Identifier: MIT OR Apache-2.0
#
# The source as distributions build it, with all crates in it: target/dist/sipoauth-VERSION.tar.xz. It builds without a
# network. The same commit makes the same octets with the same Cargo, tar and xz.
#
#   tools/dist.sh           makes it
#   tools/dist.sh check     makes it, and builds library, tool and Kamailio module from it where there is no network
set -euo pipefail
cd "$(dirname "$(readlink -f "$0")")/.."
PATH=$PATH:$HOME/.cargo/bin

VERSION=$(sed -n 's/^version = "\(.*\)"$/\1/p' Cargo.toml | head -n 1)
NAME=sipoauth-$VERSION
OUT=$PWD/target/dist
TARBALL=$OUT/$NAME.tar.xz

say() { printf 'dist: %s\n' "$*"; }
fail() { printf 'dist: %s\n' "$*" >&2; exit 1; }

make_tarball() {
  local tree=$OUT/$NAME
  [ -z "$(git status --porcelain)" ] || say "with changes that are not committed"
  rm -rf "$tree" "$TARBALL" "$TARBALL.part"
  mkdir -p "$tree"
  # Fuzz targets and benches are workspaces of their own, with crates that nobody needs to build this.
  git ls-files -z -- . ':!fuzz' ':!benches' | xargs -0 cp --parents -t "$tree"
  mkdir -p "$tree/.cargo"
  (cd "$tree" && cargo vendor --quiet --locked --versioned-dirs vendor > /dev/null)
  # What cargo prints of it differs between machines.
  printf '[source.crates-io]\nreplace-with = "vendored-sources"\n\n[source.vendored-sources]\ndirectory = "vendor"\n' \
    >> "$tree/.cargo/config.toml"
  tar --create --directory "$OUT" --sort=name --owner=0 --group=0 --numeric-owner --mode=u=rwX,go=rX \
    --mtime="@$(git log -1 --format=%ct)" "$NAME" | xz -6 -T1 > "$TARBALL.part"
  mv "$TARBALL.part" "$TARBALL"
  rm -rf "$tree"
  say "${TARBALL#"$PWD"/} ($(du -h "$TARBALL" | cut -f 1))"
}

check() {
  local kamailio=$PWD/target/kamailio-src/tree
  [ "$(id -u)" = 0 ] || fail "run the check as root: it makes a network namespace"
  # Its headers are fetched by the first build of the module.
  [ -d "$kamailio" ] || fail "run make first"
  rm -rf "$OUT/check"
  mkdir -p "$OUT/check"
  tar -xf "$TARBALL" -C "$OUT/check"
  unshare --net env KAMAILIO_SRC="$kamailio" CARGO_HOME="$OUT/check/cargo" CARGO_TARGET_DIR="$OUT/check/target" \
    bash -ec 'cd "$1" && cargo build --release --locked --offline --lib --bins && tools/kamailio-build.sh' \
    check "$OUT/check/$NAME" > "$OUT/check.log" 2>&1 || { tail -n 20 "$OUT/check.log" >&2; fail "it does not build"; }
  "$OUT/check/target/release/sipoauth" --version > /dev/null || fail "the tool does not run"
  rm -rf "$OUT/check"
  say "it builds without a network"
}

mkdir -p "$OUT"
case ${1:-} in
  '') make_tarball ;;
  check) make_tarball; check ;;
  *) fail "usage: tools/dist.sh [check]" ;;
esac
