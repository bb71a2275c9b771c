// SPDX-License-Identifier: MIT OR Apache-2.0
//! What a provider's tokens must say, judged anew on every use of a token.

use super::claims::Claims;
use super::jose::algorithm::Algorithm;
use super::jose::jws::Header;
use super::json::Json;
use super::reason::Reason;
use super::uri::{Aor, canonicalize, host_of};

/// An accepted `iss`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum IssuerRule {
    /// Exactly this text.
    Exact(String),
    /// Microsoft Entra: the text around `{tenantid}`; the token's `tid` must be one of the tenants.
    Tenant {
        /// Before the tenant.
        prefix: String,
        /// After it.
        suffix: String,
        /// The tenants that may sign in.
        tenants: Vec<String>,
    },
}

impl IssuerRule {
    /// True when a token of this issuer and tenant may be looked at.
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
    /// Claim paths and the values of which one must be present.
    pub required_claims: Vec<(String, Vec<String>)>,
    /// ID tokens count as access tokens.
    pub accept_id_tokens: bool,
    /// SIP domains that the provider serves; empty: any.
    pub domains: Vec<String>,
    /// Addresses whose tokens may register other addresses of the provider's domains.
    pub third_party: Vec<Aor>,
}

impl TokenRules {
    /// Rules about the protected header.
    pub fn check_header(&self, header: &Header) -> Result<(), Reason> {
        if !self.algorithms.contains(&header.algorithm) {
            return Err(Reason::AlgorithmNotAllowed);
        }
        if header.has_nonce {
            return Err(Reason::ForeignToken);
        }
        if !self.typ.contains(&header.typ) {
            return Err(Reason::TypeNotAccepted);
        }
        Ok(())
    }

    /// Rules that can change from one use of a token to the next: time, issuer, audience, client, scope.
    pub fn check_claims(&self, claims: &Claims, now: i64) -> Result<(), Reason> {
        if !self.issuers.iter().any(|i| i.accepts(&claims.issuer, claims.tenant.as_deref())) {
            return Err(Reason::IssuerUnknown);
        }
        if claims.is_id_token && !self.accept_id_tokens {
            return Err(Reason::IdToken);
        }
        if now >= claims.expires_at.saturating_add(self.leeway) {
            return Err(Reason::TokenExpired);
        }
        let latest = now.saturating_add(self.leeway);
        if claims.not_before.is_some_and(|nbf| nbf > latest) {
            return Err(Reason::TokenNotYetValid);
        }
        if claims.issued_at.is_some_and(|iat| iat > latest) {
            return Err(Reason::IssuedInFuture);
        }
        if !self.audience.is_empty() {
            if claims.audience.is_empty() {
                return Err(Reason::ClaimMissing);
            }
            if !claims.audience.iter().any(|a| self.audience.contains(a)) {
                return Err(Reason::AudienceMismatch);
            }
        }
        if !self.clients.is_empty()
            && (claims.clients.is_empty() || claims.clients.iter().any(|c| !self.clients.contains(c)))
        {
            return Err(Reason::ClientNotAllowed);
        }
        if self.required_scopes.iter().any(|s| !claims.has_scope(s)) {
            return Err(Reason::InsufficientScope);
        }
        Ok(())
    }

    /// Rules about further claims; their answer does not change while the rules stay the same.
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

    /// The token's user must own the address: To of a REGISTER, From of any other request.
    /// The index is that of the address of `owned` that matched.
    pub fn check_owner(&self, owned: &[Aor], method: &str, from: &str, to: &str) -> Result<usize, Reason> {
        if owned.is_empty() {
            return Err(Reason::IdentityMissing);
        }
        // Hosts such as Kamailio take "register" for REGISTER, so this must too, or only From would be judged.
        let registers = method.eq_ignore_ascii_case("REGISTER");
        let mut address = String::with_capacity(128);
        if !canonicalize(if registers { to } else { from }, &mut address) {
            return Err(Reason::AorMissing);
        }
        if !self.serves(host_of(&address)) {
            return Err(Reason::DomainMismatch);
        }
        let owner = |address: &str| owned.iter().position(|a| a.as_str() == address);
        if !registers {
            return owner(&address).ok_or(Reason::AorMismatch);
        }
        let mut sender = String::with_capacity(128);
        if !canonicalize(from, &mut sender) {
            return Err(Reason::AorMissing);
        }
        match (owner(&address), owner(&sender)) {
            (Some(index), Some(_)) => Ok(index),
            (_, Some(index)) if self.third_party.iter().any(|a| a.as_str() == sender) => Ok(index),
            (None, None) => Err(Reason::AorMismatch),
            _ => Err(Reason::ThirdPartyRegistration),
        }
    }

    /// True when the provider serves this SIP domain.
    pub fn serves(&self, domain: &str) -> bool {
        self.domains.is_empty() || self.domains.iter().any(|d| d.eq_ignore_ascii_case(domain))
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
        let assistant = TokenRules { third_party: vec![owned[0].clone()], ..plain };
        assert_eq!(check(&assistant, "REGISTER", alice, bob), Ok(0));
        assert_eq!(check(&assistant, "REGISTER", line, bob), Err(Reason::ThirdPartyRegistration));
        assert_eq!(check(&assistant, "REGISTER", alice, "sip:bob@other.test"), Err(Reason::DomainMismatch));
    }
}
