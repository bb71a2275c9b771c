#!/bin/bash
# SPDX-License-Identifier: MIT OR Apache-2.0
#
# Glewlwyd 2.7.5: the token endpoint has other errors than RFC 6749 section 5.2. A refresh token that is not (or no longer) good
# gets 400 with an empty body, a used code 403 invalid_code, a good code with another redirect_uri 403 unauthorized_client, as if
# the secret were wrong. Clients that wait for invalid_grant, or take 400 without JSON for an outage, never ask the user again.
set -euo pipefail
work=$(mktemp -d)
trap '[ -z "${pid:-}" ] || kill "$pid" 2> /dev/null || true; sleep 1; rm -rf "$work"' EXIT
cd "$work"
mkdir -p debs/partial user_middleware
apt-get -qq install -y --no-install-recommends --download-only -o "Dir::Cache::archives=$work/debs" -o APT::Sandbox::User=root \
  'glewlwyd=2.7.5-*' dbconfig-no-thanks > apt.log
for file in debs/*.deb; do dpkg -x "$file" root; done
zcat root/usr/share/doc/glewlwyd/database/init.sqlite3.sql.gz | python3 -c 'import sqlite3, sys; sqlite3.connect("db").executescript(sys.stdin.read())'
openssl genrsa -out key 2048 2> openssl.log && openssl rsa -in key -pubout -out pub 2> openssl.log
port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
lib=$work/root/usr/lib
cat > conf << CONF
port=$port
external_url="http://127.0.0.1:$port"
api_prefix="api"
cookie_secure=0
database = { type = "sqlite3" path = "$work/db" };
user_module_path="$lib/glewlwyd/user"
user_middleware_module_path="$work/user_middleware"
client_module_path="$lib/glewlwyd/client"
user_auth_scheme_module_path="$lib/glewlwyd/scheme"
plugin_module_path="$lib/glewlwyd/plugin"
CONF
LD_LIBRARY_PATH=$(dirname "$(find "$lib" -name 'libulfius.so*' -print -quit)") root/usr/bin/glewlwyd -c conf > log 2>&1 &
pid=$!
cat > ask.sh << 'ASK'
json() { curl -sSf -b jar -c jar -H 'Content-Type: application/json' -X "$1" "$url/$2" -d "$3"; }
code() { curl -sS -b jar -o /dev/null -w '%{redirect_url}' "$url/oidc/auth?response_type=code&client_id=app&redirect_uri=$cb&scope=openid&nonce=n&g_continue" | sed 's/.*code=\([^&]*\).*/\1/'; }
token() { curl -sS -u app:secret -o answer -w '%{http_code} ' "$url/oidc/token" -d "$@"; }
url=http://127.0.0.1:$1/api cb=http://127.0.0.1/cb
curl -sf -o ready --retry 60 --retry-connrefused --retry-delay 1 "$url/../config"
json POST auth '{"username":"admin","password":"password"}'
json POST mod/plugin/ "$(python3 -c 'import json; print(json.dumps({"module": "oidc", "name": "oidc", "display_name": "o", "parameters": {
  "iss": "http://as", "jwt-type": "rsa", "jwt-key-size": "256", "key": open("key").read(), "cert": open("pub").read(), "access-token-duration": 60,
  "refresh-token-duration": 600, "code-duration": 60, "refresh-token-rolling": True, "auth-type-code-enabled": True, "auth-type-refresh-enabled": True}}))')"
json PUT user/admin '{"username":"admin","scope":["g_admin","openid"],"enabled":true}'
json POST client/ '{"client_id":"app","confidential":true,"client_secret":"secret","token_endpoint_auth_method":["client_secret_basic"],"enabled":true,"redirect_uri":["http://127.0.0.1/cb"],"authorization_type":["code","refresh_token"],"scope":["openid"]}'
json PUT auth/grant/app '{"scope":"openid"}'
used=$(code)
form="grant_type=authorization_code&redirect_uri=$cb&code=$used"
token "$form" && echo "code"
token "$form" && echo "used code: $(cat answer)"
token "grant_type=authorization_code&code=$(code)&redirect_uri=$cb/other" && echo "other redirect_uri: $(cat answer)"
: > answer && token grant_type=refresh_token -d refresh_token=no-longer-good && echo "dead refresh token: $(cat answer)"
ASK
bash -eu ask.sh "$port" | tee seen
diff - seen << 'SEEN'
200 code
403 used code: {"error":"invalid_code"}
403 other redirect_uri: {"error":"unauthorized_client"}
400 dead refresh token: 
SEEN
