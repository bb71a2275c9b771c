# SPDX-License-Identifier: MIT OR Apache-2.0
#
# Starts django-oidc-provider with one user and the proxy's client. Run it with the Python of the environment that has it.
#
#   python django_oidc_provider.py FOLDER PORT LIFETIME
import pathlib
import sys

import django_site
from common import CLIENT, PHONE, REDIRECT, SECRET, Api, obey, sign_in

folder, port, lifetime = pathlib.Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
base = f"http://127.0.0.1:{port}"

(folder / "subjects.py").write_text('''
def name(user):
    """The subject of an ID token is the user name, not the number of a row."""
    return user.username
''')
user = django_site.make(
    folder,
    ["oidc_provider"],
    'urlpatterns += [path("openid/", include("oidc_provider.urls", namespace="oidc_provider"))]',
    SITE_URL=base,
    OIDC_TOKEN_EXPIRE=lifetime,
    OIDC_IDTOKEN_EXPIRE=lifetime,
    OIDC_IDTOKEN_SUB_GENERATOR="subjects.name",
)
from oidc_provider.models import Client, ResponseType, RSAKey, Token  # noqa: E402

RSAKey.objects.create(key=django_site.rsa_key())
for name, kind in (CLIENT, "confidential"), (PHONE, "public"):
    client = Client(name=name, client_id=name, client_type=kind, client_secret=SECRET, require_consent=False)
    client.redirect_uris = [REDIRECT]
    # To introspect, a client needs this scope, and one that is called like the audience of the token.
    client.scope = ["openid", "sip", "token_introspection", CLIENT, PHONE]
    client.save()
    client.response_types.add(ResponseType.objects.get(value="code"))
server = django_site.serve(folder, port)


def code(client):
    return sign_in(Api(base), f"{base}/openid/authorize", client, "openid sip", [("allow", "Authorize")])


def revoke():
    """What an administrator does: the tokens of the user are deleted."""
    Token.objects.filter(user=user).delete()


obey(server, code, revoke, issuer=f"{base}/openid")
