#!/bin/bash
# SPDX-License-Identifier: MIT OR Apache-2.0
#
# libjwt 1.10.2 (Debian 12), which auth_jwt of OpenSIPS and jwt of Kamailio use there: jwt_decode takes a token only if its header
# has no "typ", or "JWT". The access tokens of RFC 9068 have "at+jwt" (section 2.1), such as Auth0's in the profile of that name,
# and RFC 8725 section 3.11 asks for types of this kind. They get EINVAL, as a text that is no token does, so whoever reads the
# error cannot tell that the server's tokens are good.
#
# Seen: the same claims with a good HS256 signature: no typ 0, "JWT" 0, "jwt" 0, "at+jwt" 22, "application/at+jwt" 22; no token 22.
set -euo pipefail
WORK=$(mktemp -d)
trap 'rm -rf "$WORK"' EXIT
cd "$WORK"
fail() { echo "changed: $*" >&2; exit 1; }

version=1.10.2-1+deb12u1
apt-get download -qq "libjwt0=$version" "libjwt-dev=$version" > log 2>&1 || { cat log >&2; fail "libjwt $version is not to be had"; }
for file in *.deb; do dpkg -x "$file" root; done
library=$(dirname "$(find root -name 'libjwt.so.0')")

cat > decode.c << 'END'
#include <jwt.h>
#include <stdio.h>
#include <string.h>

int main(int argc, char **argv)
{
    jwt_t *jwt = NULL;

    if (argc != 3)
        return 1;
    printf("%d", jwt_decode(&jwt, argv[1], (const unsigned char *)argv[2], (int)strlen(argv[2])));
    return 0;
}
END
cc -I "$(dirname "$(find root -name jwt.h)")" -o decode decode.c -L "$library" -l:libjwt.so.0 -Wl,--unresolved-symbols=ignore-in-shared-libs

key=0123456789abcdef0123456789abcdef
base64url() { openssl base64 -A | tr '+/' '-_' | tr -d '='; }
decode() { # the header
  local text
  text=$(printf '%s' "$1" | base64url).$(printf '{"iss":"https://login.example.com","sub":"alice"}' | base64url)
  LD_LIBRARY_PATH=$library ./decode "$text.$(printf '%s' "$text" | openssl dgst -sha256 -hmac "$key" -binary | base64url)" "$key"
}
seen="$(decode '{"alg":"HS256"}')"
for type in JWT jwt at+jwt application/at+jwt; do
  seen+=" $(decode "{\"typ\":\"$type\",\"alg\":\"HS256\"}")"
done
seen+=" $(LD_LIBRARY_PATH=$library ./decode no.token "$key")"
echo "$seen"
[ "$seen" = "0 0 0 22 22 22" ] || fail "$seen"
