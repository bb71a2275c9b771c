# SPDX-License-Identifier: MIT OR Apache-2.0
#
# The authorization server that Authlib's documentation leads to: Flask, RFC 9068 access tokens, introspection, revocation,
# and users with a number as their subject. Run it with the Python of the environment that has it.
#
#   python authlib.py FOLDER PORT LIFETIME
import pathlib
import sys
import threading
import time

sys.path = [place for place in sys.path if pathlib.Path(place or ".").resolve() != pathlib.Path(__file__).parent.resolve()]
from authlib.integrations.flask_oauth2 import AuthorizationServer  # noqa: E402
from authlib.oauth2 import rfc6749, rfc7009, rfc7636, rfc7662, rfc9068  # noqa: E402
from authlib.oauth2.rfc6749 import ClientMixin, TokenMixin, list_to_scope, scope_to_list  # noqa: E402
from authlib.oidc.core import OpenIDCode, UserInfo  # noqa: E402
from flask import Flask, jsonify, request  # noqa: E402
from joserfc.jwk import KeySet, RSAKey  # noqa: E402
from werkzeug.serving import make_server  # noqa: E402

sys.path.insert(0, str(pathlib.Path(__file__).parent))
from common import CLIENT, PHONE, REDIRECT, SECRET, USER, Api, obey, sign_in  # noqa: E402

port, lifetime = int(sys.argv[2]), int(sys.argv[3])
issuer = f"http://127.0.0.1:{port}"
app = Flask("provider")
key = RSAKey.generate_key(2048, {"kid": "one", "use": "sig", "alg": "RS256"})
codes, tokens = {}, []


class User:
    name = USER

    def get_user_id(self):
        return 1


user = User()


class Client(ClientMixin):
    def __init__(self, name, method):
        self.name, self.method = name, method

    def get_client_id(self):
        return self.name

    def get_default_redirect_uri(self):
        return REDIRECT

    def get_allowed_scope(self, scope):
        return list_to_scope([word for word in scope_to_list(scope or "") if word in ("openid", "sip")])

    def check_redirect_uri(self, redirect_uri):
        return redirect_uri == REDIRECT

    def check_client_secret(self, client_secret):
        return client_secret == SECRET

    def check_endpoint_auth_method(self, method, endpoint):
        return method == self.method

    def check_response_type(self, response_type):
        return response_type == "code"

    def check_grant_type(self, grant_type):
        return grant_type in ("authorization_code", "refresh_token")


clients = {CLIENT: Client(CLIENT, "client_secret_basic"), PHONE: Client(PHONE, "none")}


class Code(dict):
    def get_redirect_uri(self):
        return self["redirect_uri"]

    def get_scope(self):
        return self["scope"]

    def get_nonce(self):
        return self["nonce"]

    def get_auth_time(self):
        return self["time"]

    def get_acr(self):
        return None

    def get_amr(self):
        return None

    def __getattr__(self, name):
        return self.get(name)


class Token(TokenMixin):
    def __init__(self, values, client):
        self.values, self.client, self.issued, self.revoked = values, client, int(time.time()), False

    def check_client(self, client):
        return client is self.client

    def get_scope(self):
        return self.values["scope"]

    def get_expires_in(self):
        return self.values["expires_in"]

    def is_expired(self):
        return self.issued + self.get_expires_in() < time.time()

    def is_revoked(self):
        return self.revoked

    def get_user(self):
        return user

    def get_client(self):
        return self.client


def find(text, kind):
    return next((token for token in tokens if token.values.get(kind) == text), None)


class CodeGrant(rfc6749.AuthorizationCodeGrant):
    TOKEN_ENDPOINT_AUTH_METHODS = ["client_secret_basic", "none"]

    def save_authorization_code(self, code, request):
        data, payload = request.payload.data, request.payload
        codes[code] = Code(redirect_uri=payload.redirect_uri, scope=payload.scope, nonce=data.get("nonce"), code=code,
                           client=request.client.name, time=int(time.time()), code_challenge=data.get("code_challenge"),
                           code_challenge_method=data.get("code_challenge_method"))  # fmt: skip

    def query_authorization_code(self, code, client):
        found = codes.get(code)
        return found if found and found["client"] == client.name else None

    def delete_authorization_code(self, authorization_code):
        del codes[authorization_code["code"]]

    def authenticate_user(self, authorization_code):
        return user


class IdToken(OpenIDCode):
    def exists_nonce(self, nonce, request):
        return False

    def resolve_client_private_key(self, client):
        return key

    def get_client_algorithm(self, client):
        return "RS256"

    def get_client_claims(self, client):
        return {"iss": issuer}

    def get_encode_header(self, client):
        return {"alg": "RS256", "kid": "one"}

    def generate_user_info(self, user, scope):
        return UserInfo(sub=str(user.get_user_id()))


class Refresh(rfc6749.RefreshTokenGrant):
    TOKEN_ENDPOINT_AUTH_METHODS = ["client_secret_basic", "none"]
    INCLUDE_NEW_REFRESH_TOKEN = True

    def authenticate_refresh_token(self, refresh_token):
        token = find(refresh_token, "refresh_token")
        return token if token and not token.revoked else None

    def authenticate_user(self, refresh_token):
        return user

    def revoke_old_credential(self, refresh_token):
        refresh_token.revoked = True


class Bearer(rfc9068.JWTBearerTokenGenerator):
    def get_jwks(self):
        return KeySet([key])

    def get_audiences(self, client, user, scope):
        return "sip"

    def get_extra_claims(self, client, grant_type, user, scope):
        return {"preferred_username": user.name}


class Endpoint:
    def query_token(self, token_string, token_type_hint):
        return find(token_string, "access_token") or find(token_string, "refresh_token")


class Introspection(Endpoint, rfc7662.IntrospectionEndpoint):
    def check_permission(self, token, client, request):
        return client.name == CLIENT

    def introspect_token(self, token):
        return {
            "active": True,
            "client_id": token.client.name,
            "token_type": "Bearer",
            "username": USER,
            "scope": token.get_scope(),
            "sub": user.get_user_id(),
            "aud": "sip",
            "iss": issuer,
            "exp": token.issued + token.get_expires_in(),
            "iat": token.issued,
        }


class Revocation(Endpoint, rfc7009.RevocationEndpoint):
    CLIENT_AUTH_METHODS = ["client_secret_basic", "none"]

    def revoke_token(self, token, request):
        token.revoked = True


server = AuthorizationServer(app, clients.get, lambda values, request: tokens.append(Token(values, request.client)))
expires = lambda client, grant_type: lifetime  # noqa: E731
generator = Bearer(issuer, refresh_token_generator=lambda **_: __import__("secrets").token_urlsafe(32), expires_generator=expires)
server.register_token_generator("default", generator)
server.register_grant(CodeGrant, [IdToken(require_nonce=False), rfc7636.CodeChallenge(required=True)])
server.register_grant(Refresh)
server.register_endpoint(Introspection)
server.register_endpoint(Revocation)


@app.get("/authorize")
def authorize():
    """The user is signed in and agrees to everything."""
    return server.create_authorization_response(grant_user=user, grant=server.get_consent_grant(end_user=user))


app.post("/token", endpoint="token")(server.create_token_response)
app.post("/introspect", endpoint="introspect")(lambda: server.create_endpoint_response("introspection"))
app.post("/revoke", endpoint="revoke")(lambda: server.create_endpoint_response("revocation"))
app.get("/jwks", endpoint="jwks")(lambda: jsonify(KeySet([key]).as_dict(private=False)))


@app.get("/.well-known/openid-configuration")
def metadata():
    names = {"authorization_endpoint": "authorize", "token_endpoint": "token", "jwks_uri": "jwks"}
    names |= {"introspection_endpoint": "introspect", "revocation_endpoint": "revoke"}
    lists = {"response_types_supported": ["code"], "subject_types_supported": ["public"]}
    lists |= {"id_token_signing_alg_values_supported": ["RS256"], "code_challenge_methods_supported": ["S256"]}
    return jsonify({"issuer": issuer} | {name: f"{issuer}/{path}" for name, path in names.items()} | lists)


class Running:
    """What common.obey ends."""

    def terminate(self):
        http.shutdown()

    def wait(self):
        pass


def code(client):
    return sign_in(Api(issuer), f"{issuer}/authorize", client, "openid sip")


def revoke():
    for token in tokens:
        token.revoked = True


import os  # noqa: E402

os.environ["AUTHLIB_INSECURE_TRANSPORT"] = "1"
http = make_server("127.0.0.1", port, app, threaded=True)
threading.Thread(target=http.serve_forever, daemon=True).start()
obey(Running(), code, revoke, issuer=issuer)
