#!/bin/bash
# SPDX-License-Identifier: MIT OR Apache-2.0
#
# Brings another version of Kamailio for the tests, and builds the module for it. Nothing of the system is touched.
#
#   tools/host.sh SUITE SERIES     Debian's suite (trixie, sid) and the series it must have (6.0, 6.1)
#
# It makes target/hosts/SUITE:
#   root             the programs of that Debian
#   run              a program that runs its kamailio
#   modules          where that kamailio finds its own modules
#   kamailio, kamailio-fault    our module, plainly and with a core that can be made to panic
#
# Run it as root, after tools/setup.sh build. Exit 3: this version cannot be had now.
set -euo pipefail
cd "$(dirname "$(readlink -f "$0")")/.."
PATH=$PATH:$HOME/.cargo/bin

SUITE=${1:?usage: tools/host.sh SUITE SERIES}
SERIES=${2:?usage: tools/host.sh SUITE SERIES}
HOST=$PWD/target/hosts/$SUITE
# What the end-to-end tests load.
PACKAGES=kamailio,kamailio-websocket-modules,kamailio-tls-modules,kamailio-extra-modules,kamailio-utils-modules
PACKAGES=$PACKAGES,kamailio-outbound-modules,kamailio-lua-modules,kamailio-python3-modules

say() { printf 'host: %s\n' "$*"; }
absent() { printf 'host: Kamailio %s of Debian %s is not to be had: %s\n' "$SERIES" "$SUITE" "$*" >&2; exit 3; }
# A mirror may be some weeks old.
APT=(-o 'Acquire::Check-Valid-Until=false')

bring_root() {
  [ ! -e "$HOST/root/.whole" ] || return 0
  command -v mmdebstrap > /dev/null || apt-get install -y -qq mmdebstrap > /dev/null
  rm -rf "$HOST/root"
  mkdir -p "$HOST"
  mmdebstrap --quiet --variant=extract --aptopt='Acquire::Check-Valid-Until "false"' --include="$PACKAGES" \
    "$SUITE" "$HOST/root" > "$HOST/root.log" 2>&1 || absent "its packages could not be fetched (see $HOST/root.log)"
  # Nothing is configured in it, so the links that base-files makes are missing.
  local folder
  for folder in bin sbin lib lib64; do
    [ -e "$HOST/root/$folder" ] || [ ! -e "$HOST/root/usr/$folder" ] || ln -s "usr/$folder" "$HOST/root/$folder"
  done
  mkdir -p "$HOST/root/proc" "$HOST/root/tmp" "$HOST/root$PWD"
  touch "$HOST/root/etc/passwd" "$HOST/root/etc/group"
  touch "$HOST/root/.whole"
}

# A program that sees the temporary folder, this project and the users as everybody does.
write_run() {
  cat > "$HOST/run" << END
#!/bin/bash
exec unshare --mount bash -c '
  root=\$0
  mount --rbind /tmp "\$root/tmp" && mount --bind "$PWD" "\$root$PWD" && mount --bind /dev "\$root/dev" &&
    mount --bind /etc/passwd "\$root/etc/passwd" && mount --bind /etc/group "\$root/etc/group" &&
    mount -t proc proc "\$root/proc" && exec chroot "\$root" /usr/sbin/kamailio "\$@"' "$HOST/root" "\$@"
END
  chmod 755 "$HOST/run"
}

# Debian has no package with the headers.
bring_source() {
  local version=$1 work=$HOST/source uri options
  [ ! -f "$work/tree/src/core/sr_module.h" ] || return 0
  rm -rf "$work"
  mkdir -p "$work/lists/partial"
  local key=signed-by=/usr/share/keyrings/debian-archive-keyring.gpg
  uri=$(apt-get indextargets --format '$(REPO_URI)' 'Origin: Debian' 'Label: Debian' | sed -n 1p)
  printf 'deb-src [%s] %s %s main\n' "$key" "$uri" "$SUITE" > "$work/sources.list"
  uri=$(apt-get indextargets --format '$(REPO_URI)' 'Origin: Debian' 'Label: Debian-Security' | sed -n 1p)
  [ -z "$uri" ] || [ "$SUITE" = sid ] || printf 'deb-src [%s] %s %s-security main\n' "$key" "$uri" "$SUITE" >> "$work/sources.list"
  options=("${APT[@]}" -o Dir::Etc::sourcelist="$work/sources.list" -o Dir::Etc::sourceparts=/dev/null
    -o Dir::State::lists="$work/lists" -o Dir::Cache::srcpkgcache= -o Dir::Cache::pkgcache= -o APT::Sandbox::User=
    -o APT::Get::List-Cleanup=0)
  (
    cd "$work"
    apt-get "${options[@]}" -qq update > log 2>&1 || true
    # It fails, too, when only the detached signature of upstream is gone.
    apt-get "${options[@]}" -qq source --download-only "kamailio=$version" >> log 2>&1 || true
    [ -f kamailio_*.dsc ] && dpkg-source --no-check -x kamailio_*.dsc tree >> log 2>&1
  ) || absent "the source of $version is gone (see $work/log)"
}

build() {    # staticlib, folder
  KAMAILIO_MODULES=$HOST/root$(cat "$HOST/modules") KAMAILIO_SRC=${SOURCE:-$HOST/source/tree} SIPOAUTH_STATICLIB=$1 \
    KAMAILIO_OUT=$HOST/$2 tools/kamailio-build.sh
}

[ "$(id -u)" = 0 ] || { say "run this as root: it makes a folder with another Debian in it" >&2; exit 1; }
bring_root
write_run
# "kamailio (6.0.1-1+deb13u1) …"
VERSION=$(zcat "$HOST/root/usr/share/doc/kamailio/changelog.Debian.gz" | sed -n '1s/.*(\(.*\)).*/\1/p')
case $VERSION in "$SERIES".*) ;; *) absent "it has $VERSION" ;; esac
(cd "$HOST/root" && find usr/lib -path '*/kamailio/modules' -printf '/%p\n' | sed -n 1p) > "$HOST/modules"
[ -n "${SOURCE:-}" ] || bring_source "$VERSION"
cargo build --release --lib
cargo build --package sipoauth --lib --features fault-injection
build target/release/libsipoauth.a kamailio
build target/debug/libsipoauth.a kamailio-fault
say "target/hosts/$SUITE is Kamailio $VERSION"
