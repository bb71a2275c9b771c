// SPDX-License-Identifier: MIT OR Apache-2.0
//! One authorization server: its settings checked and made ready for use.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, Ipv6Addr};

use http::Uri;

use super::client::Client;
use super::decryption::Encryption;
use super::domains::{Reach, TenantDomains, canonical_host, tenants};
use super::introspection::{Introspection, TokenStrategy};
use super::password_sign_in::{PasswordSignIn, TokenSource};
use super::provider_settings::ProviderSettings;
use super::settings::Settings;
use super::{ConfigError, error};
use crate::jose::algorithm::Algorithm;
use crate::jose::jwk::VerificationKey;
use crate::jose::jws::{CompactJws, Header};
use crate::jose::key_set::{KeySet, Origin};
use crate::jose::pem::keys_from_pem;
use crate::reason::Reason;
use crate::records::session::{IssuerName, issuer_name};
use crate::rules::aor_template::{AorTemplate, MAX_AORS};
use crate::rules::e164::Country;
use crate::rules::scope_rules::{NeededScopes, ScopeRules, join_scopes};
use crate::rules::token_rules::{IssuerRule, TokenRules};
use crate::sip::uri::Aor;
use crate::text::json::Json;

/// A provider whose settings make sense.
#[derive(Debug)]
pub struct Provider {
    /// Short name.
    pub name: String,
    /// The issuer as configured.
    pub issuer: String,
    /// Its name in stored sessions.
    pub issuer_name: IssuerName,
    /// What its tokens must say.
    pub rules: TokenRules,
    /// How claims become addresses.
    pub aor: Vec<AorTemplate>,
    /// Where its keys come from.
    pub keys: KeySource,
    /// The hosts of its users' addresses.
    pub reach: Reach,
    /// This provider and others with the same setting may name each other's users.
    pub shares_domains: bool,
    /// The domains of each tenant; empty if tenants are not told apart.
    pub tenant_domains: TenantDomains,
    /// Whether its tokens must be encrypted.
    pub encryption: Encryption,
    /// Tokens count whatever key they are bound to (setting `cnf`).
    pub ignores_binding: bool,
    /// The proxy's own client at this server, which exchanges codes and introspects tokens.
    pub client: Option<Client>,
    /// How its tokens are checked.
    pub strategy: TokenStrategy,
    /// Where tokens are introspected; Some exactly when the strategy is `Opaque` or `JwtThenIntrospection`.
    pub introspection: Option<Introspection>,
    /// `grant_type` that validates tokens from elsewhere; Some exactly when the strategy is `ValidationGrant`.
    pub validation_grant: Option<String>,
    /// How users sign in with a password, if they may.
    pub password_sign_in: Option<PasswordSignIn>,
    /// Tokens count only together with a proof of possession, and proofs of phones that hold their tokens only
    /// together with a token.
    pub pairs_tokens: bool,
    /// The answer to a code must bring a master-key.
    pub requires_master_key: bool,
    /// Address of the server in challenges.
    pub authz_server: String,
    /// Scopes in challenges, separated by a space.
    pub challenge_scope: String,
}

/// Where keys come from.
#[derive(Debug)]
pub enum KeySource {
    /// Configured; never fetched.
    Static(KeySet),
    /// A key set at a known address.
    Jwks(String),
    /// Metadata documents in this order. What one of them lacks is taken from the next. All must name the issuer.
    Discovery(Vec<String>),
}

impl KeySource {
    /// True when the keys come from a server; false when they are configured.
    pub fn is_fetched(&self) -> bool {
        !matches!(self, KeySource::Static(_))
    }

    /// Checks a signature with the configured keys, or with the `fetched` ones. [`KeySource::may_have_changed`]
    /// says whether fetching the keys anew may help.
    pub fn verify(&self, jws: &CompactJws<'_>, header: &Header, fetched: Option<&KeySet>) -> Result<(), Reason> {
        let set = match self {
            KeySource::Static(set) => return jws.verify(header, set),
            _ => fetched.ok_or(Reason::KeyUnknown)?,
        };
        // Keys without a kid are tried one after the other. When none fits, the right one may be new, so the key
        // counts as unknown.
        jws.verify(header, set).map_err(|reason| match reason {
            Reason::SignatureInvalid if set.only_guesses(header.kid.as_deref()) => Reason::KeyUnknown,
            reason => reason,
        })
    }

    /// Whether fetching the keys anew may change the result, because the right key is not there or the server has
    /// another key under its name.
    pub fn may_have_changed(&self, verified: Result<(), Reason>) -> bool {
        let reasons = [Reason::KeyUnknown, Reason::SignatureInvalid, Reason::KeyUnsuitable];
        self.is_fetched() && verified.is_err_and(|reason| reasons.contains(&reason))
    }

    /// Identifies the source, so that keys published for one source never serve another; 0 if nothing is fetched.
    pub fn id(&self, issuer: &str) -> u64 {
        use std::hash::{DefaultHasher, Hash, Hasher};
        let mut hasher = DefaultHasher::new();
        match self {
            KeySource::Static(_) => return 0,
            KeySource::Jwks(uri) => (0u8, uri).hash(&mut hasher),
            KeySource::Discovery(urls) => (1u8, urls, issuer).hash(&mut hasher),
        }
        hasher.finish() | 1
    }
}

impl Provider {
    /// True when its keys are fetched in advance and refreshed regularly, because signatures of tokens depend on
    /// them.
    pub fn watches_keys(&self) -> bool {
        !matches!(self.strategy, TokenStrategy::Opaque | TokenStrategy::ValidationGrant) && self.keys.is_fetched()
    }

    /// Identifies the source of the keys that are fetched in this way; 0 if none are.
    pub fn key_source_id(&self) -> u64 {
        if self.watches_keys() { self.keys.id(&self.issuer) } else { 0 }
    }

    /// Checks one provider. `files` holds the content of every file that is named.
    pub fn new(
        settings: &ProviderSettings,
        global: &Settings,
        files: &BTreeMap<String, String>,
    ) -> Result<Provider, ConfigError> {
        let name = settings.name.as_str();
        let fail = |key: &str, text: String| ConfigError(format!("provider '{name}': {key}: {text}"));
        if name.is_empty() || name.len() > 63 || !name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b))
        {
            let hint = if name.contains('=') { "; ';' separates one key=value from the next" } else { "" };
            return error(format!(
                "provider '{name}': name: write a short name of letters, digits, '-', '_' or '.'{hint}"
            ));
        }
        if let Some((key, text)) = settings.fault() {
            return Err(fail(key, text));
        }
        if settings.issuer.is_empty() {
            return Err(fail(
                "issuer",
                "is missing; write the exact 'iss' of the tokens, for example https://login.example.com".into(),
            ));
        }
        if settings.issuer.contains(TENANT) {
            let keys = !sources(settings).is_empty();
            for (key, given) in [("discovery_url", keys), ("authz_server", settings.authz_server.is_some())] {
                if !given {
                    return Err(fail(key, format!("is missing: issuer has {TENANT}, which is no address")));
                }
            }
        }
        let http = |key: &str, url: &str| check_url(url, global.allow_http).map_err(|e| fail(key, e));
        let strategy = TokenStrategy::new(settings, &fail)?;
        let client = Client::new(settings, strategy, global, files, &fail)?;
        let introspection = Introspection::new(settings, strategy, client.as_ref(), global, &fail)?;
        let password_sign_in = PasswordSignIn::new(settings, client.as_ref(), global.may_keep(), files, &fail)?;
        let issues = password_sign_in.as_ref().filter(|sign_in| sign_in.source == TokenSource::Issue);
        let mut keys = match (issues, sources(settings).first()) {
            (Some(_), Some(key)) => {
                return Err(fail(key, "is not used with password_grant issue: tokens are the proxy's own".into()));
            }
            (Some(issuer), None) => KeySource::Static(issuer.key_set()),
            (None, _) => key_source(settings, files, &fail)?,
        };
        let validation_grant = validation_grant(settings, strategy, client.as_ref(), global.may_keep(), &fail)?;
        if settings.require_master_key && client.is_none() {
            return Err(fail("require_master_key", "needs 'client_id', with which codes are exchanged".into()));
        }
        let pairs_tokens = match settings.token_pop.as_deref() {
            None => password_sign_in.is_some(),
            Some("required") => true,
            Some("optional") => false,
            Some(other) => {
                return Err(fail("token_pop", format!("'{other}' is not possible, write required or optional")));
            }
        };
        // Opaque tokens need no keys, so an issuer that is only a name will do.
        if let KeySource::Discovery(urls) = &mut keys
            && strategy == TokenStrategy::Opaque
            && settings.introspection_endpoint.is_some()
            && settings.discovery_url.is_none()
        {
            urls.retain(|url| check_url(url, global.allow_http).is_ok());
        }
        match &keys {
            KeySource::Static(_) => {}
            KeySource::Jwks(uri) => http("jwks_uri", uri)?,
            KeySource::Discovery(urls) => {
                let key = if settings.discovery_url.is_some() { "discovery_url" } else { "issuer" };
                urls.iter().try_for_each(|url| http(key, url))?;
            }
        }
        let algorithms = algorithms(settings, &keys, &fail)?;
        let mut audience = settings.audience.clone();
        // The server judges tokens from elsewhere itself, and says whose they are.
        let judges_itself = strategy == TokenStrategy::ValidationGrant;
        if (audience.iter().any(String::is_empty) || audience.is_empty()) && !judges_itself {
            return Err(fail("audience", "is missing; write the 'aud' that tokens for your SIP service have".into()));
        }
        if audience == ["none"] {
            if settings.clients.is_empty() {
                return Err(fail(
                    "audience",
                    "\"none\" needs 'clients': otherwise a token for any service would do".into(),
                ));
            }
            audience.clear();
        }
        if issues.is_some() && !settings.aor.is_empty() {
            return Err(fail(
                "aor",
                "is not used with password_grant issue: the proxy's tokens name the address".into(),
            ));
        }
        if settings.aor.is_empty() && issues.is_none() && !judges_itself {
            return Err(fail(
                "aor",
                "is missing; write how the user becomes an address, for example sip:{preferred_username}@{domain}"
                    .into(),
            ));
        }
        let country = settings.e164.as_deref().map(Country::parse).transpose().map_err(|e| fail("e164", e))?;
        let parse = |template: &String| AorTemplate::parse(template, country.as_ref(), &settings.domain);
        let own = issues.map(|_| OWN_TEMPLATE.to_owned());
        let aor: Vec<AorTemplate> =
            settings.aor.iter().chain(&own).map(parse).collect::<Result<_, _>>().map_err(|e| fail("aor", e))?;
        if settings.domain.is_empty() && aor.iter().any(AorTemplate::uses_domain) {
            return Err(fail("domain", "is missing, but aor uses {domain}; write your SIP domain".into()));
        }
        let (tenants, tenant_domains) = tenants(settings, &fail)?;
        let host = |domain: &String| {
            let wrong = || fail("domains", format!("'{domain}' is no host name such as example.com"));
            canonical_host(domain).ok_or_else(wrong)
        };
        let mut domains = settings.domains.iter().map(host).collect::<Result<Vec<_>, _>>()?;
        if domains.is_empty() {
            domains = tenant_domains.iter().flat_map(|(_, domains)| domains.clone()).collect();
        }
        // A host with a port counts as a host, too. A text that is not a host stays as it is, because no host ever
        // equals it.
        if domains.is_empty() && !settings.domain.is_empty() {
            let of_user = Aor::parse(&format!("sip:user@{}", settings.domain));
            domains.push(of_user.map_or_else(|| settings.domain.clone(), |aor| aor.host().to_owned()));
        }
        // Without domains, this server would be asked about users of others, and users of one name could not be
        // told apart.
        if judges_itself && domains.is_empty() {
            let text = "is missing; write the SIP domain whose users the server knows by their names";
            return Err(fail("domain", text.into()));
        }
        let third_party = settings
            .third_party
            .iter()
            .map(|t| {
                Aor::parse(t).ok_or_else(|| {
                    fail("third_party", format!("'{t}' is not a SIP address such as sip:assistant@example.com"))
                })
            })
            .collect::<Result<_, _>>()?;
        let typ = match settings.typ.as_slice() {
            [] => ["at+jwt", "jwt", ""].map(str::to_owned).to_vec(),
            given => given.iter().map(|t| if t == "none" { String::new() } else { t.to_ascii_lowercase() }).collect(),
        };
        let encryption = Encryption::from_name(&settings.encryption).ok_or_else(|| {
            fail(
                "encryption",
                format!("'{}' is not possible, write allowed, required_without_tls or required", settings.encryption),
            )
        })?;
        let ignores_binding = match settings.cnf.as_str() {
            "" | "check" => false,
            "ignore" => true,
            other => return Err(fail("cnf", format!("'{other}' is not possible, write check or ignore"))),
        };
        let authz_server = settings.authz_server.clone().unwrap_or_else(|| settings.issuer.clone());
        http("authz_server", &authz_server)?;
        let scope = if settings.scope.is_empty() { &settings.required_scopes } else { &settings.scope };
        let mut rules = TokenRules {
            issuers: issuer_rules(settings, &tenants, &fail)?,
            audience,
            algorithms,
            typ,
            leeway: i64::from(settings.leeway.unwrap_or(global.leeway)),
            clients: settings.clients.clone(),
            required_scopes: settings.required_scopes.clone(),
            scopes: ScopeRules {
                methods: needed_scopes("method_scopes", &settings.method_scopes, true, &fail)?,
                services: needed_scopes("services", &settings.services, false, &fail)?,
            },
            required_claims: settings.required_claims.iter().map(|(k, v)| (k.clone(), v.0.clone())).collect(),
            accept_id_tokens: settings.accept_id_tokens,
            domains,
            third_party,
            country,
            folds_case: global.location_folds_case,
        };
        rules.third_party = rules.third_party.iter().map(|aor| rules.spelled(aor.clone())).collect();
        Ok(Provider {
            name: name.to_owned(),
            issuer: settings.issuer.clone(),
            issuer_name: issuer_name(&settings.issuer),
            reach: Reach::new(&rules, &aor),
            shares_domains: settings.shared_domains,
            tenant_domains,
            rules,
            aor,
            keys,
            client,
            strategy,
            introspection,
            validation_grant,
            password_sign_in,
            pairs_tokens,
            requires_master_key: settings.require_master_key,
            encryption,
            ignores_binding,
            authz_server,
            challenge_scope: scope.join(" "),
        })
    }

    /// The scopes that a token needs, as a challenge names them; `more` are those that the request needs besides.
    /// A phone that lacks one of them must get a new token with all of them, or it would be refused next for
    /// another scope.
    pub fn scope_for(&self, more: &[String]) -> String {
        let required = self.rules.required_scopes.iter().chain(more).map(String::as_str);
        join_scopes(self.challenge_scope.split_ascii_whitespace().chain(required))
    }

    /// The claims of `aor` that users may have written into their accounts as they like. Neither the template nor
    /// `required_claims` asks whether the server has verified them.
    pub fn unverified_claims(&self) -> impl Iterator<Item = &str> {
        let asks = |claim: &str| {
            let told = format!("{claim}_verified");
            self.rules.required_claims.iter().any(|(path, wanted)| *path == told && *wanted == ["true"])
        };
        self.aor.iter().flat_map(AorTemplate::unverified_claims).filter(move |claim| !asks(claim))
    }

    /// The addresses that the claims of a token make, in the form in which they are compared.
    pub fn addresses(&self, claims: &Json<'_>) -> Vec<Aor> {
        let mut made = Vec::new();
        for template in &self.aor {
            template.expand(claims, &mut made);
        }
        made.retain(|aor| !self.rules.is_folded(aor) && self.is_of_tenant(aor, claims));
        made
    }

    /// A tenant names the users of its own domains only.
    fn is_of_tenant(&self, aor: &Aor, claims: &Json<'_>) -> bool {
        let is_its = |tenant: &str| {
            let listed = self.tenant_domains.iter().find(|(id, _)| id == tenant);
            listed.is_some_and(|(_, domains)| domains.iter().any(|domain| domain == aor.host()))
        };
        self.tenant_domains.is_empty() || claims.get("tid").and_then(Json::as_str).is_some_and(is_its)
    }

    /// The values of the claims in `aor` that make no address, because they are neither text nor integer, or
    /// because a token stands for at most [`MAX_AORS`] addresses. Each is described by a sentence.
    pub fn skipped(&self, claims: &Json<'_>) -> Vec<String> {
        let (mut skipped, mut all) = (Vec::new(), Vec::new());
        for template in &self.aor {
            template.skipped_values(claims, &mut skipped);
            let mut made = Vec::new();
            template.expand(claims, &mut made);
            made.retain(|aor| !all.contains(aor));
            all.extend(made);
        }
        if all.len() > MAX_AORS {
            skipped
                .push(format!("the claims make more than {MAX_AORS} addresses, of which the first {MAX_AORS} count"));
        }
        skipped
    }

    /// The addresses that claims make but that do not count, each with the reason.
    pub fn dropped(&self, claims: &Json<'_>) -> Vec<(Aor, &'static str)> {
        let (mut numbers, mut made) = (Vec::new(), Vec::new());
        for template in &self.aor {
            template.dropped_numbers(claims, &mut numbers);
            template.expand(claims, &mut made);
        }
        let why = |aor: &Aor| match () {
            () if self.rules.is_folded(aor) => Some("is another address to the location service (location_folds_case)"),
            () if !self.is_of_tenant(aor, claims) => Some("is not of a domain of the token's tenant (tenants)"),
            () => None,
        };
        let numbers =
            numbers.into_iter().map(|aor| (aor, "reads as a telephone number, which only a template with |e164 makes"));
        numbers.chain(made.into_iter().filter_map(|aor| why(&aor).map(|why| (aor, why)))).collect()
    }
}

/// The claim by which tokens of the proxy's own name the address-of-record.
pub const OWN_CLAIM: &str = "sip";
const OWN_TEMPLATE: &str = "{sip}";

fn validation_grant(
    settings: &ProviderSettings,
    strategy: TokenStrategy,
    client: Option<&Client>,
    has_store: bool,
    fail: &Fail<'_>,
) -> Result<Option<String>, ConfigError> {
    let key = "validation_grant_type";
    match (&settings.validation_grant_type, strategy) {
        (None, TokenStrategy::ValidationGrant) if client.is_some() => Err(fail(
            key,
            "is missing; write the grant_type with which the server validates tokens, a URN (RFC 6749 section 4.5)"
                .into(),
        )),
        (_, TokenStrategy::ValidationGrant) if client.is_none() => {
            Err(fail("client_id", "is missing: who validates tokens at this server needs a client there".into()))
        }
        (_, TokenStrategy::ValidationGrant) if !has_store => {
            Err(fail("tokens", "validation_grant needs 'store', where what the server says is kept".into()))
        }
        (Some(urn), TokenStrategy::ValidationGrant) if !urn.contains(':') || urn.chars().any(char::is_whitespace) => {
            Err(fail(key, format!("'{urn}' is not a URN")))
        }
        (Some(urn), TokenStrategy::ValidationGrant) => Ok(Some(urn.clone())),
        (Some(_), _) => Err(fail(key, "is not used without tokens = validation_grant; remove it".into())),
        (None, _) => Ok(None),
    }
}

/// Reads items such as `INVITE=sip.call`. Each name may be given once.
fn needed_scopes(
    key: &str,
    items: &[String],
    any_case: bool,
    fail: &Fail<'_>,
) -> Result<Vec<NeededScopes>, ConfigError> {
    let mut out: Vec<NeededScopes> = Vec::new();
    for item in items {
        let rule = NeededScopes::parse(item).map_err(|e| fail(key, e))?;
        let same = |known: &NeededScopes| {
            if any_case { known.name.eq_ignore_ascii_case(&rule.name) } else { known.name == rule.name }
        };
        if out.iter().any(same) {
            return Err(fail(
                key,
                format!("'{}' is given twice; write its scopes in one item, with a space", rule.name),
            ));
        }
        out.push(rule);
    }
    Ok(out)
}

/// Stands for the tenant in the issuer of Microsoft Entra.
pub(super) const TENANT: &str = "{tenantid}";

/// Makes an error that names the provider and the key.
pub(super) type Fail<'a> = dyn Fn(&str, String) -> ConfigError + 'a;

fn issuer_rules(
    settings: &ProviderSettings,
    tenants: &[String],
    fail: &Fail<'_>,
) -> Result<Vec<IssuerRule>, ConfigError> {
    std::iter::once(&settings.issuer)
        .chain(&settings.accepted_issuers)
        .map(|issuer| match issuer.split_once(TENANT) {
            None => Ok(IssuerRule::Exact(issuer.clone())),
            Some(_) if tenants.is_empty() => {
                Err(fail("tenants", "is missing, but issuer has {tenantid}; list the tenants that may sign in".into()))
            }
            Some((prefix, suffix)) => {
                Ok(IssuerRule::Tenant { prefix: prefix.into(), suffix: suffix.into(), tenants: tenants.to_vec() })
            }
        })
        .collect()
}

fn algorithms(settings: &ProviderSettings, keys: &KeySource, fail: &Fail<'_>) -> Result<Vec<Algorithm>, ConfigError> {
    let has_secret = matches!(keys, KeySource::Static(set) if set.keys().iter().any(|k| k.key_type().kty() == "oct"));
    if settings.algorithms.is_empty() {
        return Ok(Algorithm::ALL.into_iter().filter(|a| a.is_symmetric() == has_secret).collect());
    }
    settings
        .algorithms
        .iter()
        .map(|name| match Algorithm::from_name(name) {
            Some(a) if a.is_symmetric() && !has_secret => {
                Err(fail("algorithms", format!("{name} needs a 'secret' or 'secret_file'")))
            }
            Some(a) => Ok(a),
            None => {
                let known: Vec<_> = Algorithm::ALL.iter().map(|a| a.name()).collect();
                Err(fail("algorithms", format!("'{name}' is not one of {}", known.join(", "))))
            }
        })
        .collect()
}

/// The settings that name a source of keys.
fn sources(settings: &ProviderSettings) -> Vec<&'static str> {
    let given = [
        ("discovery_url", settings.discovery_url.is_some()),
        ("jwks_uri", settings.jwks_uri.is_some()),
        ("jwks_file", settings.jwks_file.is_some()),
        ("pem_file", settings.pem_file.is_some()),
        ("secret", settings.secret.is_some()),
        ("secret_file", settings.secret_file.is_some()),
    ];
    given.iter().filter(|g| g.1).map(|g| g.0).collect()
}

fn key_source(
    settings: &ProviderSettings,
    files: &BTreeMap<String, String>,
    fail: &Fail<'_>,
) -> Result<KeySource, ConfigError> {
    let given = sources(settings);
    if given.len() > 1 {
        return Err(fail(given[1], format!("{} is set too; choose one source of keys", given[0])));
    }
    let content = |path: &String| files.get(path).map(String::as_str).unwrap_or_default();
    let secret = |octets: &[u8]| {
        VerificationKey::from_secret(octets)
            .map(|key| KeySource::Static(KeySet::from_keys(vec![key])))
            .map_err(|_| fail(given[0], "must have at least 32 octets (RFC 7518 section 3.2)".into()))
    };
    if let Some(path) = &settings.jwks_file {
        let set = KeySet::from_jwks(content(path).as_bytes(), Origin::Configured);
        return set.map(KeySource::Static).map_err(|e| {
            let each = if e.rejected().len() > 1 {
                format!("; sipoauth jwks --file {path} tells of each")
            } else {
                String::new()
            };
            fail("jwks_file", format!("{path}: {e}{each}"))
        });
    }
    if let Some(path) = &settings.pem_file {
        let keys = keys_from_pem(content(path).as_bytes()).map_err(|e| fail("pem_file", format!("{path}: {e}")))?;
        return Ok(KeySource::Static(KeySet::from_keys(keys)));
    }
    if let Some(text) = &settings.secret {
        return secret(text.expose());
    }
    if let Some(path) = &settings.secret_file {
        return secret(content(path).trim_end_matches(['\r', '\n']).as_bytes());
    }
    if let Some(uri) = &settings.jwks_uri {
        return Ok(KeySource::Jwks(uri.clone()));
    }
    Ok(KeySource::Discovery(match &settings.discovery_url {
        Some(url) => vec![url.clone()],
        None => discovery_urls(&settings.issuer),
    }))
}

/// OpenID Connect Discovery section 4, then RFC 8414 section 3: there the well-known part precedes the path.
pub(super) fn discovery_urls(issuer: &str) -> Vec<String> {
    let base = issuer.trim_end_matches('/');
    let mut urls = vec![format!("{base}/.well-known/openid-configuration")];
    if let Some((scheme, rest)) = base.split_once("://") {
        let (host, path) = rest.split_once('/').map_or((rest, String::new()), |(h, p)| (h, format!("/{p}")));
        urls.push(format!("{scheme}://{host}/.well-known/oauth-authorization-server{path}"));
    }
    urls
}

/// Accepts https to any host, but http only to this machine unless `allow_http` is set.
pub fn check_url(url: &str, allow_http: bool) -> Result<(), String> {
    let uri: Uri = url.parse().map_err(|e| format!("'{url}' is not a URL: {e}"))?;
    let host = uri.host().unwrap_or("");
    match uri.scheme_str() {
        Some("https") if !host.is_empty() => Ok(()),
        Some("http") if is_loopback(host) || allow_http && !host.is_empty() => Ok(()),
        Some("http") => {
            Err(format!("'{url}' is not protected; write https:// (or set allow_http = true on a closed network)"))
        }
        _ => Err(format!("'{url}' is not an https URL")),
    }
}

fn is_loopback(host: &str) -> bool {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost"
        || bare.parse::<Ipv4Addr>().is_ok_and(|a| a.is_loopback())
        || bare.parse::<Ipv6Addr>().is_ok_and(|a| a.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn discovery_addresses() {
        assert_eq!(
            discovery_urls("https://kc.example/realms/a/"),
            [
                "https://kc.example/realms/a/.well-known/openid-configuration",
                "https://kc.example/.well-known/oauth-authorization-server/realms/a"
            ]
        );
    }

    #[test]
    fn only_protected_addresses() {
        for good in ["https://a.example/x", "http://127.0.0.1:9400", "http://[::1]:1/x", "http://localhost/"] {
            assert_eq!(check_url(good, false), Ok(()), "{good}");
        }
        for bad in [
            "http://as.example",
            "http://127.0.0.1.evil.test",
            "ftp://x",
            "as.example",
            "",
            "https://",
            "http://localhost.evil",
        ] {
            assert!(check_url(bad, false).is_err(), "{bad}");
        }
        assert!(check_url("http://as.example", true).is_ok());
    }
}
