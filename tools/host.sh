#!/bin/bash
# SPDX-License-Identifier: MIT OR Apache-2.0
#
# Brings another version of Kamailio for the tests, and builds the module for it. It goes below target/hosts.
#
#   tools/host.sh SUITE SERIES     Debian's suite (trixie, sid) and the series it must have (6.0, 6.1)
#
# It makes target/hosts/SUITE:
#   root             the programs of that Debian
#   run              a program that runs its kamailio
#   modules          where that kamailio finds its own modules
#   kamailio, kamailio-fault    our module, plainly and with a core that can be made to panic
#
# KAMAILIO_SRC names its source tree where the archive has it no more. Run this as root, after tools/setup.sh build.
# Exit 3: this version cannot be had now.
set -euo pipefail
cd "$(dirname "$(readlink -f "$0")")/.."
PATH=$PATH:$HOME/.cargo/bin
. tools/debian.sh

SUITE=${1:?usage: tools/host.sh SUITE SERIES}
SERIES=${2:?usage: tools/host.sh SUITE SERIES}
HOST=$PWD/target/hosts/$SUITE
# What the end-to-end tests load.
PACKAGES=kamailio,kamailio-websocket-modules,kamailio-tls-modules,kamailio-extra-modules,kamailio-utils-modules
PACKAGES=$PACKAGES,kamailio-outbound-modules,kamailio-lua-modules,kamailio-python3-modules

say() { printf 'host: %s\n' "$*"; }
absent() { printf 'host: Kamailio %s of Debian %s is not to be had: %s\n' "$SERIES" "$SUITE" "$*" >&2; exit 3; }

# Sees the temporary folder, this project and the users as everybody does.
write_run() {
  cat > "$HOST/run" << END
#!/bin/bash
. '$PWD/tools/debian.sh'
enter_debian '$HOST/root' /tmp '$PWD' /etc/passwd /etc/group -- /usr/sbin/kamailio "\$@"
END
  chmod 755 "$HOST/run"
}

archive() { apt-get indextargets --format '$(REPO_URI)' 'Origin: Debian' "Label: $1" | sed -n 1p; }

# Debian has no package with the headers.
bring_source() {
  local work=$HOST/source key=signed-by=/usr/share/keyrings/debian-archive-keyring.gpg
  [ "$(cat "$work/version" 2> /dev/null)" != "$1" ] || return 0
  rm -rf "$work"
  mkdir -p "$work/parts"
  printf 'deb-src [%s] %s %s main\n' "$key" "$(archive Debian)" "$SUITE" > "$work/parts/debian.list"
  if [ "$SUITE" != sid ] && [ -n "$(archive Debian-Security)" ]; then
    printf 'deb-src [%s] %s %s-security main\n' "$key" "$(archive Debian-Security)" "$SUITE" >> "$work/parts/debian.list"
  fi
  # A mirror may be some weeks old.
  download_source "kamailio=$1" "$work" -o Acquire::Check-Valid-Until=false || absent "the source of $1 is gone (see $work/log)"
  printf '%s\n' "$1" > "$work/version"
}

build() {    # staticlib, folder
  KAMAILIO_MODULES=$HOST/root$(cat "$HOST/modules") KAMAILIO_SRC=${KAMAILIO_SRC:-$HOST/source/tree} SIPOAUTH_STATICLIB=$1 \
    KAMAILIO_OUT=$HOST/$2 tools/kamailio-build.sh
}

[ "$(id -u)" = 0 ] || { say "run this as root: it makes a folder with another Debian in it" >&2; exit 1; }
bring_debian "$SUITE" "$HOST/root" extract "$PACKAGES" || absent "its packages could not be fetched (see $HOST/root.log)"
write_run
# "kamailio (6.0.1-1+deb13u1) …"
VERSION=$(zcat "$HOST/root/usr/share/doc/kamailio/changelog.Debian.gz" | sed -n '1s/.*(\(.*\)).*/\1/p')
case $VERSION in
  "$SERIES".*) ;;
  *) rm -rf "$HOST/root" "$HOST/source"; absent "it has $VERSION" ;;
esac
(cd "$HOST/root" && find usr/lib -path '*/kamailio/modules' -printf '/%p\n' | sed -n 1p) > "$HOST/modules"
[ -n "${KAMAILIO_SRC:-}" ] || bring_source "$VERSION"
cargo build --release --lib
cargo build --package sipoauth --lib --features fault-injection
build "${CARGO_TARGET_DIR:-target}/release/libsipoauth.a" kamailio
build "${CARGO_TARGET_DIR:-target}/debug/libsipoauth.a" kamailio-fault
say "target/hosts/$SUITE is Kamailio $VERSION"
