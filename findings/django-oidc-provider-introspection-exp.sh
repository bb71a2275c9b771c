#!/bin/bash
# SPDX-License-Identifier: MIT OR Apache-2.0
#
# django-oidc-provider 0.9.0: introspection (RFC 7662) of an access token gives the 'exp' of the ID token that came with it. With
# the default lifetimes (access token 3600 seconds, ID token 600) a token of eleven minutes is "active": true and has an 'exp'
# in the past, so who believes 'exp' refuses it for fifty minutes, and who stores answers until 'exp' stores none.
# Here the ID token lives for one second.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
/usr/bin/python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check django==5.2.19 django-oidc-provider==0.9.0
cd "$work"
cat > urls.py << 'PY'
from django.urls import include, path
urlpatterns = [path("openid/", include("oidc_provider.urls", namespace="oidc_provider"))]
PY
cat > run.py << 'PY'
import json, subprocess, time
import django
from django.conf import settings
settings.configure(
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}}, ALLOWED_HOSTS=["*"],
    INSTALLED_APPS=["django.contrib.auth", "django.contrib.contenttypes", "django.contrib.sessions", "oidc_provider"],
    DEFAULT_AUTO_FIELD="django.db.models.AutoField", ROOT_URLCONF="urls", SECRET_KEY="secret", USE_TZ=True,
    SITE_URL="https://as.example", OIDC_IDTOKEN_EXPIRE=1, OIDC_TOKEN_EXPIRE=3600)
django.setup()
from django.contrib.auth.models import User
from django.core.management import call_command
from django.test import Client as Browser
from oidc_provider.lib.utils.token import create_code
from oidc_provider.models import Client, ResponseType, RSAKey
call_command("migrate", verbosity=0)
RSAKey.objects.create(key=subprocess.check_output(["openssl", "genrsa", "2048"], stderr=subprocess.DEVNULL, text=True))
client = Client(name="rs", client_id="rs", client_type="confidential", client_secret="secret")
client.redirect_uris, client.scope = ["https://rs.example/cb"], ["openid", "token_introspection", "rs"]
client.save()
client.response_types.add(ResponseType.objects.get(value="code"))
code = create_code(User.objects.create_user("alice"), client, ["openid"], "", True)
code.save()
def post(path, **form):
    form |= {"client_id": "rs", "client_secret": "secret"}
    return json.loads(Browser().post(f"/openid/{path}", form).content)
tokens = post("token", grant_type="authorization_code", code=code.code, redirect_uri="https://rs.example/cb")
print("expires_in", tokens["expires_in"])
time.sleep(3)
answer = post("introspect", token=tokens["access_token"])
print("active", answer["active"], "exp is past", answer["exp"] < time.time())
PY
PYTHONPATH=. venv/bin/python -W ignore run.py | tee seen
diff - seen << 'SEEN'
expires_in 3600
active True exp is past True
SEEN
