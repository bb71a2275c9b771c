#!/bin/bash
# SPDX-License-Identifier: MIT OR Apache-2.0
#
# Debian packages for the Debian and the Kamailio of this machine, in target/deb/debian-VERSION. Needs Rust 1.88 and root.
#
#   tools/deb.sh [REVISION]     the Debian revision, default 1
set -euo pipefail
cd "$(dirname "$(readlink -f "$0")")/.."
PATH=$PATH:$HOME/.cargo/bin

. /etc/os-release
REVISION=${1:-1}
OUT=$PWD/target/deb/$ID-${VERSION_ID:-unstable}
TREE=$OUT/sipoauth

tools/setup.sh deb
mkdir -p "$OUT"
rm -rf "$TREE" "$OUT"/*.deb "$OUT"/*.changes "$OUT"/*.buildinfo
mkdir -p "$TREE"
git ls-files -z | xargs -0 cp --parents -t "$TREE"
cp -r packaging/debian "$TREE/debian"
# One package for each Debian: 0.1.0-1~deb12 is older than what Debian itself may have one day. Unstable is newer than all.
sed -i "1s/-1)/-$REVISION~deb${VERSION_ID:-99})/" "$TREE/debian/changelog"
grep -q "~deb${VERSION_ID:-99})" "$TREE/debian/changelog" ||
  { echo "deb: the first line of packaging/debian/changelog has no revision 1" >&2; exit 1; }
# What was compiled before is used again.
(cd "$TREE" && CARGO_TARGET_DIR=$OUT/cargo dpkg-buildpackage -b --no-sign) > "$OUT/build.log" 2>&1 || {
  tail -n 30 "$OUT/build.log" >&2
  echo "deb: the packages were not built, see $OUT/build.log" >&2
  exit 1
}
rm -rf "$TREE"
lintian --allow-root --fail-on error,warning --suppress-tags initial-upload-closes-no-bugs "$OUT"/*.changes
for package in "$OUT"/*.deb; do echo "deb: ${package#"$PWD"/}"; done
