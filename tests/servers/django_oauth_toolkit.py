# SPDX-License-Identifier: MIT OR Apache-2.0
#
# Starts django-oauth-toolkit with one user and the proxy's client. Run it with the Python of the environment that has it.
#
#   python django_oauth_toolkit.py FOLDER PORT LIFETIME
import pathlib
import sys

import django_site
from common import CLIENT, PHONE, REDIRECT, SECRET, Api, obey, sign_in

folder, port, lifetime = pathlib.Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
base = f"http://127.0.0.1:{port}"

urls = """
from oauth2_provider import urls as oauth
urlpatterns += [path("o/", include(oauth)), *oauth.metadata_urlpatterns]
"""
toolkit = {
    "ACCESS_TOKEN_EXPIRE_SECONDS": lifetime,
    "OIDC_ENABLED": True,
    "OIDC_RSA_PRIVATE_KEY": django_site.rsa_key(),
    "SCOPES": {"openid": "Sign in", "sip": "Telephony"},
}
user = django_site.make(folder, ["oauth2_provider"], urls, OAUTH2_PROVIDER=toolkit)
from oauth2_provider.models import AccessToken, Application, RefreshToken  # noqa: E402

for client, kind in (CLIENT, Application.CLIENT_CONFIDENTIAL), (PHONE, Application.CLIENT_PUBLIC):
    Application.objects.create(
        client_id=client,
        client_secret=SECRET,
        client_type=kind,
        authorization_grant_type=Application.GRANT_AUTHORIZATION_CODE,
        redirect_uris=REDIRECT,
        algorithm=Application.RS256_ALGORITHM,
        skip_authorization=True,
        user=user,
    )
server = django_site.serve(folder, port)


def code(client):
    return sign_in(Api(base), f"{base}/o/authorize/", client, "openid sip")


def revoke():
    """What an administrator does: the tokens of the user are deleted."""
    RefreshToken.objects.filter(user=user).delete()
    AccessToken.objects.filter(user=user).delete()


# Its OpenID document does not name this one; that of RFC 8414 does.
obey(server, code, revoke, issuer=f"{base}/o", endpoints={"revocation_endpoint": f"{base}/o/revoke_token/"})
