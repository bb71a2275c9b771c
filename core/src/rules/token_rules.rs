// SPDX-License-Identifier: MIT OR Apache-2.0
//! What a provider's tokens must say, judged anew on every use of a token.

use std::borrow::Cow;

use std::ops::Range;

use super::claims::Claims;
use super::e164::Country;
use super::scope_rules::{ScopeRules, has_scopes};
use crate::jose::algorithm::Algorithm;
use crate::jose::jws::Header;
use crate::reason::Reason;
use crate::sip::uri::Aor;
use crate::text::json::Json;

/// An accepted `iss`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum IssuerRule {
    /// Exactly this text.
    Exact(String),
    /// Microsoft Entra: the text around `{tenantid}`; the token's `tid` must be one of the tenants.
    Tenant {
        /// The text before the tenant.
        prefix: String,
        /// The text after the tenant.
        suffix: String,
        /// The tenants that may sign in.
        tenants: Vec<String>,
    },
}

impl IssuerRule {
    /// True when tokens of this issuer and tenant are accepted.
    pub fn accepts(&self, issuer: &str, tenant: Option<&str>) -> bool {
        match self {
            IssuerRule::Exact(text) => text == issuer,
            IssuerRule::Tenant { prefix, suffix, tenants } => issuer
                .strip_prefix(prefix.as_str())
                .and_then(|rest| rest.strip_suffix(suffix.as_str()))
                .is_some_and(|id| tenant == Some(id) && tenants.iter().any(|t| t == id)),
        }
    }
}

/// A rule about the protected header: its name, and how it judges.
pub type HeaderRule = (&'static str, fn(&TokenRules, &Header) -> Result<(), Reason>);

/// A rule about claims: its name, and how it judges at a time in Unix seconds.
pub type ClaimRule = (&'static str, fn(&TokenRules, &Claims, i64) -> Result<(), Reason>);

fn check(fulfilled: bool, otherwise: Reason) -> Result<(), Reason> {
    if fulfilled { Ok(()) } else { Err(otherwise) }
}

/// The rules of one provider.
#[derive(Clone, Debug, Default)]
pub struct TokenRules {
    /// Accepted issuers.
    pub issuers: Vec<IssuerRule>,
    /// Accepted audiences; empty means that the audience is not checked (then `clients` is set).
    pub audience: Vec<String>,
    /// Accepted algorithms.
    pub algorithms: Vec<Algorithm>,
    /// Accepted `typ` header values in lower case; "" stands for an absent one.
    pub typ: Vec<String>,
    /// Tolerated clock difference in seconds.
    pub leeway: i64,
    /// Clients whose tokens are accepted; empty: any.
    pub clients: Vec<String>,
    /// Scopes that every token needs.
    pub required_scopes: Vec<String>,
    /// Scopes of methods and services.
    pub scopes: ScopeRules,
    /// Claim paths and the values of which one must be present.
    pub required_claims: Vec<(String, Vec<String>)>,
    /// ID tokens count as access tokens.
    pub accept_id_tokens: bool,
    /// SIP domains that the provider serves; empty: any.
    pub domains: Vec<String>,
    /// Addresses whose tokens may register other addresses of the provider's domains.
    pub third_party: Vec<Aor>,
    /// Telephone numbers are compared in their international spelling.
    pub country: Option<Country>,
    /// True when the location service takes users that differ only in case for the same user.
    pub folds_case: bool,
}

impl TokenRules {
    /// The rules about the protected header, in the order in which they are judged.
    pub const HEADER_RULES: [HeaderRule; 3] = [
        ("algorithm", |rules, header| check(rules.algorithms.contains(&header.algorithm), Reason::AlgorithmNotAllowed)),
        ("nonce", |_, header| check(!header.has_nonce, Reason::ForeignToken)),
        ("type", |rules, header| check(rules.typ.contains(&header.typ), Reason::TypeNotAccepted)),
    ];

    /// The rules about claims that can change from one use of a token to the next, in the order in which they are
    /// judged.
    pub const CLAIM_RULES: [ClaimRule; 8] = [
        ("issuer", |rules, claims, _| {
            let accepted = rules.issuers.iter().any(|i| i.accepts(&claims.issuer, claims.tenant.as_deref()));
            check(accepted, Reason::IssuerUnknown)
        }),
        ("kind", |rules, claims, _| {
            let is_for_client = || claims.audience.iter().any(|a| rules.clients.contains(a));
            let is_id_token = claims.is_id_token || claims.has_roles_only && is_for_client();
            check(!is_id_token || rules.accept_id_tokens, Reason::IdToken)
        }),
        ("expiry", |rules, claims, now| {
            check(now < claims.expires_at.saturating_add(rules.leeway), Reason::TokenExpired)
        }),
        ("not before", |rules, claims, now| {
            check(claims.not_before.is_none_or(|nbf| nbf <= now.saturating_add(rules.leeway)), Reason::TokenNotYetValid)
        }),
        ("issued at", |rules, claims, now| {
            check(claims.issued_at.is_none_or(|iat| iat <= now.saturating_add(rules.leeway)), Reason::IssuedInFuture)
        }),
        ("audience", |rules, claims, _| {
            if rules.audience.is_empty() {
                return Ok(());
            }
            check(!claims.audience.is_empty(), Reason::ClaimMissing)?;
            check(claims.audience.iter().any(|a| rules.audience.contains(a)), Reason::AudienceMismatch)
        }),
        ("client", |rules, claims, _| {
            let named = !claims.clients.is_empty() && claims.clients.iter().all(|c| rules.clients.contains(c));
            check(rules.clients.is_empty() || named, Reason::ClientNotAllowed)
        }),
        ("scope", |rules, claims, _| {
            check(has_scopes(&claims.scope, &rules.required_scopes), Reason::InsufficientScope)
        }),
    ];

    /// Judges the protected header.
    pub fn check_header(&self, header: &Header) -> Result<(), Reason> {
        TokenRules::HEADER_RULES.iter().try_for_each(|(_, rule)| rule(self, header))
    }

    /// Judges the claims: time, issuer, audience, client, scope.
    pub fn check_claims(&self, claims: &Claims, now: i64) -> Result<(), Reason> {
        TokenRules::CLAIM_RULES.iter().try_for_each(|(_, rule)| rule(self, claims, now))
    }

    /// The Unix seconds at which the rules about time hold.
    pub fn span(&self, claims: &Claims) -> Range<i64> {
        let begin = claims.not_before.unwrap_or(i64::MIN).max(claims.issued_at.unwrap_or(i64::MIN));
        begin.saturating_sub(self.leeway)..claims.expires_at.saturating_add(self.leeway)
    }

    /// Judges the rules about further claims. The result does not change while the rules stay the same.
    pub fn check_required_claims(&self, payload: &Json<'_>) -> Result<(), Reason> {
        for (path, wanted) in &self.required_claims {
            let has = payload.path(path).is_some_and(|value| match value.as_strings() {
                Some(values) => values.iter().any(|v| wanted.iter().any(|w| w == v)),
                None => wanted.contains(&value.to_string()),
            });
            if !has {
                return Err(Reason::ClaimMismatch);
            }
        }
        Ok(())
    }

    /// The token's user must own the address: To of a REGISTER, From of any other request. Returns the index of
    /// the address in `owned` that matched.
    pub fn check_owner(&self, owned: &[Aor], method: &str, from: &str, to: &str) -> Result<usize, Reason> {
        if owned.is_empty() {
            return Err(Reason::IdentityMissing);
        }
        // Hosts such as Kamailio take "register" for REGISTER, so this check must do the same. Otherwise it would
        // judge only From.
        let registers = method.eq_ignore_ascii_case("REGISTER");
        let address = self.address_among(owned, if registers { to } else { from }).ok_or(Reason::AorMissing)?;
        if !self.domains.is_empty() && !self.serves(address.host()) {
            return Err(Reason::DomainMismatch);
        }
        let owner = |address: &Aor| owned.iter().position(|a| a == address);
        if !registers {
            return owner(&address).ok_or(Reason::AorMismatch);
        }
        let sender = self.address_among(owned, from).ok_or(Reason::AorMissing)?;
        match (owner(&address), owner(&sender)) {
            (Some(index), Some(_)) => Ok(index),
            (_, Some(index)) if self.third_party.contains(&*sender) => Ok(index),
            (None, None) => Err(Reason::AorMismatch),
            _ => Err(Reason::ThirdPartyRegistration),
        }
    }

    /// Like [`TokenRules::address`]. A URI that is written exactly as an owned address is that address, so it need
    /// not be parsed.
    fn address_among<'a>(&self, owned: &'a [Aor], uri: &str) -> Option<Cow<'a, Aor>> {
        match owned.iter().find(|aor| aor.as_str() == uri) {
            Some(aor) => Some(Cow::Borrowed(aor)),
            None => self.address(uri).map(Cow::Owned),
        }
    }

    /// An address in the form in which addresses are compared: canonical, with a telephone number in its
    /// international spelling. Owned addresses must have this form, too.
    pub fn address(&self, uri: &str) -> Option<Aor> {
        Aor::parse(uri).map(|aor| self.spelled(aor))
    }

    /// Like [`TokenRules::address`], for an address that is canonical already.
    pub fn spelled(&self, aor: Aor) -> Aor {
        let aor = if self.folds_case && aor.has_upper_case() { aor.in_lower_case() } else { aor };
        let number = self.country.as_ref().and_then(|country| country.normalize_user(aor.user()));
        number.and_then(|number| aor.with_user(&number)).unwrap_or(aor)
    }

    /// True when an address that was made from a user name may belong to another user, because it reads as a
    /// telephone number, or because the location service takes it for another address: the one in lower case, or the
    /// one without port and with the scheme `sip`. A name makes nobody the owner of such an address, whoever has
    /// confirmed the name.
    pub fn may_be_anothers(&self, aor: &Aor) -> bool {
        let reads_as_number = || self.country.as_ref().is_some_and(|country| country.reads_as_number(aor.user()));
        self.is_folded(aor) || !aor.is_plain() || reads_as_number()
    }

    /// True when the location service takes the address for another one.
    pub fn is_folded(&self, aor: &Aor) -> bool {
        self.folds_case && aor.has_upper_case()
    }

    /// True when the provider serves this SIP domain.
    pub fn serves(&self, domain: &str) -> bool {
        self.domains.is_empty()
            || self.domains.iter().any(|d| d.eq_ignore_ascii_case(domain.strip_suffix('.').unwrap_or(domain)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules() -> TokenRules {
        TokenRules {
            issuers: vec![IssuerRule::Exact("https://as.example".into())],
            audience: vec!["sip".into()],
            leeway: 30,
            ..TokenRules::default()
        }
    }

    fn claims() -> Claims {
        Claims {
            issuer: "https://as.example".into(),
            audience: vec!["other".into(), "sip".into()],
            expires_at: 1000,
            scope: "sip openid".into(),
            clients: vec!["phone".into()],
            ..Claims::default()
        }
    }

    #[test]
    fn time_with_leeway() {
        let check = |claims: Claims, now| rules().check_claims(&claims, now);
        assert_eq!(check(claims(), 1029), Ok(()));
        assert_eq!(check(claims(), 1030), Err(Reason::TokenExpired));
        let nbf = |nbf| Claims { not_before: Some(nbf), ..claims() };
        assert_eq!(check(nbf(530), 500), Ok(()));
        assert_eq!(check(nbf(531), 500), Err(Reason::TokenNotYetValid));
        assert_eq!(check(nbf(i64::MAX), i64::MAX - 40), Err(Reason::TokenExpired));
        let iat = Claims { issued_at: Some(531), ..claims() };
        assert_eq!(check(iat, 500), Err(Reason::IssuedInFuture));
    }

    #[test]
    fn the_span_is_what_the_rules_about_time_say() {
        let times = [None, Some(i64::MIN), Some(-31), Some(0), Some(530), Some(531), Some(i64::MAX)];
        for not_before in times {
            for issued_at in times {
                for expires_at in times.into_iter().flatten() {
                    let claims = Claims { not_before, issued_at, expires_at, ..claims() };
                    for now in [0, 1, 29, 30, 499, 500, 501, 559, 560, 561, 253_402_300_799] {
                        let judged = rules().check_claims(&claims, now).is_ok();
                        assert_eq!(rules().span(&claims).contains(&now), judged, "{claims:?} at {now}");
                    }
                }
            }
        }
    }

    #[test]
    fn audience_client_scope() {
        let check = |rules: TokenRules, claims: Claims| rules.check_claims(&claims, 0);
        assert_eq!(check(rules(), Claims { audience: vec![], ..claims() }), Err(Reason::ClaimMissing));
        assert_eq!(check(rules(), Claims { audience: vec!["x".into()], ..claims() }), Err(Reason::AudienceMismatch));
        let clients = |c: &[&str]| TokenRules { clients: c.iter().map(|s| s.to_string()).collect(), ..rules() };
        assert_eq!(check(clients(&["phone"]), claims()), Ok(()));
        assert_eq!(check(clients(&["x"]), claims()), Err(Reason::ClientNotAllowed));
        assert_eq!(check(clients(&["x"]), Claims { clients: vec![], ..claims() }), Err(Reason::ClientNotAllowed));
        let two = Claims { clients: vec!["phone".into(), "other".into()], ..claims() };
        assert_eq!(check(clients(&["phone"]), two), Err(Reason::ClientNotAllowed));
        let scope = TokenRules { required_scopes: vec!["sip.call".into()], ..rules() };
        assert_eq!(check(scope, claims()), Err(Reason::InsufficientScope));
    }

    #[test]
    fn entra_tenants_are_listed_not_patterns() {
        let rule = IssuerRule::Tenant {
            prefix: "https://login.example/".into(),
            suffix: "/v2.0".into(),
            tenants: vec!["t1".into()],
        };
        assert!(rule.accepts("https://login.example/t1/v2.0", Some("t1")));
        assert!(!rule.accepts("https://login.example/t2/v2.0", Some("t2")));
        assert!(!rule.accepts("https://login.example/t1/v2.0", Some("t2")));
        assert!(!rule.accepts("https://login.example/t1/v2.0", None));
    }

    #[test]
    fn ownership() {
        let owned = [Aor::parse("sip:alice@example.test").unwrap(), Aor::parse("sip:+4930@example.test").unwrap()];
        let (alice, bob, line) =
            ("sip:alice@example.test", "sip:bob@example.test", "sip:+4930@Example.Test;user=phone");
        let check = |rules: &TokenRules, method, from, to| rules.check_owner(&owned, method, from, to);
        let plain = TokenRules { domains: vec!["example.test".into()], ..rules() };
        assert_eq!(check(&plain, "REGISTER", alice, alice), Ok(0));
        assert_eq!(check(&plain, "REGISTER", alice, line), Ok(1));
        assert_eq!(check(&plain, "REGISTER", alice, bob), Err(Reason::ThirdPartyRegistration));
        assert_eq!(check(&plain, "REGISTER", bob, alice), Err(Reason::ThirdPartyRegistration));
        assert_eq!(check(&plain, "register", alice, bob), Err(Reason::ThirdPartyRegistration));
        assert_eq!(check(&plain, "REGISTER", bob, bob), Err(Reason::AorMismatch));
        assert_eq!(check(&plain, "INVITE", alice, bob), Ok(0));
        assert_eq!(check(&plain, "INVITE", bob, alice), Err(Reason::AorMismatch));
        assert_eq!(check(&plain, "INVITE", "sip:alice@other.test", bob), Err(Reason::DomainMismatch));
        assert_eq!(check(&plain, "INVITE", "tel:+4930", bob), Err(Reason::AorMissing));
        assert_eq!(plain.check_owner(&[], "INVITE", alice, bob), Err(Reason::IdentityMissing));
        let local = "sip:030-1234567@example.test;user=phone";
        assert_eq!(check(&plain, "INVITE", local, bob), Err(Reason::AorMismatch));
        let assistant = TokenRules { third_party: vec![owned[0].clone()], ..plain };
        assert_eq!(check(&assistant, "REGISTER", alice, bob), Ok(0));
        assert_eq!(check(&assistant, "REGISTER", line, bob), Err(Reason::ThirdPartyRegistration));
        assert_eq!(check(&assistant, "REGISTER", alice, "sip:bob@other.test"), Err(Reason::DomainMismatch));
    }

    #[test]
    fn numbers_are_compared_in_one_spelling() {
        let rules = TokenRules { country: Country::parse("49").ok(), ..rules() };
        let owned = [rules.address("sip:0049(30)1234567@example.test").unwrap()];
        assert_eq!(owned[0].as_str(), "sip:+49301234567@example.test");
        let check = |from: &str| rules.check_owner(&owned, "INVITE", from, "sip:bob@example.test");
        for from in [
            "sip:+49301234567@example.test",
            "sip:030-1234567@Example.test;user=phone",
            "sip:030%201234567@example.test",
            "sip:004930.123.4567:secret@example.test",
        ] {
            assert_eq!(check(from), Ok(0), "{from}");
        }
        for from in [
            "sip:301234567@example.test",
            "sip:030-1234567;ext=5@example.test",
            "sip:030-1234567@other.test",
            "sips:030-1234567@example.test",
            "sip:0301234567a@example.test",
        ] {
            assert_eq!(check(from), Err(Reason::AorMismatch), "{from}");
        }
        assert_eq!(check("tel:+49301234567"), Err(Reason::AorMissing));
    }

    /// The script's realm decides nothing about owners. A provider counts for its own domains only.
    #[test]
    fn a_token_is_good_for_its_own_providers_domains() {
        let of = |domain: &str| TokenRules { domains: vec![domain.into()], ..rules() };
        let owned = [Aor::parse("sip:alice@b.test").unwrap()];
        let alice = "sip:alice@b.test";
        assert_eq!(of("a.test").check_owner(&owned, "REGISTER", alice, alice), Err(Reason::DomainMismatch));
        assert_eq!(of("B.test").check_owner(&owned, "REGISTER", alice, alice), Ok(0));
        assert_eq!(
            of("a.test").check_owner(&owned, "MESSAGE", "sip:alice@b.test:5060", ""),
            Err(Reason::DomainMismatch)
        );
    }
}
