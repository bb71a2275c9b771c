// SPDX-License-Identifier: MIT OR Apache-2.0
//! What may be written in the configuration: every key, its unit and its default.

use std::collections::BTreeMap;

use serde::de::{self, Deserializer, Visitor};
use serde::{Deserialize, Serialize};
use zeroize::{Zeroize, ZeroizeOnDrop};

/// The whole configuration.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// Realm of challenges when the script names none.
    pub realm: String,
    /// Tolerated clock difference in seconds.
    #[serde(deserialize_with = "number")]
    pub leeway: u32,
    /// Retry-After of a 503 in seconds.
    #[serde(deserialize_with = "number")]
    pub retry_after: u32,
    /// Most requests that wait for an authorization server at once.
    #[serde(deserialize_with = "number")]
    pub max_pending: u32,
    /// Longest wait of one request in seconds.
    #[serde(deserialize_with = "number")]
    pub pending_timeout: u32,
    /// Keys are fetched again after this many seconds at the latest.
    #[serde(deserialize_with = "number")]
    pub key_refresh_interval: u32,
    /// Seconds in which one more fetch for an unknown key id becomes allowed, per provider.
    #[serde(deserialize_with = "number")]
    pub key_cooldown: u32,
    /// Fetches for unknown key ids that are allowed in a row, per provider.
    #[serde(deserialize_with = "number")]
    pub key_burst: u32,
    /// Fetches per minute that the requests of one source address may cause.
    #[serde(deserialize_with = "number")]
    pub key_source_limit: u32,
    /// Keys serve this many seconds after their last successful fetch.
    #[serde(deserialize_with = "number")]
    pub key_max_stale: u32,
    /// Verified tokens that each worker remembers; 0 turns the cache off.
    #[serde(deserialize_with = "number")]
    pub token_cache_size: u32,
    /// Longest token in octets.
    #[serde(deserialize_with = "number")]
    pub max_token_size: u32,
    /// Longest HTTP exchange in seconds.
    #[serde(deserialize_with = "number")]
    pub http_timeout: u32,
    /// Longest connection set-up in seconds.
    #[serde(deserialize_with = "number")]
    pub connect_timeout: u32,
    /// PEM file with the certificate authorities to trust instead of the system's.
    pub ca_file: Option<String>,
    /// Allows http:// to other hosts than this one. Tokens' keys then travel unprotected.
    #[serde(deserialize_with = "boolean")]
    pub allow_http: bool,
    /// Adds Location to a 401 (3rd-party-authentication section 2.1.1).
    #[serde(deserialize_with = "boolean")]
    pub location: bool,
    /// Status for a token that lacks a scope: 401 (or 407), or 403.
    #[serde(deserialize_with = "number")]
    pub scope_status: u32,
    /// The authorization servers.
    pub provider: Vec<ProviderSettings>,
    /// Which endpoint is offered which challenge; the first rule that fits decides.
    pub offer: Vec<OfferSettings>,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            realm: String::new(),
            leeway: 30,
            retry_after: 5,
            max_pending: 500,
            pending_timeout: 5,
            key_refresh_interval: 900,
            key_cooldown: 10,
            key_burst: 3,
            key_source_limit: 2,
            key_max_stale: 86_400,
            token_cache_size: 4096,
            max_token_size: 16_384,
            http_timeout: 5,
            connect_timeout: 2,
            ca_file: None,
            allow_http: false,
            location: false,
            scope_status: 401,
            provider: Vec::new(),
            offer: Vec::new(),
        }
    }
}

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
    /// Tenants that `{tenantid}` may stand for.
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
    /// Claims and the value, or list of values, of which one must be present.
    pub required_claims: BTreeMap<String, OneOrMany>,
    /// How the token's user becomes addresses-of-record.
    #[serde(deserialize_with = "list")]
    pub aor: Vec<String>,
    /// What `{domain}` in `aor` stands for.
    pub domain: String,
    /// SIP domains served; default: `domain`.
    #[serde(deserialize_with = "list")]
    pub domains: Vec<String>,
    /// Addresses whose tokens may register others.
    #[serde(deserialize_with = "list")]
    pub third_party: Vec<String>,
    /// ID tokens count as access tokens.
    #[serde(deserialize_with = "boolean")]
    pub accept_id_tokens: bool,
    /// Address in challenges; default: the issuer.
    pub authz_server: Option<String>,
    /// Scopes in challenges; default: `required_scopes`.
    #[serde(deserialize_with = "list")]
    pub scope: Vec<String>,
}

/// Keys of a provider that hold lists: in a one-line provider their values are split at commas.
pub const LIST_KEYS: [&str; 11] = [
    "accepted_issuers",
    "tenants",
    "audience",
    "algorithms",
    "typ",
    "clients",
    "required_scopes",
    "aor",
    "domains",
    "third_party",
    "scope",
];

/// One rule about challenges. Every text that is given must fit; `*` stands for any run of characters.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct OfferSettings {
    /// "bearer", "digest" or "both".
    pub offer: String,
    /// User-Agent, without regard to case.
    #[serde(deserialize_with = "list")]
    pub user_agent: Vec<String>,
    /// udp, tcp, tls, sctp, ws, wss
    #[serde(deserialize_with = "list")]
    pub transport: Vec<String>,
    /// Domain of the address-of-record.
    #[serde(deserialize_with = "list")]
    pub domain: Vec<String>,
    /// Local port on which the request came.
    pub port: Vec<u16>,
    /// An option tag of Supported.
    #[serde(deserialize_with = "list")]
    pub supported: Vec<String>,
}

/// A secret of the configuration: never shown, wiped when dropped.
#[derive(Clone, Deserialize, Serialize, Zeroize, ZeroizeOnDrop)]
#[serde(transparent)]
pub struct Secret(String);

impl Secret {
    /// The octets.
    pub fn expose(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// A text or a list of texts.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct OneOrMany(pub Vec<String>);

impl<'de> Deserialize<'de> for OneOrMany {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<OneOrMany, D::Error> {
        list(deserializer).map(OneOrMany)
    }
}

fn list<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    struct ListVisitor;
    impl<'de> Visitor<'de> for ListVisitor {
        type Value = Vec<String>;
        fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("a text or a list of texts")
        }
        fn visit_str<E: de::Error>(self, v: &str) -> Result<Vec<String>, E> {
            Ok(vec![v.to_owned()])
        }
        fn visit_bool<E: de::Error>(self, v: bool) -> Result<Vec<String>, E> {
            Ok(vec![v.to_string()])
        }
        fn visit_i64<E: de::Error>(self, v: i64) -> Result<Vec<String>, E> {
            Ok(vec![v.to_string()])
        }
        fn visit_seq<A: de::SeqAccess<'de>>(self, mut seq: A) -> Result<Vec<String>, A::Error> {
            let mut out = Vec::new();
            while let Some(item) = seq.next_element::<String>()? {
                out.push(item);
            }
            Ok(out)
        }
    }
    deserializer.deserialize_any(ListVisitor)
}

/// A whole number, also written as text: a host's parameters are texts.
fn number<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u32, D::Error> {
    struct NumberVisitor;
    impl Visitor<'_> for NumberVisitor {
        type Value = u32;
        fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("a whole number that is not negative")
        }
        fn visit_i64<E: de::Error>(self, v: i64) -> Result<u32, E> {
            u32::try_from(v).map_err(|_| E::invalid_value(de::Unexpected::Signed(v), &self))
        }
        fn visit_u64<E: de::Error>(self, v: u64) -> Result<u32, E> {
            u32::try_from(v).map_err(|_| E::invalid_value(de::Unexpected::Unsigned(v), &self))
        }
        fn visit_str<E: de::Error>(self, v: &str) -> Result<u32, E> {
            v.trim().parse().map_err(|_| E::invalid_value(de::Unexpected::Str(v), &self))
        }
    }
    deserializer.deserialize_any(NumberVisitor)
}

fn optional_number<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u32>, D::Error> {
    #[derive(Deserialize)]
    struct Number(#[serde(deserialize_with = "number")] u32);
    Ok(Option::<Number>::deserialize(deserializer)?.map(|n| n.0))
}

/// true and false, also written as text or 1 and 0.
fn boolean<'de, D: Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
    struct BoolVisitor;
    impl Visitor<'_> for BoolVisitor {
        type Value = bool;
        fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("true or false (or yes, no, 1, 0)")
        }
        fn visit_bool<E: de::Error>(self, v: bool) -> Result<bool, E> {
            Ok(v)
        }
        fn visit_i64<E: de::Error>(self, v: i64) -> Result<bool, E> {
            match v {
                0 => Ok(false),
                1 => Ok(true),
                _ => Err(E::invalid_value(de::Unexpected::Signed(v), &self)),
            }
        }
        fn visit_str<E: de::Error>(self, v: &str) -> Result<bool, E> {
            match v.trim().to_ascii_lowercase().as_str() {
                "true" | "yes" | "1" => Ok(true),
                "false" | "no" | "0" => Ok(false),
                _ => Err(E::invalid_value(de::Unexpected::Str(v), &self)),
            }
        }
    }
    deserializer.deserialize_any(BoolVisitor)
}
