#!/bin/bash
# SPDX-License-Identifier: MIT OR Apache-2.0
#
# Kamailio 5.6.3 (Debian 12): a module whose name has an underscore cannot have event routes under its name. The part of an
# event route's name before the colon takes letters, digits and "-". The scanner prints what it cannot read to standard
# output and goes on, so event_route[my_module:start] is accepted, and is the route "module:start". "kamailio -c" says that
# the file is good. The scanners of 6.0, 6.1 and 6.2-dev have the same rule.
#
# Seen: "my_" on standard output, "config file ok", and a second event_route[module:start] is a "duplicate route".
set -euo pipefail

WORK=$(mktemp -d)
trap 'rm -rf "$WORK"' EXIT
cd "$WORK"
fail() { echo "changed: $*" >&2; exit 1; }

apt-get download -qq kamailio=5.6.3-2 > log 2>&1 || { cat log >&2; fail "kamailio 5.6.3-2 is not to be had"; }
dpkg -x kamailio_5.6.3-2_*.deb root
KAMAILIO=$WORK/root/usr/sbin/kamailio
MODULES=$(dirname "$(find "$WORK/root" -name pv.so | head -n 1)")

configuration() {
  cat << END
#!KAMAILIO
listen=udp:127.0.0.1:15999
loadmodule "$MODULES/pv.so"
request_route { exit; }
event_route[my_module:start] { exit; }
$1
END
}

configuration '' > one.cfg
configuration 'event_route[module:start] { exit; }' > two.cfg
"$KAMAILIO" -c -f one.cfg > one.out 2> one.err || fail "the name is refused: $(tail -n 1 one.err)"
grep -q '^my_' one.out || fail "nothing is printed of the name"
grep -q 'config file ok' one.err || fail "the file is not good"
if "$KAMAILIO" -c -f two.cfg > two.out 2> two.err; then fail "the two routes are different ones"; fi
grep -q 'duplicate route' two.err || fail "the two routes are refused for another reason: $(tail -n 1 two.err)"
echo "as described: my_module:start is the event route module:start, and nothing warns"
