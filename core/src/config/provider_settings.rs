// SPDX-License-Identifier: MIT OR Apache-2.0
//! What may be written about one authorization server: every key with its type, range and meaning, once.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::setting::{Kind, Setting, SettingValue, Takes, first_fault, settings};
use super::settings::{OneOrMany, Secret, as_it_is, boolean, list, optional_boolean, optional_number, optional_text};

settings! {
    /// One authorization server.
    pub struct ProviderSettings, table OF_A_PROVIDER {
        name: String, "as_it_is", Default::default(), Kind::Text, Takes::Reload,
            "short name for logs";
        issuer: String, "as_it_is", Default::default(), Kind::Text, Takes::Reload,
            "the exact `iss`; may hold `{tenantid}`";
        audience: Vec<String>, "list", Default::default(), Kind::List, Takes::Reload,
            "accepted `aud`; `none` turns the check off and needs `clients`";
        aor: Vec<String>, "list", Default::default(), Kind::List, Takes::Reload,
            "how the user becomes an address: `{claim}` (a SIP URI), `sip:{claim}` (user@host), `sip:{claim}@{domain}`; several are tried, a list claim may match with any element, an integer counts as its decimal text, paths are dotted. A token stands for 64 addresses at most, the first that are made; `sipoauth token explain` names values that are neither text nor integer, and what is beyond 64. Filters: `{phone|e164}`, `{email|local}` (what is before the `@`; only where all users are of one mail domain, for the domain is dropped), `{upn|lower}`, `{email|verified}` (counts only when `email_verified` is true; so with every claim), also one after the other. `email` and `phone_number` may be what a user has typed: without `verified` (or `required_claims`) the log warns at the start";
        domain: String, "as_it_is", Default::default(), Kind::Text, Takes::Reload,
            "what `{domain}` stands for";
        domains: Vec<String>, "list", Default::default(), Kind::List, Takes::Reload,
            "SIP domains that this provider serves; default: `domain`";
        accepted_issuers: Vec<String>, "list", Default::default(), Kind::List, Takes::Reload,
            "further `iss` texts, as of Entra v1 beside v2";
        tenants: Vec<String>, "list", Default::default(), Kind::List, Takes::Reload,
            "tenants that `{tenantid}` may be. Several tenants say whose domains are whose: `TENANT=a.example b.example`, so that none names the users of another";
        shared_domains: bool, "boolean", Default::default(), Kind::Boolean, Takes::Reload,
            "acknowledges that this provider and the others that say so too, or its own tenants, may name each other's users";
        discovery_url: Option<String>, "as_it_is", Default::default(), Kind::Text, Takes::Reload,
            "metadata document, when it is not below the issuer";
        jwks_uri: Option<String>, "as_it_is", Default::default(), Kind::Text, Takes::Reload,
            "key set, when there is no metadata document";
        jwks_file: Option<String>, "as_it_is", Default::default(), Kind::File, Takes::Reload,
            "file with the key set; nothing is fetched. At most one of `jwks_uri`, `jwks_file`, `pem_file`, `secret` and `secret_file` is written; default: the key set that the metadata names";
        pem_file: Option<String>, "as_it_is", Default::default(), Kind::File, Takes::Reload,
            "file with public keys or certificates, PEM; nothing is fetched";
        secret: Option<Secret>, "as_it_is", Default::default(), Kind::Secret, Takes::Reload,
            "shared secret for HS256, HS384 and HS512";
        secret_file: Option<String>, "as_it_is", Default::default(), Kind::File, Takes::Reload,
            "file with that secret; a line end at its end is not part of it";
        algorithms: Vec<String>, "list", Default::default(), Kind::List, Takes::Reload,
            "accepted `alg`; default every public-key algorithm";
        typ: Vec<String>, "list", Default::default(), Kind::List, Takes::Reload,
            "accepted `typ` headers; default `at+jwt`, `JWT` and none";
        leeway: Option<u32>, "optional_number", Default::default(), Kind::Number { least: 0, most: 600, unit: "s" }, Takes::Reload,
            "instead of the global one";
        clients: Vec<String>, "list", Default::default(), Kind::List, Takes::Reload,
            "accepted clients (`azp`, `client_id`, `appid`, `cid`)";
        required_scopes: Vec<String>, "list", Default::default(), Kind::List, Takes::Reload,
            "scopes that every token needs";
        method_scopes: Vec<String>, "list", Default::default(), Kind::List, Takes::Reload,
            "scopes that a method needs besides: `INVITE=sip.call sip.pstn,MESSAGE=sip.message`; `*` stands for all other methods";
        services: Vec<String>, "list", Default::default(), Kind::List, Takes::Reload,
            "levels of service and their scopes, for the script: `pstn=sip.pstn,conference=sip.conf sip.premium`";
        required_claims: BTreeMap<String, OneOrMany>, "as_it_is", Default::default(), Kind::Table, Takes::Reload,
            "claims and the value, or list of values, of which one must be there (file only)";
        third_party: Vec<String>, "list", Default::default(), Kind::List, Takes::Reload,
            "addresses whose tokens may register others";
        e164: Option<String>, "optional_text", Default::default(), Kind::Text, Takes::Reload,
            "country code, with the prefixes of national and of international calls where they are not known here: `49`, `61/0/0011`, `34//00` (no national prefix). Telephone numbers of claims and requests are compared as `+49…`, however they are written (`030 123-456`, `0049 30…`, `tel:+49…`); other texts stay as they are. Without national prefix, seven digits and more are a number. Only the filter `e164` makes a number of a claim, also of the user in a whole address (`{sip|e164}`): what reads as a number otherwise, as the name of a user who calls himself `030-123456`, is dropped, and `sipoauth token explain` names it. Nor does a password or a token from elsewhere make the user of such a name a number's owner. Key-Derivation accounts are what the operator wrote, letter by letter";
        accept_id_tokens: bool, "boolean", Default::default(), Kind::Boolean, Takes::Reload,
            "ID tokens count as access tokens. Without it a token is taken for an ID token when it has `at_hash`, `c_hash`, `s_hash` or a `nonce` without scope, `token_use` = `id`, or names neither scope, role nor client and its `typ` is not `at+jwt`. An empty scope is none. Roles count only in a token for a service: `aud` is another one than the client that the token names and none of `clients`, or, when it names no client, a URI such as `api://…`";
        cnf: String, "as_it_is", Default::default(), Kind::Choice(&["check", "ignore"]), Takes::Reload,
            "`check` (default): a token that is bound to a key (RFC 7800) counts only if the phone proves that key, which it can by its client certificate (`x5t#S256`, RFC 8705); others (DPoP's `jkt`, …) are refused. `ignore`: every token counts as a plain Bearer token, also a stolen one";
        encryption: String, "as_it_is", Default::default(), Kind::Choice(&["allowed", "required_without_tls", "required"]), Takes::Reload,
            "`allowed` (default), `required_without_tls` (only TLS and WSS carry tokens that are not encrypted) or `required`";
        tokens: Option<String>, "as_it_is", Default::default(), Kind::Choice(&["jwt", "opaque", "jwt_and_introspection", "validation_grant"]), Takes::Reload,
            "`jwt` (the default): checked by the server's keys; `opaque`: the server is asked about each (introspection, RFC 7662); `jwt_and_introspection`: both, so that revoked ones are found; `validation_grant`: tokens from elsewhere, which the server validates and replaces";
        introspection_endpoint: Option<String>, "as_it_is", Default::default(), Kind::Text, Takes::Reload,
            "when there is no metadata document, or it does not name it (RFC 7662)";
        introspection_signed: Option<bool>, "optional_boolean", Default::default(), Kind::Boolean, Takes::Reload,
            "signed answers about tokens are asked for (RFC 9701); default: when the metadata announces them";
        introspection_cache: Option<u32>, "optional_number", Default::default(), Kind::Number { least: 0, most: 3600, unit: "s" }, Takes::Reload,
            "a token that is active counts as such for so long, never longer than its `exp`; default 60, with `jwt_and_introspection` 0";
        introspection_negative_cache: Option<u32>, "optional_number", Default::default(), Kind::Number { least: 0, most: 3600, unit: "s" }, Takes::Reload,
            "the same for a token that is not active; default 10";
        client_id: Option<String>, "as_it_is", Default::default(), Kind::Text, Takes::Reload,
            "the proxy's own client, which exchanges codes and introspects tokens";
        client_secret: Option<Secret>, "as_it_is", Default::default(), Kind::Secret, Takes::Reload,
            "its secret";
        client_secret_file: Option<String>, "as_it_is", Default::default(), Kind::File, Takes::Reload,
            "file with that secret; a line end at its end is not part of it";
        client_auth: Option<String>, "as_it_is", Default::default(), Kind::Choice(&["client_secret_basic", "client_secret_post", "private_key_jwt", "tls_client_auth", "none"]), Takes::Reload,
            "`client_secret_basic`, `client_secret_post`, `private_key_jwt`, `tls_client_auth` (also for self-signed certificates) or `none`; default: what the other settings allow, of the first two `client_secret_basic`. A secret with other characters than letters, digits, `-`, `.`, `_` and `*` needs `client_secret_post` at servers that do not decode it in a Basic header; `sipoauth check-config` tries both";
        client_key_file: Option<String>, "as_it_is", Default::default(), Kind::File, Takes::Reload,
            "private key (PEM, PKCS #8) for `private_key_jwt` or `tls_client_auth`";
        client_key_id: Option<String>, "as_it_is", Default::default(), Kind::Text, Takes::Reload,
            "for `private_key_jwt`: the key's `kid`";
        client_cert_file: Option<String>, "as_it_is", Default::default(), Kind::File, Takes::Reload,
            "for `tls_client_auth`: certificate (PEM), then those between it and its authority";
        client_assertion_audience: Option<String>, "as_it_is", Default::default(), Kind::Text, Takes::Reload,
            "for `private_key_jwt`: `aud`, if it is not the endpoint that is asked";
        token_endpoint: Option<String>, "as_it_is", Default::default(), Kind::Text, Takes::Reload,
            "when there is no metadata document, or it does not name it";
        redirect_uri: Option<String>, "as_it_is", Default::default(), Kind::Text, Takes::Reload,
            "of an exchange when the phone sends none";
        userinfo_endpoint: Option<String>, "as_it_is", Default::default(), Kind::Text, Takes::Reload,
            "when there is no metadata document, or it does not name it (OpenID Connect Core section 5.3)";
        require_master_key: bool, "boolean", Default::default(), Kind::Boolean, Takes::Reload,
            "the answer to a code must bring a master-key";
        validation_grant_type: Option<String>, "as_it_is", Default::default(), Kind::Text, Takes::Reload,
            "with `tokens = validation_grant`: the `grant_type` for that, a URN";
        password_grant: Option<String>, "as_it_is", Default::default(), Kind::Choice(&["issue", "password", "token_exchange"]), Takes::Reload,
            "`issue`, `password` or `token_exchange`: users who sign in with a password get tokens; default: they do not";
        signing_key_files: Vec<String>, "list", Default::default(), Kind::List, Takes::Reload,
            "private keys (P-256; PEM, PKCS #8), newest first: of tokens that the proxy issues, or of its word for `token_exchange`";
        token_lifetime: Option<u32>, "optional_number", Default::default(), Kind::Number { least: 60, most: 86_400, unit: "s" }, Takes::Reload,
            "an access token that the proxy issues is good for so long; default 3600";
        token_pop: Option<String>, "as_it_is", Default::default(), Kind::Choice(&["required", "optional"]), Takes::Reload,
            "with `password_grant`: `required` (default): a token counts only beside a proof of possession, and the other way round; `optional`";
        authz_server: Option<String>, "as_it_is", Default::default(), Kind::Text, Takes::Reload,
            "address in challenges; default: the issuer";
        scope: Vec<String>, "list", Default::default(), Kind::List, Takes::Reload,
            "scopes in challenges; default: `required_scopes`";
    } beside {}
}

impl ProviderSettings {
    /// The first number that is out of its range: its key, and what is wrong.
    pub(super) fn fault(&self) -> Option<(&'static str, String)> {
        first_fault(OF_A_PROVIDER, &self.values())
    }
}

/// True for a key of a provider that holds a list: in a one-line provider its value is split at commas.
pub(super) fn is_list(key: &str) -> bool {
    OF_A_PROVIDER.iter().any(|setting| setting.key == key && setting.kind == Kind::List)
}
