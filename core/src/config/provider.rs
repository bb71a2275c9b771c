// SPDX-License-Identifier: MIT OR Apache-2.0
//! One authorization server: its settings checked and made ready for use.

use std::collections::BTreeMap;

use super::client::Client;
use super::decryption::Encryption;
use super::domains::{Reach, TenantDomains, domains, tenants};
use super::introspection::{Introspection, TokenStrategy};
use super::key_source::{KeySource, given_sources};
use super::password_sign_in::{PasswordSignIn, TokenSource};
use super::provider_settings::ProviderSettings;
use super::settings::Settings;
use super::urls::check_url;
use super::{ConfigError, error};
use crate::jose::algorithm::Algorithm;
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
        check_name(name)?;
        let fail = |key: &str, text: String| ConfigError(format!("provider '{name}': {key}: {text}"));
        if let Some((key, text)) = settings.fault() {
            return Err(fail(key, text));
        }
        check_issuer(settings, &fail)?;
        let strategy = TokenStrategy::new(settings);
        let client = Client::new(settings, strategy, global, files, &fail)?;
        let introspection = Introspection::new(settings, strategy, client.as_ref(), global, &fail)?;
        let password_sign_in = PasswordSignIn::new(settings, client.as_ref(), global.may_keep(), files, &fail)?;
        let own_issuer = password_sign_in.as_ref().filter(|sign_in| sign_in.source == TokenSource::Issue);
        let keys = match own_issuer {
            Some(issuer) => KeySource::of_own_tokens(settings, issuer, &fail)?,
            None => KeySource::new(settings, strategy, global, files, &fail)?,
        };
        let validation_grant = validation_grant(settings, strategy, client.as_ref(), global.may_keep(), &fail)?;
        if settings.require_master_key && client.is_none() {
            return Err(fail("require_master_key", "needs 'client_id', with which codes are exchanged".into()));
        }
        let algorithms = algorithms(settings, &keys, &fail)?;
        let audience = audience(settings, strategy, &fail)?;
        let country = settings.e164.as_deref().map(Country::parse).transpose().map_err(|e| fail("e164", e))?;
        let aor = templates(settings, own_issuer.is_some(), strategy, country.as_ref(), &fail)?;
        let (tenants, tenant_domains) = tenants(settings, &fail)?;
        let domains = domains(settings, &tenant_domains, strategy, &fail)?;
        let third_party = third_party(settings, &fail)?;
        let encryption = settings.encryption.as_deref().map_or(Encryption::Allowed, Encryption::from_word);
        let ignores_binding = settings.cnf.as_deref() == Some("ignore");
        let pairs_tokens = password_sign_in.is_some() && settings.token_pop.as_deref() != Some("optional");
        let authz_server = settings.authz_server.clone().unwrap_or_else(|| settings.issuer.clone());
        check_url(&authz_server, global.allows_http()).map_err(|e| fail("authz_server", e))?;
        let scope = if settings.scope.is_empty() { &settings.required_scopes } else { &settings.scope };
        let mut rules = TokenRules {
            issuers: issuer_rules(settings, &tenants, &fail)?,
            audience,
            algorithms,
            typ: types(settings),
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

/// The name stands in logs, in metrics and in RPC answers.
fn check_name(name: &str) -> Result<(), ConfigError> {
    let is_possible = |b: u8| b.is_ascii_alphanumeric() || b"-_.".contains(&b);
    if !name.is_empty() && name.len() <= 63 && name.bytes().all(is_possible) {
        return Ok(());
    }
    let hint = if name.contains('=') { "; ';' separates one key=value from the next" } else { "" };
    error(format!("provider '{name}': name: write a short name of letters, digits, '-', '_' or '.'{hint}"))
}

/// An issuer that stands for many tenants is no address, so the settings must name the addresses.
fn check_issuer(settings: &ProviderSettings, fail: &Fail<'_>) -> Result<(), ConfigError> {
    if settings.issuer.is_empty() {
        let text = "is missing; write the exact 'iss' of the tokens, for example https://login.example.com";
        return Err(fail("issuer", text.into()));
    }
    if settings.issuer.contains(TENANT) {
        let keys = !given_sources(settings).is_empty();
        for (key, given) in [("discovery_url", keys), ("authz_server", settings.authz_server.is_some())] {
            if !given {
                return Err(fail(key, format!("is missing: issuer has {TENANT}, which is no address")));
            }
        }
    }
    Ok(())
}

/// The accepted audiences; none where `clients` decides, or where the server judges tokens from elsewhere itself.
fn audience(settings: &ProviderSettings, strategy: TokenStrategy, fail: &Fail<'_>) -> Result<Vec<String>, ConfigError> {
    let audience = &settings.audience;
    let is_missing = audience.is_empty() || audience.iter().any(String::is_empty);
    if is_missing && strategy != TokenStrategy::ValidationGrant {
        return Err(fail("audience", "is missing; write the 'aud' that tokens for your SIP service have".into()));
    }
    if *audience != ["none"] {
        return Ok(audience.clone());
    }
    if settings.clients.is_empty() {
        let text = "\"none\" needs 'clients': otherwise a token for any service would do";
        return Err(fail("audience", text.into()));
    }
    Ok(Vec::new())
}

/// How claims become addresses. Tokens of the proxy's own name the address.
fn templates(
    settings: &ProviderSettings,
    issues_tokens: bool,
    strategy: TokenStrategy,
    country: Option<&Country>,
    fail: &Fail<'_>,
) -> Result<Vec<AorTemplate>, ConfigError> {
    if issues_tokens && !settings.aor.is_empty() {
        let text = "is not used with password_grant issue: the proxy's tokens name the address";
        return Err(fail("aor", text.into()));
    }
    if settings.aor.is_empty() && !issues_tokens && strategy != TokenStrategy::ValidationGrant {
        let text = "is missing; write how the user becomes an address, for example sip:{preferred_username}@{domain}";
        return Err(fail("aor", text.into()));
    }
    let own = issues_tokens.then(|| OWN_TEMPLATE.to_owned());
    let parse = |template: &String| AorTemplate::parse(template, country, &settings.domain);
    let templates: Result<Vec<_>, _> = settings.aor.iter().chain(&own).map(parse).collect();
    let templates = templates.map_err(|e| fail("aor", e))?;
    if settings.domain.is_empty() && templates.iter().any(AorTemplate::uses_domain) {
        return Err(fail("domain", "is missing, but aor uses {domain}; write your SIP domain".into()));
    }
    Ok(templates)
}

fn third_party(settings: &ProviderSettings, fail: &Fail<'_>) -> Result<Vec<Aor>, ConfigError> {
    let address = |text: &String| {
        let wrong = || fail("third_party", format!("'{text}' is not a SIP address such as sip:assistant@example.com"));
        Aor::parse(text).ok_or_else(wrong)
    };
    settings.third_party.iter().map(address).collect()
}

/// The accepted `typ` headers in lower case; an empty text stands for a token without one.
fn types(settings: &ProviderSettings) -> Vec<String> {
    let given = |typ: &String| if typ == "none" { String::new() } else { typ.to_ascii_lowercase() };
    match settings.typ.as_slice() {
        [] => ["at+jwt", "jwt", ""].map(str::to_owned).to_vec(),
        types => types.iter().map(given).collect(),
    }
}

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
        (_, TokenStrategy::ValidationGrant) if !matches!(settings.encryption.as_deref(), None | Some("allowed")) => {
            let text = "is not possible with tokens = validation_grant, whose tokens are not this proxy's to decrypt; let \
                        phones use TLS";
            Err(fail("encryption", text.into()))
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
