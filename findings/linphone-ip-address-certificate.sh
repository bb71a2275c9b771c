#!/bin/bash
# SPDX-License-Identifier: MIT OR Apache-2.0
#
# Linphone 5.1.65 (belle-sip 5.1.64, Mbed TLS 2.28.3 of Debian 12): a proxy, or an address with settings, that is given by its IP
# address is refused over TLS although the certificate names this address (iPAddress, RFC 5280 section 4.2.1.6, RFC 2818
# section 3.1). OpenSSL finds the same certificate good for it. The same server under a name that the certificate has is
# welcome. Linphone says "registered=-1" and nothing of certificates, so give phones a name.
set -euo pipefail
work=$(mktemp -d)
trap 'kill $(jobs -p) 2> /dev/null || true; wait 2> /dev/null || true; rm -rf "$work"' EXIT
cd "$work"
mkdir -p debs/partial root
: > nothing
apt-get -o APT::Sandbox::User=root -o Dir::State::status="$work/nothing" -o Dir::Cache::archives="$work/debs" -qq -y --download-only \
  --no-install-recommends install linphone-cli=5.1.65-4 libbellesip1=5.1.64+dfsg-2 libmbedx509-1=2.28.3-1 > apt.log 2>&1
rm debs/libc6_* debs/libc-bin_* 2> /dev/null || true     # those of this machine fit its loader
for file in debs/*.deb; do dpkg -x "$file" root; done
libraries=$(find root -name '*.so*' -path '*lib/x86_64-linux-gnu*' -printf '%h\n' | sort -u | sed "s|^|$work/|" | paste -sd:)
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=proxy -keyout key.pem -out certificate.pem \
  -addext subjectAltName=IP:127.0.0.1,DNS:localhost 2> openssl.log
port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
openssl s_server -quiet -www -accept "127.0.0.1:$port" -cert certificate.pem -key key.pem > server.log 2>&1 &
sleep 1
openssl s_client -connect "127.0.0.1:$port" -CAfile certificate.pem -verify_ip 127.0.0.1 < /dev/null 2>&1 | grep -m1 'Verify return code: 0'
for host in 127.0.0.1 localhost; do
  mkdir -p "$host/.local/share/linphone"
  cat > "$host/linphonerc" << RC
[sip]
sip_port=0
sip_tcp_port=0
sip_tls_port=-1
bind_address=127.0.0.1
guess_hostname=0
register_only_when_network_is_up=0
root_ca=$work/certificate.pem
[proxy_0]
reg_proxy=<sip:$host:$port;transport=tls>
reg_identity=sip:alice@example.test
reg_sendregister=1
RC
  (sleep 4; echo quit; sleep 1) | LD_LIBRARY_PATH=$libraries HOME=$work/$host timeout 40 root/usr/bin/linphonec -d 6 -l "$work/$host/log" \
    -c "$work/$host/linphonerc" > /dev/null 2>&1 || true
done
grep -a -m1 -o 'Found certificate depth=.*CN-mismatch' 127.0.0.1/log
grep -a -m1 -o 'SSL handshake failed : X509 - Certificate verification failed' 127.0.0.1/log
grep -a -m1 -o 'SSL handshake finished' localhost/log
