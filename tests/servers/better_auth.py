# SPDX-License-Identifier: MIT OR Apache-2.0
#
# Starts Better Auth with one user and the proxy's client.
#
#   python3 better_auth.py INSTALLED FOLDER PORT LIFETIME
#
# INSTALLED has node_modules; the script of the server is copied there, where its imports resolve.
import pathlib
import shutil
import sys

from common import CLIENT, EMAIL, PASSWORD, PHONE, REDIRECT, SECRET, USER, Api, obey, sign_in, start, wait_for

installed, port, lifetime = pathlib.Path(sys.argv[1]), int(sys.argv[3]), int(sys.argv[4])
base = f"http://127.0.0.1:{port}"

script = shutil.copy(pathlib.Path(__file__).with_suffix(".mjs"), installed / "better_auth.mjs")
server = start(["node", script, port, lifetime, CLIENT, SECRET, PHONE, REDIRECT])
wait_for(server, f"{base}/api/auth/ok")
user = {"email": EMAIL, "password": PASSWORD, "name": USER}
Api(base).json("POST", "/api/auth/sign-up/email", user)




def code(client):
    browser = Api(base)
    browser.json("POST", "/api/auth/sign-in/email", user)
    return sign_in(browser, f"{base}/api/auth/oauth2/authorize", client, "openid email offline_access sip")


def revoke():
    # Signing out in the browser ends access tokens, but refresh tokens go on.
    Api(base).json("POST", "/end")


obey(server, code, revoke, issuer=f"{base}/api/auth")
