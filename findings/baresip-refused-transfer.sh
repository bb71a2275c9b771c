#!/bin/bash
# SPDX-License-Identifier: MIT OR Apache-2.0
#
# baresip 1.0.0 (Debian 1.0.0-4+b3): when its REFER within a call is refused (here 403), it says "transfer failed" and then ends the
# call, too: a BYE follows at once. Nothing in RFC 3515 ends the call, and Linphone 5.1 keeps it. So a proxy that refuses a transfer
# costs users of baresip their call.
set -euo pipefail
work=$(mktemp -d)
trap 'kill $(jobs -p) 2> /dev/null || true; wait 2> /dev/null || true; rm -rf "$work"' EXIT
cd "$work"
apt-get -o APT::Sandbox::User=root -qq download baresip-core=1.0.0-4+b3 libre0=1.1.0-1+b2 librem0=0.6.0-4 > /dev/null
for file in *.deb; do dpkg -x "$file" root; done
libraries=$(dirname "$(find root -name 'libre.so.0*' | head -1)")
free() { python3 -c 'import socket; s = socket.socket(type=2); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'; }
port=$(free)
cat > config << CONF
sip_listen 127.0.0.1:$(free)
net_interface 127.0.0.1
audio_player aubridge,a
audio_source aubridge,a
audio_alert aubridge,a
module_path $work/root/usr/lib/baresip/modules
module stdio.so
module g711.so
module aubridge.so
module_app account.so
module_app menu.so
CONF
echo "<sip:alice@a.test;transport=udp>;outbound=\"sip:127.0.0.1:$port;transport=udp\";regint=0" > accounts
: > contacts
cat > peer.py << 'PY'
import re, socket, sys
peer = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
peer.bind(("127.0.0.1", int(sys.argv[1])))
peer.settimeout(20)
SDP = "v=0\r\no=b 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=audio 9 RTP/AVP 0\r\na=inactive\r\n"
while True:
    text, source = peer.recvfrom(9000)
    text = text.decode()
    method = text.split(" ")[0]
    print(method, flush=True)
    if method == "ACK":
        continue
    head = re.findall(r"(?mi)^(?:Via|From|To|Call-ID|CSeq):.*$", text)
    head = [line.strip() + (";tag=b" if line.startswith("To") and "tag=" not in line else "") for line in head]
    body = SDP if method == "INVITE" else ""
    more = ["Contact: <sip:bob@127.0.0.1:%s>" % sys.argv[1]] + (["Content-Type: application/sdp"] if body else [])
    status = "403 Forbidden" if method == "REFER" else "200 OK"
    peer.sendto("\r\n".join([f"SIP/2.0 {status}", *head, *more, f"Content-Length: {len(body)}", "", body]).encode(), source)
    if method == "BYE":
        break
PY
timeout 60 python3 peer.py "$port" > seen &
(sleep 3; echo "/dial sip:bob@a.test"; sleep 4; echo "/transfer sip:carol@a.test"; sleep 10) |
  LD_LIBRARY_PATH=$libraries HOME=$work timeout 40 root/usr/bin/baresip -4 -f "$work" > log 2>&1 || true
tr '\n' ' ' < seen
grep -a -o 'transfer failed: 403 Forbidden' log
[ "$(grep -A1 -x REFER seen | tail -1)" = BYE ]
