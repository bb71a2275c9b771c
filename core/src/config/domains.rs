// SPDX-License-Identifier: MIT OR Apache-2.0
//! Which users a provider can name. If several providers are configured, none must be able to name the users of
//! another one.

use super::introspection::TokenStrategy;
use super::policy::Policy;
use super::provider::{Fail, Provider};
use super::provider_settings::ProviderSettings;
use super::settings::{SHARED_USER_NAMES, Settings};
use super::{ConfigError, error};
use crate::rules::aor_template::AorTemplate;
use crate::rules::token_rules::TokenRules;
use crate::sip::uri::Aor;

/// The hosts of the addresses that a provider's users can have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reach {
    /// Its claims name the host, and nothing limits it.
    Any,
    /// Only these hosts, canonical.
    Hosts(Vec<String>),
}

impl Reach {
    /// What `domains` allow, or without them what the templates in `aor` say.
    pub(super) fn new(rules: &TokenRules, aor: &[AorTemplate]) -> Reach {
        if !rules.domains.is_empty() {
            return Reach::Hosts(rules.domains.clone());
        }
        // If some users may register others, they may register anybody.
        let hosts: Option<Vec<&str>> = aor.iter().map(AorTemplate::known_host).collect();
        match hosts.filter(|_| rules.third_party.is_empty()) {
            Some(hosts) => Reach::Hosts(hosts.into_iter().map(str::to_owned).collect()),
            None => Reach::Any,
        }
    }
}

/// The host as addresses have it: lower case, no dot at its end, IPv6 in its shortest form. None if it is not a
/// host.
pub(super) fn canonical_host(host: &str) -> Option<String> {
    let aor = Aor::parse(&format!("sip:user@{host}"))?;
    // The text must be nothing but a host: no port, no parameter, no other user.
    (aor.as_str() == format!("sip:user@{}", aor.host()))
        .then(|| aor.host().to_owned())
        .filter(|_| !host.contains([';', '?', '@']))
}

/// The tenants, each with the SIP domains of its users; empty if no tenant has any.
pub type TenantDomains = Vec<(String, Vec<String>)>;

/// Reads `TENANT` and `TENANT=domain domain`.
pub(super) fn tenants(
    settings: &ProviderSettings,
    fail: &Fail<'_>,
) -> Result<(Vec<String>, TenantDomains), ConfigError> {
    let mut all: TenantDomains = Vec::new();
    for item in &settings.tenants {
        let (tenant, domains) = item.split_once('=').unwrap_or((item, ""));
        let domains = domains.split_ascii_whitespace().map(|domain| {
            let wrong = || fail("tenants", format!("'{item}': '{domain}' is no host name such as example.com"));
            canonical_host(domain).ok_or_else(wrong)
        });
        all.push((tenant.trim().to_owned(), domains.collect::<Result<_, _>>()?));
    }
    let names = all.iter().map(|(tenant, _)| tenant.clone()).collect();
    let says = all.iter().any(|(_, domains)| !domains.is_empty());
    if all.len() > 1 && !settings.shared_domains {
        let shared = "or write shared_domains = yes if each tenant may name the users of the others";
        if let Some((tenant, _)) = all.iter().find(|(_, domains)| domains.is_empty()) {
            let text = format!(
                "'{tenant}' has no domains, so it could name the users of the other tenants; write '{tenant}=its.domain', {shared}"
            );
            return Err(fail("tenants", text));
        }
        for (index, (tenant, domains)) in all.iter().enumerate() {
            let others = all[..index].iter().flat_map(|(_, domains)| domains);
            if let Some(domain) = others.into_iter().find(|domain| domains.contains(domain)) {
                let text =
                    format!("'{domain}' is a domain of '{tenant}' and of another tenant; give it to one, {shared}");
                return Err(fail("tenants", text));
            }
        }
    }
    Ok((names, if says { all } else { Vec::new() }))
}

/// The SIP domains that a provider serves, canonical: `domains`, those of its tenants, or `domain`.
pub(super) fn domains(
    settings: &ProviderSettings,
    tenants: &TenantDomains,
    strategy: TokenStrategy,
    fail: &Fail<'_>,
) -> Result<Vec<String>, ConfigError> {
    let host = |domain: &String| {
        let wrong = || fail("domains", format!("'{domain}' is no host name such as example.com"));
        canonical_host(domain).ok_or_else(wrong)
    };
    let mut domains = settings.domains.iter().map(host).collect::<Result<Vec<_>, _>>()?;
    if domains.is_empty() {
        domains = tenants.iter().flat_map(|(_, domains)| domains.clone()).collect();
    }
    // A host with its port is one, too. A text that is no host is never compared with one.
    if domains.is_empty() && !settings.domain.is_empty() {
        let of_user = Aor::parse(&format!("sip:user@{}", settings.domain));
        domains.push(of_user.map_or_else(|| settings.domain.clone(), |aor| aor.host().to_owned()));
    }
    // The server of tokens from elsewhere is not asked about other domains' users, whom it might know by the same names.
    if strategy == TokenStrategy::ValidationGrant && domains.is_empty() {
        let text = "is missing; write the SIP domain whose users the server knows by their names";
        return Err(fail("domain", text.into()));
    }
    Ok(domains)
}

/// Fails when one provider can name the users of another one, unless both say that they share them.
pub(super) fn check(providers: &[Provider], settings: &Settings) -> Result<(), ConfigError> {
    for (index, provider) in providers.iter().enumerate() {
        for other in &providers[..index] {
            if provider.shares_domains && other.shares_domains {
                continue;
            }
            let shared = "shared_domains = yes for both if each may name the other's users";
            let (open, closed) = if provider.reach == Reach::Any { (provider, other) } else { (other, provider) };
            match (&open.reach, &closed.reach) {
                (Reach::Any, _) => {
                    return error(format!(
                        "provider '{}': domains: is missing, but its claims name the host of an address, so it could name the \
                         users of provider '{}'; list its SIP domains, or write {shared}",
                        open.name, closed.name
                    ));
                }
                (Reach::Hosts(hosts), Reach::Hosts(others)) => {
                    if let Some(host) = hosts.iter().find(|host| others.contains(host)) {
                        return error(format!(
                            "provider '{}': domains: '{host}' is served by provider '{}', too; give it to one of them, or write \
                             {shared}",
                            provider.name, other.name
                        ));
                    }
                }
                (Reach::Hosts(_), Reach::Any) => {}
            }
        }
    }
    check_location(providers, settings)
}

/// True when the location service would take a user of this host for one of a provider's users, because it knows users by
/// name alone.
pub fn is_mixed_up(policy: &Policy, host: &str) -> bool {
    let is_other = |reach: &Reach| match reach {
        Reach::Any => true,
        Reach::Hosts(hosts) => hosts.iter().any(|other| other != host),
    };
    let settings = &policy.settings;
    let by_name_alone = settings.location_ignores_domain && !settings.allows(SHARED_USER_NAMES);
    by_name_alone && policy.providers.iter().any(|provider| is_other(&provider.reach))
}

/// Fails if users of several domains would be mixed up. A location service that knows users by name alone takes
/// alice of one domain for the alice of every other domain.
fn check_location(providers: &[Provider], settings: &Settings) -> Result<(), ConfigError> {
    if !settings.location_ignores_domain || settings.allows(SHARED_USER_NAMES) {
        return Ok(());
    }
    let mut all: Vec<&str> = Vec::new();
    for provider in providers {
        match &provider.reach {
            Reach::Any => all.extend(["any domain", "any other one"]),
            Reach::Hosts(hosts) => all.extend(hosts.iter().map(String::as_str)),
        }
    }
    all.sort_unstable();
    all.dedup();
    if all.len() < 2 {
        return Ok(());
    }
    error(format!(
        "location_ignores_domain: the location service mixes up domains (usrloc has use_domain = 0, or the registrar a \
         realm_prefix), but users of several domains sign in ({}), and one would get the calls of another; set \
         modparam(\"usrloc\", \"use_domain\", 1) and no realm_prefix, or list one SIP domain in domains, or write allow = \
         shared_user_names if users of one name are one user",
        all.join(", ")
    ))
}
