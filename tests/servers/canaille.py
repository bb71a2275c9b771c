# SPDX-License-Identifier: MIT OR Apache-2.0
#
# Starts Canaille with one user and the proxy's client. Run it with the Python of the environment that has it.
#
#   python canaille.py FOLDER PORT LIFETIME
import json
import pathlib
import re
import subprocess
import sys
import time

from common import CLIENT, EMAIL, PASSWORD, PHONE, REDIRECT, SECRET, USER, Api, obey, sign_in, start, wait_for

folder, port, lifetime = pathlib.Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
base = f"http://127.0.0.1:{port}"
program = pathlib.Path(sys.executable).parent / "canaille"


def canaille(*words):
    command = [program, *words]
    result = subprocess.run(command, env=environment, capture_output=True, text=True, cwd=folder)
    if result.returncode:
        sys.exit(f"canaille {words[0]} {words[1]}: {result.stdout}{result.stderr}")
    return result.stdout


environment = {"CANAILLE_CONFIG": str(folder / "canaille.toml"), "PATH": "/usr/bin"}
configuration = f'''
SECRET_KEY = "of a server that lives for a minute"
SERVER_NAME = "127.0.0.1:{port}"
PREFERRED_URL_SCHEME = "http"
OAUTH2_TOKEN_EXPIRES_IN = {{ authorization_code = {lifetime}, refresh_token = {lifetime} }}

[CANAILLE]
DATABASE = "sql"

[CANAILLE_SQL]
DATABASE_URI = "sqlite:///{folder}/canaille.sqlite"

[CANAILLE_HYPERCORN]
BIND = ["127.0.0.1:{port}"]

[CANAILLE_OIDC]
'''
(folder / "canaille.toml").write_text(configuration)
key = json.loads(canaille("jwk", "create", "rsa", "--format", "json"))
configuration += "ACTIVE_JWKS = [{ " + ", ".join(f"{name} = {json.dumps(key[name])}" for name in key) + " }]\n"
(folder / "canaille.toml").write_text(configuration)
canaille("db", "upgrade")
names = ["--formatted-name", "Alice Able", "--family-name", "Able", "--emails", EMAIL]
canaille("create", "user", "--user-name", USER, "--password", PASSWORD, *names)
ids = {}
for client, method in (CLIENT, "client_secret_basic"), (PHONE, "none"):
    words = ["--client-name", client, "--client-secret", SECRET, "--token-endpoint-auth-method", method]
    words += ["--redirect-uris", REDIRECT, "--response-types", "code", "--client-uri", "https://sip.example.test"]
    words += ["--grant-types", "authorization_code", "--grant-types", "refresh_token"]
    words += ["--scope", "openid", "--scope", "profile"]
    ids[client] = json.loads(canaille("create", "client", "--client-id", client, *words))["id"]
# Only a client of the audience may introspect a token.
canaille("set", "client", ids[CLIENT], "--audience", ids[CLIENT])
canaille("set", "client", ids[PHONE], "--audience", ids[PHONE], "--audience", ids[CLIENT])
server = start([program, "run"], **environment)
wait_for(server, f"{base}/.well-known/openid-configuration")


def code(client):
    # Two tokens of a user in one second are the same text to it, and then it answers 500.
    time.sleep(1.1)
    return sign_in(Api(base), f"{base}/oauth/authorize", client, "openid profile", [("answer", "accept")])


def revoke():
    """What the user does on the page of his applications: every consent is withdrawn."""
    browser = Api(base)
    sign_in(browser, f"{base}/oauth/authorize", CLIENT, "openid profile", [("answer", "accept")])
    _, _, page = browser.send("GET", "/consent/")
    for link in set(re.findall(r'/consent/revoke/[^"]+', page)):
        browser.send("GET", link)


obey(server, code, revoke, issuer=base)
