#!/bin/bash
# SPDX-License-Identifier: MIT OR Apache-2.0
#
# Phones that 'make test' does not install: PJSIP (PyPI) and Asterisk (Debian sid), at a real Kamailio. They go below
# target/phones. A phone that cannot be had is said aloud, and counted at the end. Run it as root.
set -uo pipefail
cd "$(dirname "$(readlink -f "$0")")/.."
PATH=$PATH:$HOME/.cargo/bin
. tools/debian.sh
PHONES=$PWD/target/phones
PJSIP=pjsua2-python==2.15.1.post1

say() { printf 'phones: %s\n' "$*"; }

pjsip() {
  [ ! -e "$PHONES/pjsip/pjsua2" ] || return 0
  python3 -m pip --version > /dev/null 2>&1 || apt-get install -y -qq python3-pip > /dev/null || return 1
  python3 -m pip install --quiet --disable-pip-version-check --root-user-action ignore --no-deps --only-binary :all: \
    --target "$PHONES/pjsip" "$PJSIP"
}

asterisk() {
  bring_debian sid "$PHONES/asterisk/root" extract asterisk,asterisk-modules || return 1
  cat > "$PHONES/asterisk/run" << END
#!/bin/bash
. '$PWD/tools/debian.sh'
enter_debian '$PHONES/asterisk/root' /tmp /etc/passwd /etc/group -- "\$@"
END
  chmod 755 "$PHONES/asterisk/run"
}

[ "$(id -u)" = 0 ] || { say "run this as root: it makes a folder with another Debian in it" >&2; exit 1; }
tools/setup.sh test && cargo build --release --lib && tools/kamailio-build.sh || exit
mkdir -p "$PHONES"
tests=()
passwords=()
absent=()
if pjsip; then
  passwords=(sign_in_page_phones::pjsip sign_in_page_phones::pjsip_with_sha_256)
  tests+=(pjsip_over_udp pjsip_over_tcp one_that_no_rule_names_is_lost_where_both_are_offered)
else
  absent+=(PJSIP)
fi
if asterisk; then tests+=(asterisk_as_a_phone); else absent+=(Asterisk); fi
status=0
# Without a name all would run.
[ ${#tests[@]} = 0 ] || cargo test --test phones -- --test-threads=2 --exact "${tests[@]}" || status=1
# With device passwords of the sign-in page.
[ ${#passwords[@]} = 0 ] || cargo test --test e2e -- --ignored --test-threads=2 --exact "${passwords[@]}" || status=1
[ ${#absent[@]} = 0 ] || say "${#absent[@]} could not be had and were not tested: ${absent[*]}"
exit $status
