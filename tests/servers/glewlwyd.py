# SPDX-License-Identifier: MIT OR Apache-2.0
#
# Starts Glewlwyd with one user and the proxy's client.
#
#   python3 glewlwyd.py ROOT FOLDER PORT LIFETIME
#
# ROOT has the unpacked Debian packages, FOLDER takes the database. Access tokens live for LIFETIME seconds.
import gzip
import pathlib
import re
import sqlite3
import subprocess
import sys
import urllib.parse

from common import CLIENT, EMAIL, PASSWORD, PHONE, REDIRECT, SECRET, USER, Api, obey, sign_in, start, wait_for

root, folder = pathlib.Path(sys.argv[1]).resolve(), pathlib.Path(sys.argv[2])
port, lifetime = int(sys.argv[3]), int(sys.argv[4])
base = f"http://127.0.0.1:{port}"

database = sqlite3.connect(folder / "glewlwyd.db")
with gzip.open(root / "usr/share/doc/glewlwyd/database/init.sqlite3.sql.gz", "rt") as script:
    database.executescript(script.read())
database.close()
with gzip.open(root / "usr/share/doc/glewlwyd/glewlwyd.conf.sample.gz", "rt") as sample:
    text = sample.read()
for name, value in {
    "port": port,
    "external_url": f'"{base}"',
    "cookie_domain": '"127.0.0.1"',
    "cookie_secure": 0,
    "static_files_path": f'"{root}/usr/share/glewlwyd/webapp/"',
    "user_module_path": f'"{root}/usr/lib/glewlwyd/user"',
    "user_middleware_module_path": f'"{root}/usr/lib/glewlwyd/user_middleware"',
    "client_module_path": f'"{root}/usr/lib/glewlwyd/client"',
    "user_auth_scheme_module_path": f'"{root}/usr/lib/glewlwyd/scheme"',
    "plugin_module_path": f'"{root}/usr/lib/glewlwyd/plugin"',
}.items():
    text, count = re.subn(rf"(?m)^#?{name}\s*=.*$", f"{name}={value}", text)
    assert count == 1, f"{name}: {count} times in the sample configuration"
text, count = re.subn(r'path\s*=\s*"/var/cache/glewlwyd/glewlwyd.db"', f'path = "{folder}/glewlwyd.db"', text)
assert count == 1, "the sample configuration has no path of the database"
(folder / "glewlwyd.conf").write_text(text)
(root / "usr/lib/glewlwyd/user_middleware").mkdir(exist_ok=True)  # the package forgets it

for command in "genrsa -out {}/key.pem 2048", "rsa -in {}/key.pem -pubout -out {}/key.pub":
    subprocess.run(["openssl", *command.replace("{}", str(folder)).split()], check=True, stderr=subprocess.DEVNULL)

libraries = next(root.glob("usr/lib/*/libulfius.so*")).parent
server = start([root / "usr/bin/glewlwyd", "-c", folder / "glewlwyd.conf"], LD_LIBRARY_PATH=libraries)
wait_for(server, f"{base}/config")

admin = Api(base)
admin.json("POST", "/api/auth", {"username": "admin", "password": "password"})
plugin = {
    "iss": f"{base}/api/oidc",
    "jwt-type": "rsa",
    "jwt-key-size": "256",
    "key": (folder / "key.pem").read_text(),
    "cert": (folder / "key.pub").read_text(),
    "access-token-duration": lifetime,
    "refresh-token-duration": 1209600,
    "code-duration": 600,
    "refresh-token-rolling": True,
    "allow-non-oidc": True,
    "allowed-scope": ["openid"],
    "auth-type-code-enabled": True,
    "auth-type-refresh-enabled": True,
    "pkce-allowed": True,
    "introspection-revocation-allowed": True,
    "introspection-revocation-allow-target-client": True,
    # The name of the user is in no claim unless one is added.
    "additional-parameters": [{"user-parameter": "username", "token-parameter": "preferred_username"}],
    "name-claim": "on-demand",
    "email-claim": "mandatory",
    "subject-type": "public",
    "jwks-show": True,
}
admin.json("POST", "/api/mod/plugin/", {"module": "oidc", "name": "oidc", "display_name": "OIDC", "parameters": plugin})
admin.json("POST", "/api/scope/", {"name": "sip", "display_name": "Telephony", "password_required": True, "scheme": {}})
account = {"username": USER, "password": PASSWORD, "email": EMAIL, "name": "Alice", "enabled": True}
admin.json("POST", "/api/user/", account | {"scope": ["openid", "sip", "g_profile"]})
client = {
    "name": "SIP",
    "enabled": True,
    "redirect_uri": [REDIRECT],
    "authorization_type": ["code", "refresh_token"],
    "scope": ["openid", "sip"],
}
proxy = {"client_id": CLIENT, "confidential": True, "client_secret": SECRET}
proxy["token_endpoint_auth_method"] = ["client_secret_basic", "client_secret_post"]
admin.json("POST", "/api/client/", client | proxy)
admin.json("POST", "/api/client/", client | {"client_id": PHONE, "confidential": False})


def user():
    browser = Api(base)
    browser.json("POST", "/api/auth", {"username": USER, "password": PASSWORD})
    return browser


def code(client):
    """Its pages are a program for browsers, which does just this."""
    browser = user()
    browser.json("PUT", f"/api/auth/grant/{client}", {"scope": "openid sip"})
    return sign_in(browser, f"{base}/api/oidc/auth", client, "openid sip", g_continue="")


def revoke():
    """What the user does on the page of his profile: every refresh token."""
    profile = user()
    for token in filter(lambda token: token["enabled"], profile.json("GET", "/api/oidc/token")):
        profile.json("DELETE", "/api/oidc/token/" + urllib.parse.quote(token["token_hash"], safe=""))


obey(server, code, revoke, issuer=f"{base}/api/oidc")
