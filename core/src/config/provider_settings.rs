// SPDX-License-Identifier: MIT OR Apache-2.0
//! What may be written about one authorization server: every key with its type, range and meaning, once.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::setting::{Kind, Setting, SettingValue, Takes, first_fault, settings};
use super::settings::{
    MOST_LEEWAY, OneOrMany, Secret, as_it_is, boolean, list, optional_boolean, optional_number, optional_text,
};

settings! {
    /// One authorization server.
    pub struct ProviderSettings, table OF_A_PROVIDER {
        name: String, "as_it_is", Default::default(), Kind::Text, Takes::Reload,
            "short name for logs";
        issuer: String, "as_it_is", Default::default(), Kind::Text, Takes::Reload,
            "the exact `iss`; it may contain `{tenantid}`";
        audience: Vec<String>, "list", Default::default(), Kind::List, Takes::Reload,
            "accepted `aud`; `none` turns the check off and needs `clients`";
        aor: Vec<String>, "list", Default::default(), Kind::List, Takes::Reload,
            "how the user becomes an address: `{claim}` (a SIP URI), `sip:{claim}` (user@host) or `sip:{claim}@{domain}`. The proxy tries each template of a list. Any element of a list claim may match, an integer counts as its decimal text, and paths are dotted. A token stands for the first 64 addresses; `sipoauth token explain` names values that are neither text nor integer, and addresses beyond 64. Filters, which may follow each other: `{phone|e164}`; `{email|local}` (the part before the `@`; only where all users have the same mail domain, because the domain is dropped); `{upn|lower}`; `{email|verified}` (the claim counts only when `email_verified` is true; likewise for every claim). A user may have typed `email` and `phone_number` himself, so without `verified` (or `required_claims`) the log warns at the start";
        domain: String, "as_it_is", Default::default(), Kind::Text, Takes::Reload,
            "what `{domain}` stands for";
        domains: Vec<String>, "list", Default::default(), Kind::List, Takes::Reload,
            "SIP domains that this provider serves; default: `domain`";
        accepted_issuers: Vec<String>, "list", Default::default(), Kind::List, Takes::Reload,
            "further `iss` texts, such as that of Entra v1 beside v2";
        tenants: Vec<String>, "list", Default::default(), Kind::List, Takes::Reload,
            "tenants that `{tenantid}` may stand for. With several tenants say whose domains are whose: `TENANT=a.example b.example`. Then no tenant can name the users of another";
        shared_domains: bool, "boolean", Default::default(), Kind::Boolean, Takes::Reload,
            "acknowledges that providers with this setting, or the tenants of this provider, may name each other's users";
        discovery_url: Option<String>, "as_it_is", Default::default(), Kind::Text, Takes::Reload,
            "address of the metadata document, if it is not below the issuer";
        jwks_uri: Option<String>, "as_it_is", Default::default(), Kind::Text, Takes::Reload,
            "address of the key set, if there is no metadata document";
        jwks_file: Option<String>, "as_it_is", Default::default(), Kind::File, Takes::Reload,
            "file with the key set; the proxy fetches none. Write at most one of `jwks_uri`, `jwks_file`, `pem_file`, `secret` and `secret_file`; default: the key set that the metadata names";
        pem_file: Option<String>, "as_it_is", Default::default(), Kind::File, Takes::Reload,
            "file with public keys or certificates, PEM; the proxy fetches none";
        secret: Option<Secret>, "as_it_is", Default::default(), Kind::Secret, Takes::Reload,
            "shared secret for HS256, HS384 and HS512";
        secret_file: Option<String>, "as_it_is", Default::default(), Kind::File, Takes::Reload,
            "file with that secret. A line end at its end does not count";
        algorithms: Vec<String>, "list", Default::default(), Kind::List, Takes::Reload,
            "accepted `alg`; default every public-key algorithm";
        typ: Vec<String>, "list", Default::default(), Kind::List, Takes::Reload,
            "accepted `typ` headers; default `at+jwt`, `JWT` and none";
        leeway: Option<u32>, "optional_number", Default::default(), Kind::Number { least: 0, most: MOST_LEEWAY, unit: "s" }, Takes::Reload,
            "instead of the global one";
        clients: Vec<String>, "list", Default::default(), Kind::List, Takes::Reload,
            "accepted clients (`azp`, `client_id`, `appid`, `cid`)";
        required_scopes: Vec<String>, "list", Default::default(), Kind::List, Takes::Reload,
            "scopes that every token needs";
        method_scopes: Vec<String>, "list", Default::default(), Kind::List, Takes::Reload,
            "further scopes that a method needs: `INVITE=sip.call sip.pstn,MESSAGE=sip.message`. `*` stands for all other methods";
        services: Vec<String>, "list", Default::default(), Kind::List, Takes::Reload,
            "levels of service and their scopes, for the script: `pstn=sip.pstn,conference=sip.conf sip.premium`";
        required_claims: BTreeMap<String, OneOrMany>, "as_it_is", Default::default(), Kind::Table, Takes::Reload,
            "claims, each with a value or a list of values; the token must have one of them (file only)";
        third_party: Vec<String>, "list", Default::default(), Kind::List, Takes::Reload,
            "addresses whose tokens may register others";
        e164: Option<String>, "optional_text", Default::default(), Kind::Text, Takes::Reload,
            "country code, and the prefixes of national and of international calls where the library does not know them: `49`, `61/0/0011`, `34//00` (no national prefix). The proxy compares telephone numbers of claims and requests as `+49…`, however they are written (`030 123-456`, `0049 30…`, `tel:+49…`). Other texts stay as they are. In countries without a national prefix, seven digits and more are a number. Only the filter `e164` makes a number of a claim, also of the user in a whole address (`{sip|e164}`). Without the filter a claim that reads as a number is dropped, for example that of a user who calls himself `030-123456`, and `sipoauth token explain` names it. A password or a token from elsewhere does not make such a user the owner of a number either. Key-Derivation accounts count as the operator wrote them, letter by letter";
        accept_id_tokens: bool, "boolean", Default::default(), Kind::Boolean, Takes::Reload,
            "ID tokens count as access tokens. Without this setting the proxy takes a token for an ID token in these cases: it has `at_hash`, `c_hash`, `s_hash` or a `nonce` without scope; its `token_use` is `id`; or it names neither scope, role nor client, and its `typ` is not `at+jwt`. An empty scope is none. Roles count only in a token for a service: one whose `aud` is neither the client that the token names nor one of `clients`, or, if it names no client, is a URI such as `api://…`";
        cnf: Option<String>, "as_it_is", Default::default(), Kind::Choice(&["check", "ignore"]), Takes::Reload,
            "`check` (default): a token that is bound to a key (RFC 7800) counts only if the phone proves that key. It can do so with its client certificate (`x5t#S256`, RFC 8705). Tokens that are bound to other keys (DPoP's `jkt`, …) are refused. `ignore`: every token counts as a plain Bearer token, also a stolen one";
        encryption: Option<String>, "as_it_is", Default::default(), Kind::Choice(&["allowed", "required_without_tls", "required"]), Takes::Reload,
            "`allowed` (default), `required_without_tls` (only TLS and WSS carry tokens that are not encrypted) or `required`";
        tokens: Option<String>, "as_it_is", Default::default(), Kind::Choice(&["jwt", "opaque", "jwt_and_introspection", "validation_grant"]), Takes::Reload,
            "`jwt` (default): the proxy checks tokens with the server's keys. `opaque`: it asks the server about each token (introspection, RFC 7662). `jwt_and_introspection`: it does both, so that it finds revoked ones. `validation_grant`: tokens come from elsewhere, and the server validates and replaces them";
        introspection_endpoint: Option<String>, "as_it_is", Default::default(), Kind::Text, Takes::Reload,
            "address of the introspection endpoint (RFC 7662), if no metadata document names it";
        introspection_signed: Option<bool>, "optional_boolean", Default::default(), Kind::Boolean, Takes::Reload,
            "the proxy asks for signed answers about tokens (RFC 9701); default: if the metadata announces them";
        introspection_cache: Option<u32>, "optional_number", Default::default(), Kind::Number { least: 0, most: 3600, unit: "s" }, Takes::Reload,
            "how long the answer counts that a token is active, but never longer than the token's `exp`; default 60, with `jwt_and_introspection` 0";
        introspection_negative_cache: Option<u32>, "optional_number", Default::default(), Kind::Number { least: 0, most: 3600, unit: "s" }, Takes::Reload,
            "how long the answer counts that a token is not active; default 10";
        client_id: Option<String>, "as_it_is", Default::default(), Kind::Text, Takes::Reload,
            "the proxy's own client, which exchanges codes and introspects tokens";
        client_secret: Option<Secret>, "as_it_is", Default::default(), Kind::Secret, Takes::Reload,
            "its secret";
        client_secret_file: Option<String>, "as_it_is", Default::default(), Kind::File, Takes::Reload,
            "file with that secret. A line end at its end does not count";
        client_auth: Option<String>, "as_it_is", Default::default(), Kind::Choice(&["client_secret_basic", "client_secret_post", "private_key_jwt", "tls_client_auth", "none"]), Takes::Reload,
            "how the proxy's client authenticates: `client_secret_basic`, `client_secret_post`, `private_key_jwt`, `tls_client_auth` (also for self-signed certificates) or `none`. Default: what the other settings allow; of the first two it is `client_secret_basic`. A secret with other characters than letters, digits, `-`, `.`, `_` and `*` needs `client_secret_post` at servers that do not decode it in a Basic header; `sipoauth check-config` tries both";
        client_key_file: Option<String>, "as_it_is", Default::default(), Kind::File, Takes::Reload,
            "private key (PEM, PKCS #8) for `private_key_jwt` or `tls_client_auth`";
        client_key_id: Option<String>, "as_it_is", Default::default(), Kind::Text, Takes::Reload,
            "for `private_key_jwt`: the key's `kid`";
        client_cert_file: Option<String>, "as_it_is", Default::default(), Kind::File, Takes::Reload,
            "for `tls_client_auth`: the certificate (PEM), followed by those between it and its authority";
        client_assertion_audience: Option<String>, "as_it_is", Default::default(), Kind::Text, Takes::Reload,
            "for `private_key_jwt`: `aud`, if it is not the endpoint that is asked";
        token_endpoint: Option<String>, "as_it_is", Default::default(), Kind::Text, Takes::Reload,
            "address of the token endpoint, if no metadata document names it";
        redirect_uri: Option<String>, "as_it_is", Default::default(), Kind::Text, Takes::Reload,
            "the redirect URI of an exchange, if the phone sends none";
        userinfo_endpoint: Option<String>, "as_it_is", Default::default(), Kind::Text, Takes::Reload,
            "address of the userinfo endpoint (OpenID Connect Core section 5.3), if no metadata document names it";
        authorization_endpoint: Option<String>, "as_it_is", Default::default(), Kind::Text, Takes::Reload,
            "address of the authorization endpoint, to which the sign-in page sends browsers, if no metadata document names it";
        authorization_parameters: Vec<String>, "list", Default::default(), Kind::List, Takes::Reload,
            "further parameters that the sign-in page sends there, such as `prompt=consent` or `access_type=offline`";
        require_master_key: bool, "boolean", Default::default(), Kind::Boolean, Takes::Reload,
            "the answer to a code must bring a master-key";
        validation_grant_type: Option<String>, "as_it_is", Default::default(), Kind::Text, Takes::Reload,
            "with `tokens = validation_grant`: its `grant_type`, a URN";
        password_grant: Option<String>, "as_it_is", Default::default(), Kind::Choice(&["issue", "password", "token_exchange"]), Takes::Reload,
            "who issues tokens to users who sign in with a password: `issue`, `password` or `token_exchange`; default: nobody. See [The user has a password](../guide/passwords-and-tokens.md#the-user-has-a-password)";
        signing_key_files: Vec<String>, "list", Default::default(), Kind::List, Takes::Reload,
            "private keys (P-256; PEM, PKCS #8), newest first. They sign the tokens that the proxy issues, or its word for `token_exchange`";
        token_lifetime: Option<u32>, "optional_number", Default::default(), Kind::Number { least: 60, most: 86_400, unit: "s" }, Takes::Reload,
            "life of an access token that the proxy issues; default 3600";
        token_pop: Option<String>, "as_it_is", Default::default(), Kind::Choice(&["required", "optional"]), Takes::Reload,
            "with `password_grant`: `required` (default) makes a token count only beside a proof of possession, and a proof only beside a token. With `optional` each counts alone";
        authz_server: Option<String>, "as_it_is", Default::default(), Kind::Text, Takes::Reload,
            "address of the authorization server in challenges; default: the issuer";
        scope: Vec<String>, "list", Default::default(), Kind::List, Takes::Reload,
            "scopes in challenges; default: `required_scopes`";
    } beside {}
}

impl ProviderSettings {
    /// The first value that is not possible: its key, and what is wrong.
    pub(super) fn fault(&self) -> Option<(&'static str, String)> {
        first_fault(OF_A_PROVIDER, &self.values())
    }
}

/// True for a key of a provider that holds a list: in a one-line provider its value is split at commas.
pub(super) fn is_list(key: &str) -> bool {
    OF_A_PROVIDER.iter().any(|setting| setting.key == key && setting.kind == Kind::List)
}
