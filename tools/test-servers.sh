#!/bin/bash
# SPDX-License-Identifier: MIT OR Apache-2.0
#
# Other people's authorization servers, from their registries, with a real Kamailio: each guide of cfg-examples/providers
# that names one of them keeps its promises. From a clean clone on a fresh Debian 12, installing what it needs.
#
#   tools/test-servers.sh [NAME...]     glewlwyd canaille django-oauth-toolkit authlib django-oidc-provider better-auth
#                                       lemonldap-ng; default: all
#
# The servers go below target/servers, and only there; none is started by Debian.
set -euo pipefail
SELF=$(readlink -f "$0")
cd "$(dirname "$SELF")/.."
PATH=$PWD/target/node/bin:$PATH:$HOME/.cargo/bin
export RUST_BACKTRACE=0
SERVERS=$PWD/target/servers
PACKAGES=$PWD/tests/servers/packages
ALL=(glewlwyd canaille django-oauth-toolkit authlib django-oidc-provider better-auth lemonldap-ng)
[ $# -gt 0 ] || set -- "${ALL[@]}"

step() { printf '\n==== %s (%d s)\n' "$*" "$SECONDS"; }
fail() { printf 'test-servers: %s\n' "$*" >&2; exit 1; }

# Debian packages, and those that they need and this machine has not, are unpacked in a folder and not installed.
unpack() {      # folder, packages
  local folder=$1 get file
  shift
  get=(apt-get install -y -qq --no-install-recommends --download-only -o "Dir::Cache::archives=$folder/debs"
    -o APT::Sandbox::User=root -o Debug::NoLocking=1)
  mkdir -p "$folder/debs/partial"
  "${get[@]}" "$@" > "$folder/apt.log" 2>&1 || {
    if [ "$(id -u)" = 0 ]; then apt-get update -qq; else sudo -n apt-get update -qq; fi
    "${get[@]}" "$@" > "$folder/apt.log" 2>&1 || { cat "$folder/apt.log"; fail "apt-get cannot bring $*"; }
  }
  for file in "$folder"/debs/*.deb; do dpkg-deb -x "$file" "$folder"; done
  rm -r "$folder/debs"
}

python() {      # folder, list of packages
  /usr/bin/python3 -m venv "$1"
  "$1/bin/pip" install --quiet --disable-pip-version-check -r "$2" ||
    "$1/bin/pip" install --quiet --disable-pip-version-check -r "$2"
}

install() {     # name, folder
  case $1 in
    # Without the package that asks for a database server.
    glewlwyd) unpack "$2" 'glewlwyd=2.7.5-*' dbconfig-no-thanks ;;
    lemonldap-ng) unpack "$2" 'liblemonldap-ng-portal-perl=2.16.1+ds-*' libstring-random-perl libio-string-perl ;;
    better-auth)
      cp "$PACKAGES/$1/"*.json "$2/"
      (cd "$2" && npm ci --ignore-scripts --no-audit --no-fund --loglevel=error)
      ;;
    *) python "$2" "$PACKAGES/$1.txt" ;;
  esac
}

for name in "$@"; do
  [[ " ${ALL[*]} " == *" $name "* ]] || fail "$name is none of: ${ALL[*]}"
done
step "setting up"
tools/setup.sh servers
step "building the library, the tool and the Kamailio module"
cargo build --release --lib --bins
tools/kamailio-build.sh
for name in "$@"; do
  folder=$SERVERS/$name
  # Other versions, other servers.
  stamp=$({ cat "$SELF"; find "$PACKAGES" -path "$PACKAGES/$name*" -type f -exec cat {} +; } | cksum)
  [ "$(cat "$folder/.installed" 2> /dev/null)" != "$stamp" ] || continue
  step "installing $name"
  rm -rf "$folder"
  mkdir -p "$folder"
  install "$name" "$folder"
  printf '%s\n' "$stamp" > "$folder/.installed"
done
step "the servers"
tests=()
for name in "$@"; do tests+=("${name//-/_}"); done
cargo test --test servers -- --test-threads=2 --nocapture --exact "${tests[@]}"
step "done"
