// SPDX-License-Identifier: MIT OR Apache-2.0
//! Checks a provider's keys: can they be found and used, and do they fit `algorithms`?

use sipoauth_core::config::introspection::TokenStrategy;
use sipoauth_core::config::key_source::KeySource;
use sipoauth_core::config::policy::Policy;
use sipoauth_core::config::provider::Provider;
use sipoauth_core::jose::algorithm::Algorithm;
use sipoauth_core::jose::key_set::{KeySet, Origin, Rejected};
use sipoauth_core::oauth::endpoints::{Endpoint, Endpoints};
use sipoauth_core::oauth::key_fetch::KEY_SET_TYPES;
use sipoauth_core::oauth::metadata::{METADATA_TYPES, WantedEndpoint, endpoint_of_metadata};
use sipoauth_core::ports::{Fetch, FetchError};
use sipoauth_core::text::json::Json;

use super::finding::Findings;
use super::remembered::RememberedDocuments;
use crate::output::now;

const DOCUMENT: &str = "open the address in a browser: the metadata of the issuer must be there; discovery_url names it when it is elsewhere";
const KEYS: &str = "the server must publish a signing key: RSA of at least 2048 bits, P-256, P-384 or Ed25519";
const FAULTY_KEYS: &str = "have the server publish a key without the faults that are named for each below";
const ADDRESS: &str = "the server answers, but not with keys at this address: correct jwks_uri, or leave it out where the metadata names it";
const UNREADABLE: &str = "the server answers, but not with a key set that can be read: have it send the whole key set as plain JSON of at most 1 MiB";
const BROKEN: &str = "the server answers with an error of its own: look at its log";
const NO_ADDRESS: &str = "write jwks_uri, if the server gives ID tokens or signs its answers";
/// Why the server is not reached.
pub const REACH: &str = "look at the name, the port, a firewall in between, and whether the server runs";

/// What depends on a provider's keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Purpose {
    /// Every token.
    Tokens,
    /// ID tokens of sign-ins and signed answers. The server may give none of them.
    Answers,
    /// Nothing.
    Nothing,
}

impl Purpose {
    /// `announces` says whether the metadata announces signed introspection answers.
    fn new(policy: &Policy, provider: &Provider, announces: impl FnOnce() -> bool) -> Purpose {
        if matches!(provider.strategy, TokenStrategy::Jwt | TokenStrategy::JwtThenIntrospection) {
            return Purpose::Tokens;
        }
        let signs_in = provider.client.is_some() && policy.sessions.is_some();
        let signed = || provider.introspection.as_ref().is_some_and(|i| i.signed.unwrap_or_else(announces));
        if signs_in || signed() { Purpose::Answers } else { Purpose::Nothing }
    }
}

/// The check of one provider's keys.
pub struct KeyCheck<'a> {
    provider: &'a Provider,
    purpose: Purpose,
}

/// Checks keys that the configuration has.
pub fn configured(policy: &Policy, provider: &Provider, findings: &mut Findings) {
    let KeySource::Static(set) = &provider.keys else { return };
    let check = KeyCheck { provider, purpose: Purpose::new(policy, provider, || false) };
    check.usable(set, "configured", findings);
}

/// Checks keys that the proxy fetches, if anything depends on them.
pub fn fetched(policy: &Policy, index: usize, documents: &RememberedDocuments<'_>, findings: &mut Findings) {
    let provider = &policy.providers[index];
    let announces = || {
        let found = Endpoints::new().resolve(documents, policy, index, Endpoint::Introspection, now());
        found.is_ok_and(|endpoint| endpoint.signs_introspection)
    };
    let check = KeyCheck { provider, purpose: Purpose::new(policy, provider, announces) };
    match &provider.keys {
        _ if check.purpose == Purpose::Nothing => {}
        KeySource::Static(_) => {}
        KeySource::Jwks(uri) => check.key_set(uri, documents, findings),
        KeySource::Discovery(urls) => check.discovered(urls, policy.settings.allows_http(), documents, findings),
    }
}

impl KeyCheck<'_> {
    fn name(&self) -> Option<&str> {
        Some(self.provider.name.as_str())
    }

    fn discovered(
        &self,
        urls: &[String],
        allow_http: bool,
        documents: &RememberedDocuments<'_>,
        findings: &mut Findings,
    ) {
        let issuer = self.provider.issuer.as_str();
        if urls.is_empty() {
            return self.unusable("keys", "nothing says where the server's keys are", NO_ADDRESS, findings);
        }
        let wanted = WantedEndpoint { issuer, member: "jwks_uri", mutual_tls: false, allow_http };
        match endpoint_of_metadata(documents, urls, &wanted) {
            Ok(announced) => {
                findings.ok("metadata", self.name(), &format!("names the issuer {issuer} and its keys"));
                self.key_set(&announced.address, documents, findings);
            }
            Err(error) => match slash(issuer, urls, documents) {
                Some((message, fix)) => self.unusable("metadata", &message, &fix, findings),
                None => self.unusable_with("metadata", &error.to_string(), DOCUMENT, findings),
            },
        }
    }

    fn key_set(&self, uri: &str, documents: &RememberedDocuments<'_>, findings: &mut Findings) {
        let body = match documents.get(uri, KEY_SET_TYPES) {
            Ok(document) => document.body,
            Err(error) => {
                let fix = match error {
                    FetchError::Status(300..=499) => ADDRESS,
                    FetchError::Status(500..) => BROKEN,
                    FetchError::Status(_) | FetchError::Unreadable(_) => UNREADABLE,
                    FetchError::Failed(_) => REACH,
                };
                return self.unusable_with("keys", &format!("{uri}: {error}"), fix, findings);
            }
        };
        match KeySet::from_jwks(&body, Origin::Fetched) {
            Err(error) => {
                let fix = if error.rejected().is_empty() { KEYS } else { FAULTY_KEYS };
                self.unusable("keys", &format!("{uri}: {error}"), fix, findings);
                let refused = match self.purpose {
                    Purpose::Tokens => "every token that is signed with it is refused",
                    _ => "what is signed with it is refused",
                };
                error.rejected().iter().for_each(|key| self.rejected(key, refused, findings));
            }
            Ok(set) => self.usable(&set, "usable", findings),
        }
    }

    fn usable(&self, set: &KeySet, which: &str, findings: &mut Findings) {
        let what = match self.purpose {
            Purpose::Answers => "; they verify ID tokens and signed answers",
            _ => "",
        };
        let message = format!("{} {which} key(s), {}{what}", set.keys().len(), algorithms(set));
        findings.ok("keys", self.name(), &message);
        let refused = match self.purpose {
            Purpose::Tokens => "tokens signed with it are refused; sipoauth jwks shows all keys",
            _ => "what is signed with it is refused; sipoauth jwks shows all keys",
        };
        for key in set.rejected().iter().filter(|key| !key.error.is_other_use()) {
            self.rejected(key, refused, findings);
        }
        self.algorithms_fit(set, findings);
    }

    /// What the keys verify needs an accepted algorithm and a key for it.
    fn algorithms_fit(&self, set: &KeySet, findings: &mut Findings) {
        let accepted = &self.provider.rules.algorithms;
        let fits = || set.keys().iter().any(|key| accepted.iter().any(|algorithm| key.suits(*algorithm)));
        if self.purpose == Purpose::Nothing || fits() {
            return;
        }
        let names: Vec<&str> = accepted.iter().map(|algorithm| algorithm.name()).collect();
        let result = if self.purpose == Purpose::Tokens { ": no token can be accepted" } else { "" };
        let message =
            format!("algorithms accepts {}, but the server's keys are {}{result}", names.join(", "), algorithms(set));
        self.unusable("algorithms", &message, "write an algorithm of the keys in algorithms, or remove it", findings);
    }

    fn rejected(&self, key: &Rejected, fix: &str, findings: &mut Findings) {
        findings.warning("keys", self.name(), &format!("{} is not used: {}", key.name(), key.error), fix);
    }

    /// No key can be used. A server without ID tokens and signed answers may need none.
    fn unusable(&self, check: &'static str, message: &str, fix: &str, findings: &mut Findings) {
        if self.purpose == Purpose::Tokens {
            return findings.failed(check, self.name(), message, fix);
        }
        let message = format!("{message}: ID tokens and signed answers of this server, if it gives any, are of no use");
        findings.warning(check, self.name(), &message, fix);
    }

    /// As [`KeyCheck::unusable`], from a sentence that usually has "; " and the fix behind it.
    fn unusable_with(&self, check: &'static str, sentence: &str, otherwise: &str, findings: &mut Findings) {
        let (message, fix) = sentence.split_once("; ").unwrap_or((sentence, otherwise));
        self.unusable(check, message, fix, findings);
    }
}

/// The metadata as the server sends it, unchecked. It is for checks that only give warnings.
pub fn document(addresses: &[String], documents: &RememberedDocuments<'_>) -> Option<Vec<u8>> {
    let body = |url: &String| Some(documents.get(url, METADATA_TYPES).ok()?.body);
    addresses.iter().filter_map(body).find(|body| Json::parse(body).is_ok())
}

/// The most common mistake has its own sentence: an issuer that differs only in its final slash.
fn slash(configured: &str, urls: &[String], documents: &RememberedDocuments<'_>) -> Option<(String, String)> {
    let document = document(urls, documents)?;
    let document = Json::parse(&document).ok()?;
    let named = document.get("issuer")?.as_str()?;
    (named != configured && named.trim_end_matches('/') == configured.trim_end_matches('/')).then(|| {
        let message =
            format!("the server calls itself '{named}', configured is '{configured}': the final slash counts");
        (message, format!("write issuer={named}"))
    })
}

fn algorithms(set: &KeySet) -> String {
    let suited = Algorithm::ALL.into_iter().filter(|a| set.keys().iter().any(|key| key.suits(*a)));
    format!("for {}", suited.map(Algorithm::name).collect::<Vec<_>>().join(", "))
}
