#!/bin/bash
# SPDX-License-Identifier: MIT OR Apache-2.0
#
# Kamailio 5.6.3: a REGISTER that save() refuses gets two final replies from the line with which the shipped kamailio.cfg registers,
# if (!save("location")) { sl_reply_error(); }. The registrar module has answered already (503, too many Contacts), and
# sl_reply_error() then sends 500. A phone over UDP may see the second one first.
set -euo pipefail
VERSION=5.6.3-2
work=$(mktemp -d)
trap '[ ! -f "$work/pid" ] || kill "$(cat "$work/pid")" 2> /dev/null || true; sleep 1; rm -rf "$work"' EXIT
cd "$work"
apt-get -o APT::Sandbox::User=root -qq download kamailio="$VERSION" > /dev/null
for file in *.deb; do dpkg -x "$file" root; done
grep -A 2 'save("location' root/etc/kamailio/kamailio.cfg | grep -q sl_reply_error
modules=$(dirname "$(find root -name registrar.so)")
port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
cat > kamailio.cfg << CFG
debug=0
children=1
disable_tcp=yes
listen=udp:127.0.0.1:$port
$(printf 'loadmodule "%s.so"\n' sl pv usrloc registrar)
modparam("registrar", "max_contacts", 1)
request_route { if (!save("location")) { sl_reply_error(); } }
CFG
root/usr/sbin/kamailio -f kamailio.cfg -L "$modules" -P "$work/pid" -w "$work" -Y "$work" -m 32 -M 4 -E -DD > log 2>&1 &
cat > phone.py << 'PY'
import socket, sys, time
port, phone = int(sys.argv[1]), socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
phone.settimeout(3)
time.sleep(3)
for count in 1, 2:
    contacts = ", ".join(f"<sip:a@127.0.0.1:{9 + n}>" for n in range(count))
    phone.sendto((f"REGISTER sip:a.test SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.1:{phone.getsockname()[1]};branch=z9hG4bK{count};rport\r\n"
                  f"From: <sip:a@a.test>;tag=1\r\nTo: <sip:a@a.test>\r\nCall-ID: c{count}\r\nCSeq: 1 REGISTER\r\n"
                  f"Contact: {contacts}\r\nExpires: 60\r\nMax-Forwards: 9\r\nContent-Length: 0\r\n\r\n").encode(), ("127.0.0.1", port))
    try:
        while True:
            print(f"{count} Contact(s): {phone.recv(4096).decode().splitlines()[0]}")
    except TimeoutError:
        pass
PY
python3 phone.py "$port" | tee seen
[ "$(cut -d' ' -f1,4 seen | tr '\n' ' ')" = '1 200 2 503 2 500 ' ]
