#!/bin/bash
# SPDX-License-Identifier: MIT OR Apache-2.0
#
# Canaille 0.3.6: a refresh token is good exactly as long as the access token that came with it. So it is of no use for what it
# is for, a new access token when the old one has ended. Its own defaults make the first pair live for ten days and, once it was
# refreshed, all later ones for an hour. Here access tokens live for three seconds, and the refresh token is used after four.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
/usr/bin/python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check 'canaille[front,oidc]==0.3.6' authlib==1.9.10
cat > app.py << 'PY'
import base64, datetime, time
from canaille import create_app
from canaille.app import models
from canaille.backends import Backend
lifetime = 3
app = create_app({"TESTING": True, "SECRET_KEY": "secret", "SERVER_NAME": "as.example",
                  "OAUTH2_TOKEN_EXPIRES_IN": {"authorization_code": lifetime, "refresh_token": lifetime},
                  "CANAILLE": {"DATABASE": "memory"}, "CANAILLE_OIDC": {}})
basic = {"Authorization": "Basic " + base64.b64encode(b"app:secret").decode()}
with app.app_context(), Backend.instance.session():
    user = models.User(user_name="alice", family_name="Able", formatted_name="Alice Able", emails=["alice@example.test"])
    Backend.instance.save(user)
    client = models.Client(client_id="app", client_name="app", client_secret="secret", redirect_uris=["https://rp.example/cb"],
        grant_types=["authorization_code", "refresh_token"], response_types=["code"], scope=["openid"],
        token_endpoint_auth_method="client_secret_basic")
    Backend.instance.save(client)
    client.audience = [client]
    Backend.instance.save(client)
    for pause in 1.5, 4:
        verifier = "v" * 43
        code = models.AuthorizationCode(authorization_code_id=str(pause), code=f"code-{pause}", subject=user, client=client,
            redirect_uri="https://rp.example/cb", scope=["openid"], nonce="n", lifetime=60, challenge=verifier, challenge_method="plain",
            issue_date=datetime.datetime.now(datetime.timezone.utc), auth_time=datetime.datetime.now(datetime.timezone.utc))
        Backend.instance.save(code)
        post = lambda **form: app.test_client().post("/oauth/token", data=form, headers=basic)
        tokens = post(grant_type="authorization_code", code=code.code, code_verifier=verifier, redirect_uri="https://rp.example/cb").json
        time.sleep(pause)
        answer = post(grant_type="refresh_token", refresh_token=tokens["refresh_token"])
        print("lifetime", tokens["expires_in"], "refreshed after", pause, "s:", answer.status_code, answer.json.get("error", "new tokens"))
PY
venv/bin/python -W ignore app.py 2> log | tee seen || { cat log; exit 1; }
diff - seen << 'SEEN'
lifetime 3 refreshed after 1.5 s: 200 new tokens
lifetime 3 refreshed after 4 s: 400 invalid_grant
SEEN
