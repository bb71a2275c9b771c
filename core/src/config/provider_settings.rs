// SPDX-License-Identifier: MIT OR Apache-2.0
//! What may be written about one authorization server: every key, its unit and its default.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::settings::{OneOrMany, Secret, boolean, list, optional_boolean, optional_number, optional_text};

/// One authorization server.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct ProviderSettings {
    /// Short name for logs and status displays.
    pub name: String,
    /// The exact `iss` of its tokens; may hold `{tenantid}` (Entra).
    pub issuer: String,
    /// Further accepted `iss` texts (Entra v1 beside v2).
    #[serde(deserialize_with = "list")]
    pub accepted_issuers: Vec<String>,
    /// Tenants that `{tenantid}` may stand for; `TENANT=domain domain` says which SIP domains a tenant's users are of.
    #[serde(deserialize_with = "list")]
    pub tenants: Vec<String>,
    /// Metadata document, when it is not below the issuer (Keycloak behind another internal URL).
    pub discovery_url: Option<String>,
    /// Key set, when there is no metadata document.
    pub jwks_uri: Option<String>,
    /// Key set in a local file; nothing is fetched.
    pub jwks_file: Option<String>,
    /// Public keys or certificates in a local PEM file; nothing is fetched.
    pub pem_file: Option<String>,
    /// Shared secret for HS256, HS384, HS512.
    pub secret: Option<Secret>,
    /// File with the shared secret; a line end at its end is not part of it.
    pub secret_file: Option<String>,
    /// Accepted `aud`; "none" turns the check off, then `clients` is needed.
    #[serde(deserialize_with = "list")]
    pub audience: Vec<String>,
    /// Accepted `alg`; default: every public-key algorithm.
    #[serde(deserialize_with = "list")]
    pub algorithms: Vec<String>,
    /// Accepted `typ` headers; "none" stands for an absent one.
    #[serde(deserialize_with = "list")]
    pub typ: Vec<String>,
    /// Overrides the global leeway.
    #[serde(deserialize_with = "optional_number")]
    pub leeway: Option<u32>,
    /// Accepted clients (`azp`, `client_id`, `appid`, `cid`).
    #[serde(deserialize_with = "list")]
    pub clients: Vec<String>,
    /// Scopes that every token needs.
    #[serde(deserialize_with = "list")]
    pub required_scopes: Vec<String>,
    /// `METHOD=scope scope`: what a request of this method needs besides; `*` stands for every other method.
    #[serde(deserialize_with = "list")]
    pub method_scopes: Vec<String>,
    /// `NAME=scope scope`: levels of service, which the host's script asks for.
    #[serde(deserialize_with = "list")]
    pub services: Vec<String>,
    /// Claims and the value, or list of values, of which one must be present.
    pub required_claims: BTreeMap<String, OneOrMany>,
    /// How the token's user becomes addresses-of-record.
    #[serde(deserialize_with = "list")]
    pub aor: Vec<String>,
    /// Country code of telephone numbers that are written nationally, with its dialling prefixes (61/0/0011), for the filter
    /// `e164` in `aor` and for the users of requests.
    #[serde(deserialize_with = "optional_text")]
    pub e164: Option<String>,
    /// What `{domain}` in `aor` stands for.
    pub domain: String,
    /// SIP domains served; default: `domain`.
    #[serde(deserialize_with = "list")]
    pub domains: Vec<String>,
    /// This provider and others that say so, or its tenants, may name each other's users.
    #[serde(deserialize_with = "boolean")]
    pub shared_domains: bool,
    /// Addresses whose tokens may register others.
    #[serde(deserialize_with = "list")]
    pub third_party: Vec<String>,
    /// Whether its tokens must be encrypted: "allowed" (default), "required_without_tls" or "required".
    pub encryption: String,
    /// Whether the key that a token is bound to (`cnf`) must be proved: "check" (default) or "ignore".
    pub cnf: String,
    /// ID tokens count as access tokens.
    #[serde(deserialize_with = "boolean")]
    pub accept_id_tokens: bool,
    /// The proxy's own client at this server; with it, codes that phones send are exchanged.
    pub client_id: Option<String>,
    /// The client's secret.
    pub client_secret: Option<Secret>,
    /// File with the client's secret; a line end at its end is not part of it.
    pub client_secret_file: Option<String>,
    /// client_secret_basic, client_secret_post, private_key_jwt, tls_client_auth or none; default: what the other
    /// settings allow.
    pub client_auth: Option<String>,
    /// Private key (PEM, PKCS #8) for private_key_jwt and tls_client_auth.
    pub client_key_file: Option<String>,
    /// Certificate chain (PEM) for tls_client_auth, the client's own certificate first.
    pub client_cert_file: Option<String>,
    /// Its key id at the server.
    pub client_key_id: Option<String>,
    /// `aud` of the assertion; default: the token endpoint.
    pub client_assertion_audience: Option<String>,
    /// Token endpoint, when there is no metadata document.
    pub token_endpoint: Option<String>,
    /// redirect_uri of an exchange when the phone sends none.
    pub redirect_uri: Option<String>,
    /// UserInfo endpoint (OpenID Connect Core section 5.3), when there is no metadata document.
    pub userinfo_endpoint: Option<String>,
    /// How tokens are checked: "jwt", "opaque" (introspection, RFC 7662), "jwt_and_introspection", or "validation_grant"
    /// (sip-oauth section 5.2); default: jwt.
    pub tokens: Option<String>,
    /// `grant_type` with which the server validates tokens from elsewhere and replaces them (sip-oauth section 5.2).
    pub validation_grant_type: Option<String>,
    /// The answer to a code must bring a master-key (sip-oauth section 3.5).
    #[serde(deserialize_with = "boolean")]
    pub require_master_key: bool,
    /// Users who sign in with a password by Digest get tokens (sip-oauth section 4): "issue", "password" or
    /// "token_exchange".
    pub password_grant: Option<String>,
    /// Private keys (P-256; PEM, PKCS #8) with which the proxy signs tokens or assertions, newest first.
    #[serde(deserialize_with = "list")]
    pub signing_key_files: Vec<String>,
    /// Seconds for which an access token is good that the proxy issues; default: 3600.
    #[serde(deserialize_with = "optional_number")]
    pub token_lifetime: Option<u32>,
    /// Whether tokens need a proof of possession beside them, and the other way round: "required" (default with
    /// `password_grant`) or "optional".
    pub token_pop: Option<String>,
    /// Introspection endpoint, when there is no metadata document.
    pub introspection_endpoint: Option<String>,
    /// Whether signed answers about tokens are asked for (RFC 9701); default: when the metadata announces them.
    #[serde(deserialize_with = "optional_boolean")]
    pub introspection_signed: Option<bool>,
    /// Positive answers are kept at most so many seconds; default: 60 for opaque, 0 for jwt_and_introspection.
    #[serde(deserialize_with = "optional_number")]
    pub introspection_cache: Option<u32>,
    /// Negative answers are kept so many seconds; default: 10.
    #[serde(deserialize_with = "optional_number")]
    pub introspection_negative_cache: Option<u32>,
    /// Address in challenges; default: the issuer.
    pub authz_server: Option<String>,
    /// Scopes in challenges; default: `required_scopes`.
    #[serde(deserialize_with = "list")]
    pub scope: Vec<String>,
}

/// Keys of a provider that hold lists: in a one-line provider their values are split at commas.
pub const LIST_KEYS: [&str; 14] = [
    "accepted_issuers",
    "tenants",
    "audience",
    "algorithms",
    "typ",
    "clients",
    "required_scopes",
    "method_scopes",
    "services",
    "aor",
    "domains",
    "third_party",
    "signing_key_files",
    "scope",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_list_is_split_in_a_line() {
        let value = serde_json::to_value(ProviderSettings::default()).unwrap();
        let lists =
            value.as_object().unwrap().iter().filter(|(_, value)| value.is_array()).map(|(key, _)| key.as_str());
        let mut known = LIST_KEYS;
        known.sort_unstable();
        assert_eq!(lists.collect::<std::collections::BTreeSet<_>>().into_iter().collect::<Vec<_>>(), known);
    }
}
