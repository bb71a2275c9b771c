#!/bin/bash
# SPDX-License-Identifier: MIT OR Apache-2.0
#
# The Debian packages, built in each Debian and then used in a fresh one: installed, a phone registers after one line was
# edited, upgraded with its sessions kept, the sign-in page started, purged. Run it as root on a machine where 'make test' has run.
#
#   tools/test-packages.sh [SUITE ...]     default: bookworm trixie
set -euo pipefail
cd "$(dirname "$(readlink -f "$0")")/.."
PATH=$PATH:$HOME/.cargo/bin
. tools/debian.sh
[ ! -x target/node/bin/node ] || PATH=$PWD/target/node/bin:$PATH

WORK=$PWD/target/packages
KIT=$PWD/target/kit
PORT=17460
ISSUER_PORT=17461
PAGE=http://127.0.0.1:17462
AOR=sip:alice@example.test
pids=()

fail() { printf 'packages: %s\n' "$*" >&2; exit 1; }
say() { printf 'packages: %s\n' "$*"; }
end() {
  local pid
  for pid in ${pids[@]+"${pids[@]}"}; do kill "$pid" 2> /dev/null || true; done
  pids=()
}
trap end EXIT

# Becomes a command in that Debian, which sees this project, the toolchain and the network.
enter() {
  local root=$1 shared=(/etc/resolv.conf "$PWD") folder
  shift
  for folder in "$HOME/.cargo" "$HOME/.rustup"; do
    [ ! -d "$folder" ] || shared+=("$folder")
  done
  enter_debian "$root" "${shared[@]}" -- "$@"
}
within() { (enter "$@"); }

bring() {    # suite, folder, mmdebstrap's variant, packages
  bring_debian "$@" || fail "Debian $1 could not be brought (see $2.log)"
}

build() {    # suite: packages of two revisions
  local builder=$WORK/$1/builder revision out
  bring "$1" "$builder" buildd ca-certificates,git,python3
  within "$builder" git config --global safe.directory "$PWD"
  for revision in 1 2; do
    say "$1: building revision $revision"
    within "$builder" bash -c "cd '$PWD' && tools/deb.sh $revision" > "$WORK/$1/build-$revision.log" 2>&1 ||
      { tail -n 20 "$WORK/$1/build-$revision.log" >&2; fail "$1: revision $revision was not built"; }
    out=$(. "$builder/etc/os-release" && echo "target/deb/$ID-${VERSION_ID:-unstable}")
    rm -rf "$WORK/$1/$revision"
    mkdir -p "$WORK/$1/$revision"
    cp "$out"/*.deb "$WORK/$1/$revision/"
  done
}

install_revision() {    # root, suite, revision
  mkdir -p "$1/root/debs"
  cp "$WORK/$2/$3"/*.deb "$1/root/debs/"
  within "$1" bash -c 'apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
    $(ls /root/debs/*.deb | grep -v dbgsym)' > "$1.install-$3.log" 2>&1 ||
    { tail -n 20 "$1.install-$3.log" >&2; fail "$2: revision $3 cannot be installed"; }
  rm -rf "$1/root/debs"
}

start_proxy() {    # root, example, arguments
  local root=$1 example=$2
  shift 2
  enter "$root" kamailio -DD -E -u kamailio -g kamailio -m 64 -M 8 -Y /tmp -w /tmp \
    -f "/usr/share/doc/kamailio-oauth-module/examples/kamailio/$example" -A PORT=$PORT -A 'CTL_SOCKET="unix:/tmp/ctl"' \
    -A 'CONFIG_FILE="/etc/kamailio/sipoauth.toml"' "$@" > "$root.kamailio.log" 2>&1 &
  pids+=($!)
  PROXY=$!
  local i
  for i in $(seq 100); do
    if within "$root" sipoauth register --server 127.0.0.1:$PORT --aor "$AOR" > /dev/null 2>&1; [ $? = 2 ]; then return; fi
    kill -0 "$PROXY" 2> /dev/null || { tail -n 20 "$root.kamailio.log" >&2; fail "$example does not start"; }
    sleep 0.2
  done
  fail "$example does not answer (see $root.kamailio.log)"
}

end_process() {    # its pid
  local pid left=()
  kill "$1"
  wait "$1" 2> /dev/null || true
  for pid in "${pids[@]}"; do [ "$pid" = "$1" ] || left+=("$pid"); done
  pids=(${left[@]+"${left[@]}"})
}
stop_proxy() { end_process "$PROXY"; }

start_issuer() {
  PORT=$ISSUER_PORT node "$KIT/authorization-server.mjs" > "$WORK/issuer.log" 2>&1 &
  pids+=($!)
  local i
  for i in $(seq 100); do
    grep -q READY "$WORK/issuer.log" && return
    sleep 0.2
  done
  fail "the authorization server does not start (see $WORK/issuer.log)"
}

login() {    # further arguments of login.mjs; prints JSON
  node "$KIT/login.mjs" --issuer "http://127.0.0.1:$ISSUER_PORT" --user alice --resource https://sip.example.test/es256 "$@"
}

field() { node -e 'process.stdout.write(JSON.parse(require("fs").readFileSync(0))[process.argv[1]] ?? "")' "$1"; }

# The page sends a browser to the server of the configuration.
sign_in_page() {    # suite, root
  local suite=$1 root=$2 page i
  [ -z "$(find "$root/etc/systemd/system" -name 'sipoauth-signin.service')" ] || fail "$suite: the page is enabled without its settings"
  printf '[sign_in_page]\nurl = "%s"\nlisten = "%s"\n' "$PAGE" "${PAGE#http://}" >> "$root/etc/kamailio/sipoauth.toml"
  # As the unit does it, without the systemd that this Debian has not started.
  enter "$root" bash -c 'exec setpriv --reuid=kamailio --regid=kamailio --init-groups $(sed -n "s/^ExecStart=//p" /usr/lib/systemd/system/sipoauth-signin.service \
    /lib/systemd/system/sipoauth-signin.service 2> /dev/null | head -n 1)' > "$root.page.log" 2>&1 &
  page=$!
  pids+=("$page")
  for i in $(seq 100); do
    [ "$(curl -s "$PAGE/health")" != ok ] || break
    [ "$i" != 100 ] || { cat "$root.page.log" >&2; fail "$suite: the page does not start"; }
    sleep 0.2
  done
  curl -s -o /dev/null -w '%{redirect_url}' "$PAGE/sign-in/corp" > "$root.page-redirect.log"
  grep -q "^http://127.0.0.1:$ISSUER_PORT/.*[?&]client_id=sip-proxy" "$root.page-redirect.log" ||
    fail "$suite: the page does not ask the server (see $root.page-redirect.log)"
  end_process "$page"
  say "$suite: the sign-in page answers"
}

life() {    # suite
  local suite=$1 root=$WORK/$1/fresh login token
  rm -rf "$root"
  bring "$suite" "$root" minbase ca-certificates,netbase
  install_revision "$root" "$suite" 1
  [ "$(within "$root" stat -c '%U %a' /var/lib/kamailio/sipoauth)" = 'kamailio 700' ] || fail "$suite: the folder of the store"
  [ "$(within "$root" stat -c '%U %a' /etc/kamailio/sipoauth.key)" = 'kamailio 600' ] || fail "$suite: the key of the store"
  [ "$(within "$root" stat -c '%U %G %a' /etc/kamailio/sipoauth.toml)" = 'root kamailio 640' ] || fail "$suite: the configuration"
  say "$suite: installed"

  local provider='provider = [{ name = "corp", issuer = "http://127.0.0.1:ISSUER", audience = "https://sip.example.test/es256", aor = "{sip}", domain = "example.test" }]'
  sed -i "s|^# provider = .*|${provider/ISSUER/$ISSUER_PORT}|" "$root/etc/kamailio/sipoauth.toml"
  start_proxy "$root" registrar-sso.cfg
  token=$(login | field access_token)
  printf '%s' "$token" | within "$root" sipoauth register --server 127.0.0.1:$PORT --aor "$AOR" --token - > "$root.register.log" 2>&1 ||
    { cat "$root.register.log" >&2; fail "$suite: the phone does not register"; }
  stop_proxy
  say "$suite: one line was edited, and a phone registers with a token"

  sed -i -e 's/^# store/store/' -e "s/domain = \"example.test\" }/domain = \"example.test\", client_id = \"sip-proxy\", client_secret = \"proxy-secret\" }/" \
    "$root/etc/kamailio/sipoauth.toml"
  start_proxy "$root" desk-phone-code.cfg
  login=$(login --client sip-proxy --scope 'openid sip profile offline_access' --code-only)
  within "$root" sipoauth register --server 127.0.0.1:$PORT --aor "$AOR" --state /root/phone --code "$(field code <<< "$login")" \
    --code-verifier "$(field code_verifier <<< "$login")" --redirect-uri "$(field redirect_uri <<< "$login")" > "$root.code.log" 2>&1 ||
    { cat "$root.code.log" >&2; fail "$suite: the phone does not sign in"; }
  stop_proxy
  install_revision "$root" "$suite" 2
  grep -q '^store' "$root/etc/kamailio/sipoauth.toml" || fail "$suite: the upgrade has changed the configuration"
  start_proxy "$root" desk-phone-code.cfg
  # A proof must be younger than the proxy's memory of proofs, and its Date counts whole seconds.
  sleep 2
  within "$root" sipoauth register --pop --state /root/phone > "$root.pop.log" 2>&1 ||
    { cat "$root.pop.log" >&2; fail "$suite: the session is gone after the upgrade"; }
  stop_proxy
  [ "$(within "$root" stat -c '%U %G %a' /etc/kamailio/sipoauth.toml)" = 'root kamailio 640' ] || fail "$suite: the configuration after the upgrade"
  say "$suite: upgraded, and the session goes on"

  sign_in_page "$suite" "$root"
  within "$root" bash -c 'DEBIAN_FRONTEND=noninteractive apt-get purge -y -qq kamailio-oauth-module sipoauth sipoauth-signin libsipoauth0' > "$root.purge.log" 2>&1 ||
    fail "$suite: purge fails (see $root.purge.log)"
  local left
  for left in /var/lib/kamailio/sipoauth /etc/kamailio/sipoauth.key /etc/kamailio/sipoauth.toml; do
    [ ! -e "$root$left" ] || fail "$suite: $left is left"
  done
  say "$suite: purged, and nothing is left"
}

[ "$(id -u)" = 0 ] || fail "run this as root"
tools/setup.sh test
mkdir -p "$WORK"
[ $# -gt 0 ] || set -- bookworm trixie
for suite in "$@"; do build "$suite"; done
start_issuer
for suite in "$@"; do life "$suite"; done
say "all is well with: $*"
