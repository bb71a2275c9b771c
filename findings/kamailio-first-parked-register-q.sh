#!/bin/bash
# SPDX-License-Identifier: MIT OR Apache-2.0
#
# Kamailio 5.6.3: a REGISTER that is the first message of its worker and is suspended (t_suspend, here by async_route) is stored with
# q=0 when it goes on, so the phone is the last choice of a call; the second one has no q, as it was sent. tm numbers the copy of a
# suspended message one less than the message (t_reply.c), which is 0 here, and registrar compares that with the number of the
# message for which a script has set a q (save.c), which is 0 before any has.
set -euo pipefail
VERSION=5.6.3-2
work=$(mktemp -d)
trap '[ ! -f "$work/pid" ] || kill "$(cat "$work/pid")" 2> /dev/null || true; sleep 1; rm -rf "$work"' EXIT
cd "$work"
apt-get -o APT::Sandbox::User=root -qq download kamailio="$VERSION" > /dev/null
for file in *.deb; do dpkg -x "$file" root; done
modules=$(dirname "$(find root -name registrar.so)")
port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
cat > kamailio.cfg << CFG
debug=1
children=1
disable_tcp=yes
listen=udp:127.0.0.1:$port
$(printf 'loadmodule "%s.so"\n' sl tm pv usrloc registrar async)
request_route { async_route("SAVE", "1"); }
route[SAVE] { save("location"); }
CFG
root/usr/sbin/kamailio -f kamailio.cfg -L "$modules" -P "$work/pid" -w "$work" -Y "$work" -m 32 -M 4 -E -DD > log 2>&1 &
cat > phone.py << 'PY'
import re, socket, sys, time
port, phone = int(sys.argv[1]), socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
phone.settimeout(10)
time.sleep(3)
for name in "first", "second":
    phone.sendto((f"REGISTER sip:a.test SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.1:{phone.getsockname()[1]};branch=z9hG4bK{name};rport\r\n"
                  f"From: <sip:{name}@a.test>;tag=1\r\nTo: <sip:{name}@a.test>\r\nCall-ID: {name}\r\nCSeq: 1 REGISTER\r\n"
                  f"Contact: <sip:{name}@127.0.0.1:9>\r\nExpires: 60\r\nMax-Forwards: 9\r\nContent-Length: 0\r\n\r\n").encode(),
                 ("127.0.0.1", port))
    while not (reply := phone.recv(4096).decode()).startswith("SIP/2.0 200"):
        pass
    contact = re.search("Contact: (.*)", reply)[1].strip()
    print(f"{name}: {contact}")
PY
python3 phone.py "$port" | tee seen
grep -q '^first: .*;q=0;' seen && ! grep '^second: ' seen | grep -q 'q='
