# SPDX-License-Identifier: MIT OR Apache-2.0
#
# Starts the portal of LemonLDAP::NG with one user and the proxy's client.
#
#   python3 lemonldap_ng.py ROOT FOLDER PORT LIFETIME
#
# ROOT has the unpacked Debian packages, FOLDER takes its configuration and its sessions.
import json
import pathlib
import subprocess
import sys

import common
from common import CLIENT, EMAIL, PHONE, REDIRECT, SECRET, USER, Api, obey, sign_in, start, wait_for

root, folder = pathlib.Path(sys.argv[1]).resolve(), pathlib.Path(sys.argv[2])
port, lifetime = int(sys.argv[3]), int(sys.argv[4])
base = f"http://127.0.0.1:{port}"
common.PASSWORD = USER  # its demonstration users have their name for a password


def openssl(*words, text=""):
    return subprocess.run(["openssl", *words], check=True, capture_output=True, text=True, input=text).stdout


def client(name, public):
    options = {
        "ClientID": name,
        "Public": int(public),
        "RedirectUris": REDIRECT,
        "RequirePKCE": 1,
        "BypassConsent": 1,
        "IDTokenSignAlg": "RS256",
        "AccessTokenSignAlg": "RS256",
        # Signed tokens, with the claims of the user in them.
        "AccessTokenJWT": 1,
        "AccessTokenClaims": 1,
        "AccessTokenExpiration": lifetime,
        "AdditionalAudiences": "sip",
        "RefreshToken": 1,
        "UserIDAttr": "uid",
    }
    if not public:
        options["ClientSecret"] = SECRET
    return {f"oidcRPMetaDataOptions{option}": value for option, value in options.items()}


configuration = json.loads((root / "var/lib/lemonldap-ng/conf/lmConf-1.json").read_text())
key = openssl("genrsa", "2048")
for name in "conf", "cache", "sessions", "sessions/lock", "psessions", "psessions/lock":
    (folder / name).mkdir()
places = {"Directory": str(folder / "sessions"), "LockDirectory": str(folder / "sessions/lock")}
configuration |= {
    "portal": f"{base}/",
    "domain": "127.0.0.1",
    "key": "of a server that lives for a minute",
    "globalStorageOptions": places | {"generateModule": "Lemonldap::NG::Common::Apache::Session::Generate::SHA256"},
    "persistentStorageOptions": {n: v.replace("sessions", "psessions") for n, v in places.items()},
    "localSessionStorageOptions": {"cache_root": str(folder / "cache"), "namespace": "lemonldap-ng-sessions"},
    "captcha": "::Captcha::None",
    # These would need a library for mail.
    "registerDB": "Null",
    "passwordDB": "Null",
    "portalDisplayResetPassword": 0,
    "notification": 0,
    "issuerDBOpenIDConnectActivation": 1,
    "oidcServiceMetaDataIssuer": base,
    "oidcServicePrivateKeySig": key,
    "oidcServicePublicKeySig": openssl("rsa", "-pubout", text=key),
    "oidcServiceKeyIdSig": "one",
    "oidcServiceAllowAuthorizationCodeFlow": 1,
    "oidcRPMetaDataOptions": {CLIENT: client(CLIENT, False), PHONE: client(PHONE, True)},
    "oidcRPMetaDataExportedVars": {name: {"preferred_username": "uid"} for name in (CLIENT, PHONE)},
}
(folder / "conf/lmConf-1.json").write_text(json.dumps(configuration))
(folder / "lemonldap-ng.ini").write_text(f"""[all]
logLevel = warn
[configuration]
type = File
dirName = {folder}/conf
localStorage = Cache::FileCache
localStorageOptions = {{ 'namespace' => 'config', 'cache_root' => '{folder}/cache' }}
[portal]
staticPrefix = /static
templateDir = {root}/usr/share/lemonldap-ng/portal/templates
languages = en
""")
# Its captcha needs libraries for images also where it shows none.
(folder / "Lemonldap/NG/Portal/Captcha").mkdir(parents=True)
(folder / "Lemonldap/NG/Portal/Captcha/None.pm").write_text("""package Lemonldap::NG::Portal::Captcha::None;
use Mouse;
extends 'Lemonldap::NG::Portal::Main::Plugin';
sub init { return 1 }
1;
""")
(folder / "portal.psgi").write_text(f"""
use Lemonldap::NG::Portal::Main;
use Lemonldap::NG::Portal::UserDB::Demo;
$Lemonldap::NG::Portal::UserDB::Demo::demoAccounts{{'{USER}'}} = {{ uid => '{USER}', cn => 'Alice', mail => '{EMAIL}' }};
Lemonldap::NG::Portal::Main->run({{}});
""")
libraries = [folder, root / "usr/share/perl5", *root.glob("usr/lib/*/perl5/*"), *root.glob("usr/lib/*/perl-base")]
command = ["perl", root / "usr/bin/plackup", "--host", "127.0.0.1", "--port", port, folder / "portal.psgi"]
environment = {"PERL5LIB": ":".join(map(str, libraries)), "LLNG_DEFAULTCONFFILE": folder / "lemonldap-ng.ini"}
server = start(command, **environment)
wait_for(server, f"{base}/.well-known/openid-configuration")


def code(client):
    return sign_in(Api(base), f"{base}/oauth2/authorize", client, "openid sip")


def revoke():
    """What an administrator does in the session explorer: every session is deleted."""
    for session in (folder / "sessions").iterdir():
        if session.is_file():
            session.unlink()


obey(server, code, revoke, issuer=base)
