// SPDX-License-Identifier: MIT OR Apache-2.0
//! What may be written in the configuration: every global key, its unit and its default.

use serde::de::{self, Deserializer, Visitor};
use serde::{Deserialize, Serialize};
use zeroize::{Zeroize, ZeroizeOnDrop};

use super::provider_settings::ProviderSettings;
use crate::keys::pbkdf2::{DEFAULT_ITERATIONS, DEFAULT_KEY_SIZE, Kdf};

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
    /// Most requests that wait for an authorization server or for the store at once. One source has at most a quarter of them.
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
    /// Verified tokens that each worker remembers, and four times as many accounts with sessions; 0 turns the caches off.
    #[serde(deserialize_with = "number")]
    pub token_cache_size: u32,
    /// Longest token in octets.
    #[serde(deserialize_with = "number")]
    pub max_token_size: u32,
    /// Files with the private keys that decrypt tokens, newest first: PEM (PKCS #8), JWK or JWK Set. None: encrypted
    /// tokens are refused.
    #[serde(deserialize_with = "list")]
    pub decryption_key_files: Vec<String>,
    /// Accepted `alg` of encrypted tokens; default: all but RSA-OAEP, which is with SHA-1.
    #[serde(deserialize_with = "list")]
    pub decryption_algorithms: Vec<String>,
    /// Longest HTTP exchange in seconds.
    #[serde(deserialize_with = "number")]
    pub http_timeout: u32,
    /// Longest connection set-up in seconds.
    #[serde(deserialize_with = "number")]
    pub connect_timeout: u32,
    /// PEM file with the certificate authorities to trust instead of the system's.
    pub ca_file: Option<String>,
    /// HTTP proxy through which servers are asked (CONNECT), `http://HOST:PORT`. The environment is not looked at.
    pub http_proxy: Option<String>,
    /// Hosts, and domains with a dot in front, that are asked directly. Those of this machine always are.
    #[serde(deserialize_with = "list")]
    pub no_proxy: Vec<String>,
    /// File with `USER:PASSWORD` for the proxy; a line end at its end is not part of it.
    pub http_proxy_credentials_file: Option<String>,
    /// Allows http:// to other hosts than this one. Tokens' keys then travel unprotected.
    #[serde(deserialize_with = "boolean")]
    pub allow_http: bool,
    /// "yes" adds Location to a 401 (3rd-party-authentication section 2.1.1), "302" answers 302 with Location and
    /// Contact instead (its earlier form), "no" does neither.
    #[serde(deserialize_with = "text")]
    pub location: String,
    /// Status for a token that lacks a scope: 401 (or 407), or 403.
    #[serde(deserialize_with = "number")]
    pub scope_status: u32,
    /// A registration does not outlive the token, or a session whose tokens cannot be refreshed.
    #[serde(deserialize_with = "boolean")]
    pub limit_expires: bool,
    /// The location service takes users that differ in case only for one: only names in lower case own an address.
    #[serde(deserialize_with = "boolean")]
    pub location_folds_case: bool,
    /// The location service knows users by name alone, whatever their domain.
    #[serde(deserialize_with = "boolean")]
    pub location_ignores_domain: bool,
    /// Acknowledges that users of one name in several domains are one user.
    #[serde(deserialize_with = "boolean")]
    pub shared_user_names: bool,
    /// Next hops that get the user's access token: host, host:port or SIP URI.
    #[serde(deserialize_with = "comma_list")]
    pub application_servers: Vec<String>,
    /// Threads that talk to authorization servers and to Redis.
    #[serde(deserialize_with = "number")]
    pub http_threads: u32,
    /// Of these, how many one provider may keep busy.
    #[serde(deserialize_with = "number")]
    pub http_per_provider: u32,
    /// Nothing is kept: only tokens are judged, so what needs a store does without.
    #[serde(skip)]
    pub without_store: bool,
    /// Where sessions are kept: a folder (LMDB), or redis://, rediss:// or unix:// (Redis, Valkey). None: codes and
    /// proofs of possession are not accepted.
    pub store: Option<Secret>,
    /// Under this secret everything in the store is encrypted; at least 32 octets.
    pub store_key: Option<Secret>,
    /// File with that secret; a line end at its end is not part of it.
    pub store_key_file: Option<String>,
    /// File with the password of Redis.
    pub store_password_file: Option<String>,
    /// Largest size of the LMDB store in MiB.
    #[serde(deserialize_with = "number")]
    pub store_size: u32,
    /// Every write to the LMDB store is on the disk before it counts as done. Without it writes reach the disk once a
    /// second: a killed process loses nothing, a power cut up to a second.
    #[serde(deserialize_with = "boolean")]
    pub store_durable: bool,
    /// Longest wait for Redis in milliseconds.
    #[serde(deserialize_with = "number")]
    pub store_timeout: u32,
    /// Seconds for which a record from Redis serves without being asked for again.
    #[serde(deserialize_with = "number")]
    pub store_cache: u32,
    /// Records from Redis that are kept in shared memory.
    #[serde(deserialize_with = "number")]
    pub store_cache_size: u32,
    /// Longest life of a session in seconds.
    #[serde(deserialize_with = "number")]
    pub session_lifetime: u32,
    /// Most devices of one address-of-record; the one that signed in first makes room.
    #[serde(deserialize_with = "number")]
    pub max_devices: u32,
    /// Seconds after which an authorization code cannot be valid any more.
    #[serde(deserialize_with = "number")]
    pub code_lifetime: u32,
    /// A code that came without a code_verifier serves other flows of its phone even after its first registration.
    #[serde(deserialize_with = "boolean")]
    pub code_flows_without_verifier: bool,
    /// Code exchanges per minute that one source address may cause.
    #[serde(deserialize_with = "number")]
    pub code_source_limit: u32,
    /// Answers about tokens that are kept in shared memory.
    #[serde(deserialize_with = "number")]
    pub introspection_cache_size: u32,
    /// Introspections per minute that one source address may cause.
    #[serde(deserialize_with = "number")]
    pub introspection_source_limit: u32,
    /// Encrypted tokens per minute of one source address on which a private key may be spent in vain.
    #[serde(deserialize_with = "number")]
    pub decryption_source_limit: u32,
    /// Short codes (digits only, 30 at most, whatever stands between them) that may be tried for one address-of-record in ten minutes.
    #[serde(deserialize_with = "number")]
    pub short_code_tries: u32,
    /// Short codes that one source address may try in ten minutes.
    #[serde(deserialize_with = "number")]
    pub short_code_source_tries: u32,
    /// Short codes are accepted over UDP, TCP and WS, where everyone on the path can find the shared key.
    #[serde(deserialize_with = "boolean")]
    pub allow_unprotected_short_codes: bool,
    /// Proxies in front of this one, addresses and networks: what they write into Via tells who sent a request.
    #[serde(deserialize_with = "comma_list")]
    pub trusted_hops: Vec<String>,
    /// Order of the parts of the shared key: "draft" or "slides".
    pub key_order: String,
    /// How H(A1) enters the master-key: "hex" or "raw" (sip-oauth section 4.3).
    pub ha1_form: String,
    /// The message-body of the digest-string where the proof travels in the body: "without_pop" or "empty".
    pub pop_body: String,
    /// What stands for a Contact of `*` in the digest-string: "star", or "empty" as RFC 4474 section 9 has it.
    pub pop_star: String,
    /// Proofs cover the Request-URI, too: an addition to RFC 4474 section 9.
    #[serde(deserialize_with = "boolean")]
    pub pop_request_uri: bool,
    /// Oldest Date of a proof in seconds; the same into the future.
    #[serde(deserialize_with = "number")]
    pub pop_window: u32,
    /// Accepts the proof of the first registration again and again (3rd-party-authentication section 2.1.3 read
    /// literally): whoever sees it once can repeat it.
    #[serde(deserialize_with = "boolean")]
    pub pop_reuse: bool,
    /// Proofs that are remembered against replay, over all sessions.
    #[serde(deserialize_with = "number")]
    pub replay_guard_size: u32,
    /// Whose proofs are compared: "proxy", or "cluster" for all proxies that share a Redis store.
    pub replay_scope: String,
    /// The hash function of new accounts, and of users who do not exist: "sha256" or "sha512".
    pub kd_kdf: String,
    /// Their iterations of PBKDF2.
    #[serde(deserialize_with = "number")]
    pub kd_iterations: u32,
    /// Bits of their keys.
    #[serde(deserialize_with = "number")]
    pub kd_key_size: u32,
    /// Requests without credentials are judged by those that were sent on the same connection (TCP, TLS, WS, WSS).
    #[serde(deserialize_with = "boolean")]
    pub connection_auth: bool,
    /// Connections that are bound to who signed in on them.
    #[serde(deserialize_with = "number")]
    pub connection_auth_size: u32,
    /// The authorization servers.
    pub provider: Vec<ProviderSettings>,
    /// Which endpoint is offered which challenge; the first rule that fits decides.
    pub offer: Vec<OfferSettings>,
}

impl Settings {
    /// What needs a store has one, or does without because only tokens are judged.
    pub fn may_keep(&self) -> bool {
        self.store.is_some() || self.without_store
    }
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
            decryption_key_files: Vec::new(),
            decryption_algorithms: Vec::new(),
            http_timeout: 5,
            connect_timeout: 2,
            ca_file: None,
            http_proxy: None,
            no_proxy: Vec::new(),
            http_proxy_credentials_file: None,
            allow_http: false,
            location: "no".into(),
            scope_status: 401,
            limit_expires: true,
            location_folds_case: false,
            location_ignores_domain: false,
            shared_user_names: false,
            application_servers: Vec::new(),
            http_threads: 16,
            http_per_provider: 8,
            without_store: false,
            store: None,
            store_key: None,
            store_key_file: None,
            store_password_file: None,
            store_size: 1024,
            store_durable: false,
            store_timeout: 500,
            store_cache: 30,
            store_cache_size: 8192,
            session_lifetime: 2_592_000,
            max_devices: 8,
            code_lifetime: 600,
            code_flows_without_verifier: false,
            code_source_limit: 120,
            introspection_cache_size: 8192,
            introspection_source_limit: 1200,
            decryption_source_limit: 120,
            short_code_tries: 5,
            short_code_source_tries: 20,
            allow_unprotected_short_codes: false,
            trusted_hops: Vec::new(),
            key_order: "draft".into(),
            ha1_form: "hex".into(),
            pop_body: "without_pop".into(),
            pop_star: "star".into(),
            pop_request_uri: false,
            pop_window: 300,
            pop_reuse: false,
            replay_guard_size: 262_144,
            replay_scope: "proxy".into(),
            kd_kdf: Kdf::default().short_name().into(),
            kd_iterations: DEFAULT_ITERATIONS,
            kd_key_size: DEFAULT_KEY_SIZE,
            connection_auth: false,
            connection_auth_size: 16_384,
            provider: Vec::new(),
            offer: Vec::new(),
        }
    }
}

/// Global keys that hold lists: as a host's parameter their values are split at commas.
pub const GLOBAL_LIST_KEYS: [&str; 3] = ["decryption_key_files", "decryption_algorithms", "no_proxy"];

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
#[derive(Clone, PartialEq, Eq, Deserialize, Serialize, Zeroize, ZeroizeOnDrop)]
#[serde(transparent)]
pub struct Secret(String);

impl Secret {
    /// The content of a file; a line end at its end is not part of it.
    pub fn from_file(content: &str) -> Secret {
        Secret(content.trim_end_matches(['\r', '\n']).to_owned())
    }

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

pub(super) fn list<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
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

/// A list of texts, or one text whose parts are separated by commas: a host's parameters are texts.
fn comma_list<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    let parts = list(deserializer)?;
    Ok(parts.iter().flat_map(|part| part.split(',')).map(|part| part.trim().to_owned()).collect())
}

/// A text; digits may be written as a number.
pub(super) fn optional_text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    #[derive(Deserialize)]
    struct Text(#[serde(deserialize_with = "text")] String);
    Ok(Option::<Text>::deserialize(deserializer)?.map(|text| text.0))
}

/// A whole number, also written as text: a host's parameters are texts.
fn number<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u32, D::Error> {
    struct NumberVisitor;
    impl Visitor<'_> for NumberVisitor {
        type Value = u32;
        fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("a whole number that is not negative, without a unit")
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

pub(super) fn optional_number<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u32>, D::Error> {
    #[derive(Deserialize)]
    struct Number(#[serde(deserialize_with = "number")] u32);
    Ok(Option::<Number>::deserialize(deserializer)?.map(|n| n.0))
}

pub(super) fn optional_boolean<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<bool>, D::Error> {
    #[derive(Deserialize)]
    struct Boolean(#[serde(deserialize_with = "boolean")] bool);
    Ok(Option::<Boolean>::deserialize(deserializer)?.map(|b| b.0))
}

/// A text; true, false and numbers are taken as "yes", "no" and their digits.
fn text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    struct TextVisitor;
    impl Visitor<'_> for TextVisitor {
        type Value = String;
        fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("a text")
        }
        fn visit_bool<E: de::Error>(self, v: bool) -> Result<String, E> {
            Ok(if v { "yes" } else { "no" }.into())
        }
        fn visit_i64<E: de::Error>(self, v: i64) -> Result<String, E> {
            Ok(v.to_string())
        }
        fn visit_str<E: de::Error>(self, v: &str) -> Result<String, E> {
            Ok(v.trim().to_ascii_lowercase())
        }
    }
    deserializer.deserialize_any(TextVisitor)
}

/// true and false, also written as text or 1 and 0.
pub(super) fn boolean<'de, D: Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
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
