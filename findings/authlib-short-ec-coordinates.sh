#!/bin/bash
# SPDX-License-Identifier: MIT OR Apache-2.0
#
# Authlib 1.9.10 (authlib.jose): the JWK of a P-256 key whose x begins with a zero octet has an x of 31 octets, though RFC
# 7518 section 6.2.1.2 asks for the full 32. Of random keys about one in 128 has such an x or y, so a server that publishes
# its keys so works until a rotation meets one, and readers that compare lengths then refuse its key. joserfc 1.8.0, which
# Authlib names as the successor, writes 32.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check authlib==1.9.10 joserfc==1.8.0 cryptography==50.0.2
"$work/venv/bin/python" -W ignore - << 'PY' | tee "$work/seen"
import base64
from authlib.jose import JsonWebKey
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from joserfc.jwk import ECKey

# The first private value whose public x begins with a zero octet.
value = 1
while (key := ec.derive_private_key(value, ec.SECP256R1()).public_key()).public_numbers().x >> 248:
    value += 1
pem = key.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
print("private value", value)
for name, jwk in ("authlib", JsonWebKey.import_key(pem).as_dict()), ("joserfc", ECKey.import_key(pem.decode()).as_dict()):
    print(name, "x:", len(base64.urlsafe_b64decode(jwk["x"] + "==")), "octets")
PY
diff - "$work/seen" << 'SEEN'
private value 379
authlib x: 31 octets
joserfc x: 32 octets
SEEN
