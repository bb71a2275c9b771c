// SPDX-License-Identifier: MIT OR Apache-2.0
//! What may be written in the configuration: every global key with its type, range, default and meaning, once. The
//! parser, the module's parameters and `docs/reference/settings.md` are made from this table.

use serde::de::{self, Deserializer, Visitor};
use serde::{Deserialize, Serialize};
use zeroize::{Zeroize, ZeroizeOnDrop};

use super::provider_settings::ProviderSettings;
use super::setting::{Kind, Setting, SettingValue, Takes, first_fault, settings};
use super::sign_in_page::SignInPageSettings;
use super::{ConfigError, error};
use crate::keys::pbkdf2::{DEFAULT_ITERATIONS, Kdf};

settings! {
    /// The whole configuration.
    pub struct Settings, table GLOBAL {
        realm: String, "as_it_is", String::new(), Kind::Text, Takes::Reload,
            "realm of challenges if the script names none; default: the domain of the address";
        leeway: u32, "number", 30, Kind::Number { least: 0, most: MOST_LEEWAY, unit: "s" }, Takes::Reload,
            "tolerated clock difference";
        retry_after: u32, "number", 5, Kind::Number { least: 1, most: 3600, unit: "s" }, Takes::Reload,
            "Retry-After of a 503";
        users: u32, "number", 16_384, Kind::Number { least: 32, most: 1_048_576, unit: "" }, Takes::Restart,
            "users that this proxy serves at the same time. The size of the memory that its processes share follows from it. It has room for 16 proofs per user against replay (a proof of Key-Derivation with a nonce counts as two), for one connection per user with `connection_auth` (so write several times the number of users that you expect), for half as many answers about tokens, and for half as many records from Redis, and a quarter as many other ones. Each worker also keeps as many accounts with sessions opened, about 2.5 kB each, but no more than 65,536. An answer about a token may have 7 kB. Of a longer one the proxy drops the largest members that no rule looks at, and `$oauth(claim:…)` does not have them. With more users the proxy forgets sooner, but never judges wrongly";
        max_pending: u32, "number", 500, Kind::Number { least: 1, most: 100_000, unit: "" }, Takes::Reload,
            "requests that may wait for an authorization server or for the store at the same time. One source has at most a quarter of them, see [Who may wait](../guide/limits.md#who-may-wait). The processes share 4 kB for each of as many requests as there may be at the start. After a reload to a larger number the others have room for some dozens until the next restart";
        pending_timeout: u32, "number", 5, Kind::Number { least: 1, most: 30, unit: "s" }, Takes::Reload,
            "longest wait of one request";
        key_burst: u32, "number", 3, Kind::Number { least: 1, most: 100, unit: "" }, Takes::Reload,
            "key fetches in a row, per provider, because of unknown key ids or of signatures that do not fit a known one";
        key_cooldown: u32, "number", 10, Kind::Number { least: 1, most: 3600, unit: "s" }, Takes::Reload,
            "after `key_burst` fetches, one more fetch is allowed in this time";
        key_max_stale: u32, "number", 86_400, Kind::Number { least: 60, most: 31_536_000, unit: "s" }, Takes::Reload,
            "how long keys serve after their last successful fetch. The proxy fetches them every 15 minutes, or sooner if the server's cache headers say so";
        token_cache_size: u32, "number", 65_536, Kind::Number { least: 0, most: 4_000_000, unit: "" }, Takes::Restart,
            "verified tokens that the processes of the proxy remember together, 248 octets each. A token that had to make room is verified again. 0: none";
        max_token_size: u32, "number", 16_384, Kind::Number { least: 256, most: 65_536, unit: "octets" }, Takes::Reload,
            "longest token";
        decryption_key_files: Vec<String>, "list", Vec::new(), Kind::List, Takes::Reload,
            "files with the private keys that decrypt tokens, newest first: PEM (PKCS #8), JWK or JWK Set. Without such keys encrypted tokens are refused. See [Encrypted tokens](../guide/encrypted-tokens.md)";
        decryption_algorithms: Vec<String>, "list", Vec::new(), Kind::List, Takes::Reload,
            "accepted `alg` of encrypted tokens: RSA-OAEP-256, RSA-OAEP (SHA-1), ECDH-ES, ECDH-ES+A128KW, ECDH-ES+A256KW, dir; default: all but RSA-OAEP";
        http_timeout: u32, "number", 5, Kind::Number { least: 1, most: 60, unit: "s" }, Takes::Reload,
            "longest HTTP exchange. Two fifths of it, but at least a second, are left for opening the connection";
        http_threads: u32, "number", 16, Kind::Number { least: 2, most: 256, unit: "" }, Takes::Restart,
            "threads that talk to authorization servers and to Redis. At most half of them exchange codes or introspect tokens at one provider, at most an eighth refresh tokens, and at most a quarter fetch keys. Some are kept free for keys and for Redis";
        ca_file: Option<String>, "as_it_is", None, Kind::File, Takes::Reload,
            "certificate authorities to trust, PEM; default: the system's";
        http_proxy: Option<String>, "as_it_is", None, Kind::Text, Takes::Reload,
            "`http://HOST:PORT`: the proxy asks servers through this HTTP proxy (CONNECT). It does not look at the environment";
        no_proxy: Vec<String>, "list", Vec::new(), Kind::List, Takes::Reload,
            "hosts without port (IPv6 in brackets) and domains such as `.example.com` that the proxy asks directly. It always asks `localhost`, `127.0.0.1` and `[::1]` directly";
        http_proxy_credentials_file: Option<String>, "as_it_is", None, Kind::File, Takes::Reload,
            "file with `USER:PASSWORD` for that HTTP proxy. A line end at its end does not count";
        allow: Vec<String>, "comma_list", Vec::new(), Kind::Words(&ALLOWED), Takes::Reload,
            "what is refused unless the operator takes its risk. `http`: addresses of servers may be `http://` on other hosts than this one; anyone on the path can then forge tokens. `shared_user_names`: with `location_ignores_domain`, users with the same name in several domains are one user. `long_registrations`: a registration may outlive the token that it was made with, see below. `flows_without_verifier`: a code without `code_verifier` serves other flows of its phone also after its registration; then whoever has seen code and `+sip.instance` can get a key, too. `unprotected_short_codes`: short codes count over UDP, TCP and WS, too; then whoever listens can find the key by trying all codes. `pop_reuse`: the proof of the first registration counts again and again, as 3rd-party-authentication section 2.1.3 says literally; then whoever sees it once can repeat it in a REGISTER";
        location: String, "word_or_boolean", "no".into(), Kind::Choice(&["no", "yes", "302"]), Takes::Reload,
            "`yes` adds `Location: <authorization server>` to a 401 (3rd-party-authentication section 2.1.1); `302` answers 302 with Location and Contact instead (its earlier form)";
        scope_status: u32, "number", 401, Kind::Choice(&["401", "403"]), Takes::Reload,
            "status for a token that lacks a scope: 401 (407 for a proxy) or 403";
        location_folds_case: bool, "boolean", false, Kind::Boolean, Takes::Reload,
            "the location service takes users whose names differ in case only for one user. Then only names in lower case own an address. If the registrar module is loaded beside it, auth_oauth sets this itself (`case_sensitive=0`). Write it where another server is the registrar";
        location_ignores_domain: bool, "boolean", false, Kind::Boolean, Takes::Reload,
            "the location service tells users apart by name alone. If usrloc is loaded beside it, auth_oauth sets this itself (`use_domain=0`)";
        application_servers: Vec<String>, "comma_list", Vec::new(), Kind::List, Takes::Reload,
            "next hops that get the user's access token: `host`, `host:port` or `sip:host:port;transport=tls`";
        store: Option<Secret>, "as_it_is", None, Kind::Secret, Takes::Restart,
            "where the proxy keeps sessions: a folder, or `redis://`, `rediss://`, `unix://`. Without it the proxy accepts neither codes nor proofs";
        store_key: Option<Secret>, "as_it_is", None, Kind::Secret, Takes::Restart,
            "the secret that encrypts the store, at least 32 octets. It is of use without a store, too, because dialogs then go on after a restart";
        store_key_file: Option<String>, "as_it_is", None, Kind::File, Takes::Restart,
            "file with that secret. A line end at its end does not count";
        store_password_file: Option<String>, "as_it_is", None, Kind::File, Takes::Restart,
            "file with the password of Redis";
        store_size: u32, "number", 1024, Kind::Number { least: 1, most: 1_048_576, unit: "MiB" }, Takes::Restart,
            "largest size of the folder. The file shows this size at once, but takes only the room that it needs, and at most 2 MiB more. Copy it with `mdb_copy` or as a sparse file, and never over a folder in use. A process whose files are limited to less (`LimitFSIZE=`) cannot open it";
        store_durable: bool, "boolean", false, Kind::Boolean, Takes::Restart,
            "every write is on the disk before it counts. Without this setting a killed process loses nothing, but a power cut loses the last second, or more on file systems that reorder writes";
        store_timeout: u32, "number", 500, Kind::Number { least: 10, most: 10_000, unit: "ms" }, Takes::Restart,
            "longest wait for Redis";
        store_cache: u32, "number", 30, Kind::Number { least: 1, most: 3600, unit: "s" }, Takes::Reload,
            "how long records from Redis serve without being asked for again";
        session_lifetime: u32, "number", 2_592_000, Kind::Number { least: 60, most: 315_360_000, unit: "s" }, Takes::Reload,
            "longest life of a session, whatever its tokens say";
        max_devices: u32, "number", 10, Kind::Number { least: 1, most: 64, unit: "" }, Takes::Reload,
            "devices of one address. The device that signed in first makes room for a new one. With Redis at most 16";
        code_lifetime: u32, "number", 600, Kind::Number { least: 10, most: 86_400, unit: "s" }, Takes::Reload,
            "longest time that a code may be valid for";
        source_limit: u32, "number", 120, Kind::Number { least: 1, most: 65_535, unit: "per minute" }, Takes::Reload,
            "exchanges of codes and of tokens from elsewhere that one source may cause. Its other limits follow: ten times as many introspections, and look-ups in Redis in vain, as many encrypted tokens in vain, a 60th of it in key fetches, and in ten minutes a sixth of it in tries of short codes; at least one of each. See [Limits per source](../guide/limits.md#limits-per-source)";
        short_code_tries: u32, "number", 5, Kind::Number { least: 1, most: 1000, unit: "in 10 minutes" }, Takes::Reload,
            "short codes that may be tried for one address-of-record. The limit of their source comes first: a source that has no tries left takes none from an address. A code is short when it consists of at most 30 digits; space, `-`, `.`, `_` and `/` between them do not count";
        trusted_hops: Vec<String>, "comma_list", Vec::new(), Kind::List, Takes::Reload,
            "proxies in front of this one, as addresses or networks (`10.0.0.1, 10.1.0.0/24, 2001:db8::/64`). What they write into Via tells who sent a request, see [Limits per source](../guide/limits.md#limits-per-source)";
        dialect: Vec<String>, "comma_list", Vec::new(), Kind::Words(&DIALECT), Takes::Reload,
            "where phones differ from the text of the drafts. `slides_key`: the shared key is made of call-id, from-tag and to-tag with `|` between them, as on the slides of IETF 100. `raw_ha1`: H(A1) enters the master-key as octets, not as lower-case hex. `empty_body`: a proof in the body covers an empty body, instead of the body without the proof. `empty_star`: a proof covers nothing where the Contact is `*`, as RFC 4474 has it. Then whoever intercepts an unused proof of a REGISTER without Contact can remove all bindings with it. `request_uri`: proofs also cover the Request-URI, which RFC 4474 leaves out. Phones must be able to do so, and no proxy in between may change it";
        back_channel_logout: bool, "boolean", false, Kind::Boolean, Takes::Reload,
            "logout tokens of authorization servers (OpenID Connect Back-Channel Logout) end the sessions of phones that signed in with a code, too. The proxy keeps one or two more small records for each sign-in. Those of the [sign-in page](../guide/sign-in-page.md) end in any case";
        typed_codes: bool, "boolean", false, Kind::Boolean, Takes::Reload,
            "codes of nine digits are those that the [sign-in page](../guide/sign-in-page.md) makes. The proxy finds them in the store and never sends them to an authorization server, and neither codes of 7 to 11 digits, which are mistyped ones";
        pop_window: u32, "number", 300, Kind::Number { least: 5, most: MOST_POP_WINDOW, unit: "s" }, Takes::Reload,
            "how old the Date of a proof may be. It may be `leeway` in the future";
        replay_scope: String, "as_it_is", "proxy".into(), Kind::Choice(&["proxy", "cluster"]), Takes::Reload,
            "`cluster`: all proxies that share a Redis store compare their proofs";
        kd_kdf: String, "as_it_is", Kdf::default().short_name().into(), Kind::Choice(&["sha256", "sha512"]), Takes::Reload,
            "hash function of new Key-Derivation accounts, and of users who do not exist. Their keys are as long as its result";
        kd_iterations: u32, "number", DEFAULT_ITERATIONS, Kind::Number { least: 1000, most: 10_000_000, unit: "" }, Takes::Reload,
            "iterations of PBKDF2 of these accounts";
        connection_auth: bool, "boolean", false, Kind::Boolean, Takes::Reload,
            "the proxy judges a request without credentials by those that were sent earlier on its connection (TCP, TLS, WS, WSS). It can be turned on at a restart only";
        refer_in_dialog: String, "as_it_is", "allow".into(), Kind::Choice(&["allow", "gruu", "refuse"]), Takes::Reload,
            "a REFER within a dialog that may create a subscription. `gruu` is the rule of RFC 7647 section 4: it is refused where the Request-URI is a GRUU; `refuse`: always; `allow`: never, because phones of today transfer so ([which ones](../guide/transfers.md#phones-of-today)). explicitsub and nosub lift this";
        refer_contact: String, "as_it_is", "off".into(), Kind::Choice(&["off", "gruu"]), Takes::Reload,
            "`gruu`: the Contact of such a REFER must be a GRUU (refer-clarifications-05 section 3). Few phones have one";
        refer_explicit: String, "as_it_is", "allow".into(), Kind::Choice(&["allow", "off", "require"]), Takes::Reload,
            "explicitsub and nosub (RFC 7614): `off` refuses them with 420, `require` refuses a REFER without one of them (421, or 403 if the sender does not know them)";
        refer_protected: String, "as_it_is", "prefer".into(), Kind::Choice(&["prefer", "sips", "off"]), Takes::Reload,
            "the URI at which a REFER's events are told: `prefer` makes it a sips URI if the REFER came over TLS or WSS, `off` never. `sips` does always, and redirects (302) a REFER that came without";
        refer_subscriber: String, "as_it_is", "uri".into(), Kind::Choice(&["uri", "token", "owner"]), Takes::Reload,
            "who may subscribe to these events: everybody who knows the URI, or, beside this, whoever shows a token with the scope `sip.refer`, or the user who sent the REFER";
        refer_host: String, "as_it_is", String::new(), Kind::Text, Takes::Reload,
            "host of that URI, with or without port and parameters: `node1.example.com:5060;transport=tcp`. It must lead to this very proxy, also from the others of a cluster. Default: address, port and transport at which the REFER arrived";
        refer_lifetime: u32, "number", 180, Kind::Number { least: 5, most: 86_400, unit: "s" }, Takes::Reload,
            "longest time for which the event server follows a REFER. Then it tells its subscribers 408";
        refer_limit: u32, "number", 30, Kind::Number { least: 1, most: 65_535, unit: "per minute" }, Takes::Reload,
            "REFERs of one address that the event server accepts. One source may send `source_limit` of them, and ten times as many SUBSCRIBEs and PUBLISHs that begin something or name what does not exist";
        max_refers: u32, "number", 1000, Kind::Number { least: 0, most: 1_000_000, unit: "" }, Takes::Restart,
            "REFERs that the event server follows at the same time, 328 octets each, and about 500 octets for each subscription. 0: none";
    } beside {
        /// Only tokens are judged and nothing is kept. Features that need a store do without one.
        #[serde(skip)]
        without_store: bool = false,
        /// The authorization servers.
        provider: Vec<ProviderSettings> = Vec::new(),
        /// Which endpoint is offered which challenge; the first rule that fits decides.
        offer: Vec<OfferSettings> = Vec::new(),
        /// The sign-in page. The proxy ignores it.
        sign_in_page: Option<SignInPageSettings> = None,
    }
}

/// A worker keeps no more accounts opened. They take 2.5 kB each.
const MOST_OPENED: u32 = 65_536;
/// The greatest `leeway` that can be configured.
pub const MOST_LEEWAY: u32 = 600;
/// The greatest `pop_window` that can be configured.
pub const MOST_POP_WINDOW: u32 = 3600;

/// Words of `allow`.
const ALLOWED: [&str; 6] =
    [HTTP, SHARED_USER_NAMES, LONG_REGISTRATIONS, FLOWS_WITHOUT_VERIFIER, UNPROTECTED_SHORT_CODES, POP_REUSE];

/// Word of `allow`: http:// to other hosts.
pub const HTTP: &str = "http";
/// Word of `allow`: users with the same name in several domains are one user.
pub const SHARED_USER_NAMES: &str = "shared_user_names";
/// Word of `allow`: registrations that outlive their token.
pub const LONG_REGISTRATIONS: &str = "long_registrations";
/// Word of `allow`: codes without a verifier that serve several flows.
pub const FLOWS_WITHOUT_VERIFIER: &str = "flows_without_verifier";
/// Word of `allow`: short codes over transports that anyone can read.
pub const UNPROTECTED_SHORT_CODES: &str = "unprotected_short_codes";
/// Word of `allow`: proofs that count again.
pub const POP_REUSE: &str = "pop_reuse";

/// Words of `dialect`.
const DIALECT: [&str; 5] = ["slides_key", "raw_ha1", "empty_body", "empty_star", "request_uri"];

/// Keys of earlier versions, and what to write instead.
pub const GONE: [(&str, &str); 24] = [
    ("key_order", "write dialect = slides_key for key_order = slides"),
    ("ha1_form", "write dialect = raw_ha1 for ha1_form = raw"),
    ("pop_body", "write dialect = empty_body for pop_body = empty"),
    ("pop_star", "write dialect = empty_star for pop_star = empty"),
    ("pop_request_uri", "write dialect = request_uri"),
    ("replay_guard_size", "it follows users: 16 for each"),
    ("connection_auth_size", "it follows users: 1 for each"),
    ("store_cache_size", "it follows users: half as many"),
    ("introspection_cache_size", "it follows users: half as many"),
    ("http_per_provider", "it follows http_threads: half as many"),
    ("key_refresh_interval", "keys are fetched every 15 minutes; remove it"),
    ("allow_http", "write allow = http"),
    ("shared_user_names", "write allow = shared_user_names"),
    ("limit_expires", "write allow = long_registrations for limit_expires = no"),
    ("code_flows_without_verifier", "write allow = flows_without_verifier"),
    ("allow_unprotected_short_codes", "write allow = unprotected_short_codes"),
    ("pop_reuse", "write allow = pop_reuse"),
    ("code_source_limit", "write source_limit"),
    ("introspection_source_limit", "it follows source_limit: ten times as many"),
    ("decryption_source_limit", "it follows source_limit: as many"),
    ("key_source_limit", "it follows source_limit: a 60th"),
    ("short_code_source_tries", "it follows source_limit: a sixth in ten minutes"),
    ("connect_timeout", "it follows http_timeout: two fifths"),
    ("kd_key_size", "keys are as long as the result of kd_kdf; remove it"),
];

/// Seconds after which keys and metadata are fetched again at the latest.
pub const KEY_REFRESH_INTERVAL: u32 = 900;

impl Settings {
    /// True when features that need a store have one, or do without because only tokens are judged.
    pub fn may_keep(&self) -> bool {
        self.store.is_some() || self.without_store
    }

    /// True for a word of `allow`.
    pub fn allows(&self, word: &str) -> bool {
        self.allow.iter().any(|allowed| allowed == word)
    }

    /// True when an `http://` address may be of another host than this one.
    pub fn allows_http(&self) -> bool {
        self.allows(HTTP)
    }

    /// True when a registration must not outlive the token that it was made with.
    pub fn limits_expires(&self) -> bool {
        !self.allows(LONG_REGISTRATIONS)
    }

    /// How many introspections one source may cause in a minute.
    pub fn introspections_per_source(&self) -> u32 {
        self.source_limit * 10
    }

    /// How many requests of one source may be refused in a minute after a look-up in Redis.
    pub fn look_ups_per_source(&self) -> u32 {
        self.source_limit * 10
    }

    /// How many key fetches one source may cause in a minute.
    pub fn key_fetches_per_source(&self) -> u32 {
        (self.source_limit / 60).max(1)
    }

    /// How many short codes one source may try in ten minutes.
    pub fn short_codes_per_source(&self) -> u32 {
        (self.source_limit / 6).max(1)
    }

    /// Most seconds for opening a connection.
    pub fn connect_timeout(&self) -> u32 {
        (self.http_timeout * 2 / 5).max(1)
    }

    /// True for a word of `dialect`.
    pub fn speaks(&self, word: &str) -> bool {
        self.dialect.iter().any(|spoken| spoken == word)
    }

    /// How many proofs are remembered against replay.
    pub fn remembered_proofs(&self) -> usize {
        (self.users as usize * 16).max(1024)
    }

    /// How many connections can be bound to the user who signed in on them.
    pub fn bound_connections(&self) -> usize {
        (self.users as usize).max(64)
    }

    /// How many records from Redis, and how many answers about tokens, shared memory holds.
    pub fn shared_records(&self) -> usize {
        self.users as usize / 2
    }

    /// How many accounts with sessions a worker keeps opened.
    pub fn opened_accounts(&self) -> usize {
        self.users.min(MOST_OPENED) as usize
    }

    /// How many threads one provider may keep busy. These are never all threads that may work for phones.
    pub fn threads_per_provider(&self) -> u32 {
        (self.http_threads / 2).min((threads_for_phones(self.http_threads) - 1).max(1))
    }

    /// Fails if a value is out of its range, or is none of the words that are possible.
    pub(super) fn check_ranges(&self) -> Result<(), ConfigError> {
        first_fault(GLOBAL, &self.values()).map_or(Ok(()), |(key, text)| error(format!("{key}: {text}")))
    }

    /// The settings whose change needs a restart, with their numeric values.
    pub fn of_the_start(&self) -> Vec<(&'static str, u32)> {
        let shaping = GLOBAL.iter().zip(self.values()).filter(|(setting, _)| setting.takes == Takes::Restart);
        shaping.filter_map(|(setting, value)| Some((setting.key, value.number()?))).collect()
    }
}

/// How many of the threads may work for phones at once. The others are left for keys and for the store.
pub fn threads_for_phones(threads: u32) -> u32 {
    threads - threads / 4 - 1
}

/// True for a global key that holds a list: as a host's parameter its value is split at commas.
pub(super) fn is_list(key: &str) -> bool {
    GLOBAL.iter().any(|setting| setting.key == key && matches!(setting.kind, Kind::List | Kind::Words(_)))
}

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

/// Reads a value as it is written.
pub(super) fn as_it_is<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<T, D::Error> {
    T::deserialize(deserializer)
}

/// A list of texts, or one text whose parts are separated by commas, because a host's parameters are texts.
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

/// A word, or a boolean as "yes" or "no".
fn word_or_boolean<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    let word = text(deserializer)?;
    Ok(match word.as_str() {
        "true" | "1" => "yes".to_owned(),
        "false" | "0" => "no".to_owned(),
        _ => word,
    })
}

/// A whole number, which may be written as text, because a host's parameters are texts.
pub(super) fn number<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u32, D::Error> {
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
