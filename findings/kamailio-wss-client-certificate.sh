#!/bin/bash
# SPDX-License-Identifier: MIT OR Apache-2.0
#
# Kamailio 5.6.3: the $tls_peer_* variables know the client certificate of a TLS connection, and nothing of the same
# certificate when SIP comes as WebSocket over TLS (RFC 7118). Each look at one then logs
# "Transport protocol is not TLS (bug in config)". A script therefore cannot bind a browser's requests to its certificate.
set -euo pipefail
VERSION=5.6.3-2
work=$(mktemp -d)
trap '[ ! -f "$work/pid" ] || kill "$(cat "$work/pid")" 2> /dev/null || true; sleep 1; rm -rf "$work"' EXIT
cd "$work"
apt-get -o APT::Sandbox::User=root -qq download kamailio{,-tls-modules,-websocket-modules}="$VERSION" > /dev/null
for file in *.deb; do dpkg -x "$file" root; done
modules=$(dirname "$(find root -name tls.so)")
for name in server alice; do
  openssl req -x509 -newkey rsa:2048 -nodes -subj "/CN=$name" -keyout "$name.key" -out "$name.pem" 2> openssl.log
done
port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
cat > kamailio.cfg << CFG
debug=1
children=1
enable_tls=yes
tcp_accept_no_cl=yes
listen=tls:127.0.0.1:$port
$(printf 'loadmodule "%s.so"\n' sl pv tls xhttp websocket)
modparam("tls", "tls_method", "TLSv1.2+")
modparam("tls", "certificate", "$work/server.pem")
modparam("tls", "private_key", "$work/server.key")
modparam("tls", "verify_client", "optional_no_ca")
request_route { sl_send_reply("200", "peer \$tls_peer_subject_cn"); }
event_route[xhttp:request] { ws_handle_handshake(); }
CFG
root/usr/sbin/kamailio -f kamailio.cfg -L "$modules" -P "$work/pid" -w "$work" -Y "$work" -m 32 -M 4 -E -DD > log 2>&1 &
cat > phone.py << 'PY'
import socket, ssl, sys, time
port, context = int(sys.argv[1]), ssl._create_unverified_context()
context.load_cert_chain("alice.pem", "alice.key")
def connect():
    for _ in range(100):
        try:
            return context.wrap_socket(socket.create_connection(("127.0.0.1", port), 10))
        except OSError:
            time.sleep(0.1)
sip = ("OPTIONS sip:a@127.0.0.1 SIP/2.0\r\nVia: SIP/2.0/%s c.invalid;branch=z9hG4bK1;rport\r\nFrom: <sip:a@a.test>;tag=1\r\n"
       "To: <sip:a@127.0.0.1>\r\nCall-ID: 1\r\nCSeq: 1 OPTIONS\r\nMax-Forwards: 9\r\nContent-Length: 0\r\n\r\n")
tls = connect()
tls.sendall((sip % "TLS").encode())
print("TLS:", tls.recv(4096).split(b"\r\n")[0].decode())
wss = connect()
wss.sendall(b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nOrigin: https://a.test\r\n"
            b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: sip\r\n\r\n")
wss.recv(4096)
text = (sip % "WSS").encode()
wss.sendall(bytes([0x81, 0xFE, len(text) >> 8, len(text) & 255, 0, 0, 0, 0]) + text)
print("WSS:", wss.recv(4096)[4:].split(b"\r\n")[0].decode())
PY
python3 phone.py "$port" | tee seen
grep -qx 'TLS: SIP/2.0 200 peer alice' seen && grep -qx 'WSS: SIP/2.0 200 peer <null>' seen
grep -o 'Transport protocol is not TLS (bug in config)' log | sort -u
