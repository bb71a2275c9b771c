#!/bin/bash
# SPDX-License-Identifier: MIT OR Apache-2.0
#
# A registrar offers Digest with SHA-256 and with MD5 in one 401 (RFC 8760 section 2.3: the one that it prefers comes first, and a
# client takes the first that it knows). Two phones of Debian 12 that know MD5 only do something else: baresip 1.0.0 (1.0.0-4+b3)
# answers neither order, so it never registers, although it registers where MD5 stands alone. Twinkle 1.10.2 (1.10.2+dfsg-2) looks
# at the last challenge only: it registers if MD5 comes last. So a registrar cannot offer both while phones change over.
set -euo pipefail
export LC_ALL=C
work=$(mktemp -d)
trap 'kill $(jobs -p) 2> /dev/null || true; wait 2> /dev/null || true; rm -rf "$work"' EXIT
cd "$work"
mkdir -p debs/partial root
: > nothing
apt-get -o APT::Sandbox::User=root -o Dir::State::status="$work/nothing" -o Dir::Cache::archives="$work/debs" -qq -y --download-only \
  --no-install-recommends install baresip-core=1.0.0-4+b3 twinkle-console=1:1.10.2+dfsg-2 > apt.log 2>&1
rm debs/libc6_* debs/libc-bin_* 2> /dev/null || true     # those of this machine fit its loader
for file in debs/*.deb; do dpkg -x "$file" root; done
libraries=$(find root -name '*.so*' -path '*lib/x86_64-linux-gnu*' -printf '%h\n' | sort -u | sed "s|^|$work/|" | paste -sd:)
cat > registrar.py << 'PY'
import re, socket, sys
peer = socket.socket(type=socket.SOCK_DGRAM)
peer.bind(("127.0.0.1", 0))
print(peer.getsockname()[1], flush=True)
peer.settimeout(8)
try:
    while True:
        text, source = peer.recvfrom(9000)
        head = [line.strip() for line in re.findall(r"(?mi)^(?:Via|From|To|Call-ID|CSeq):.*$", text.decode())]
        head = [line + ";tag=r" if line.startswith("To") else line for line in head]
        answered = re.search(r"(?mi)^Authorization: .*nonce=\"n-([^\"]*)", text.decode())
        offers = ['WWW-Authenticate: Digest realm="a.test", nonce="n-%s", algorithm=%s, qop="auth"' % (a, a) for a in sys.argv[1:]]
        lines = ["SIP/2.0 200 OK", *head] if answered else ["SIP/2.0 401 Unauthorized", *head, *offers]
        peer.sendto("\r\n".join([*lines, "Content-Length: 0", "", ""]).encode(), source)
        if answered:
            sys.exit(print("answers", answered[1]))
except TimeoutError:
    print("answers nothing")
PY
free() { python3 -c 'import socket; s = socket.socket(type=2); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'; }
try() {    # phone, algorithms
  local all=$* port=
  local home=$work/${all// /-} run=(baresip -4 -f "$work/${all// /-}")
  [ "$1" = baresip ] || run=(twinkle-console line.cfg)
  mkdir -p "$home/.twinkle"
  timeout 20 python3 registrar.py "${@:2}" > "$home/seen" &
  until [ -n "$port" ]; do port=$(head -n 1 "$home/seen" 2> /dev/null) || sleep 0.1; done
  printf '%s\n' "sip_listen 127.0.0.1:$(free)" 'net_interface 127.0.0.1' "module_path $work/root/usr/lib/baresip/modules" \
    'module stdio.so' 'module g711.so' 'module_app account.so' 'module_app menu.so' > "$home/config"
  echo "<sip:alice@a.test>;auth_user=alice;auth_pass=secret;outbound=\"sip:127.0.0.1:$port\";regint=60" > "$home/accounts"
  printf '%s\n' "sip_port=$(free)" dev_{ringtone,speaker,mic}=alsa:null > "$home/.twinkle/twinkle.sys"
  printf '%s\n' user_name=alice user_domain=a.test auth_realm=a.test auth_name=alice auth_pass=secret "outbound_proxy=127.0.0.1:$port" \
    all_requests_to_proxy=yes register_at_startup=yes > "$home/.twinkle/line.cfg"
  (sleep 9; echo quit) | LD_LIBRARY_PATH=$libraries HOME=$home timeout 12 "root/usr/bin/${run[@]}" > "$home/log" 2>&1 || true
  echo "$all $(tail -n 1 "$home/seen")"
}
for phone in baresip twinkle; do for offer in MD5 'SHA-256 MD5' 'MD5 SHA-256'; do try $phone $offer & done; done > result
wait && sort result
[ "$(sort result | cut -d' ' -f2- | paste -sd,)" = "MD5 SHA-256 answers nothing,MD5 answers MD5,SHA-256 MD5 answers nothing,MD5 SHA-256 answers nothing,MD5 answers MD5,SHA-256 MD5 answers MD5" ]
