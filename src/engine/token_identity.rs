// SPDX-License-Identifier: MIT OR Apache-2.0
//! Who the tokens of an exchange stand for: the verified ID token first, then the access token.

use std::cell::OnceCell;

use super::exchange::TokenError;
use crate::config::provider::Provider;
use crate::proto::claims::Claims;
use crate::proto::jose::decryption_keys::DecryptionKeys;
use crate::proto::jose::jws::{CompactJws, Header};
use crate::proto::jose::key_set::KeySet;
use crate::proto::json::Json;
use crate::proto::reason::Reason;
use crate::proto::session::Identity;
use crate::proto::token_response::IssuedTokens;
use crate::proto::token_rules::TokenRules;

/// The keys of a provider, fetched anew at most once, and those that decrypt its tokens.
pub(super) struct Keys<'a> {
    decryption: &'a DecryptionKeys,
    known: Option<&'a KeySet>,
    fetch: &'a dyn Fn() -> Option<KeySet>,
    fresh: OnceCell<Option<KeySet>>,
}

impl<'a> Keys<'a> {
    pub(super) fn new(
        decryption: &'a DecryptionKeys,
        known: Option<&'a KeySet>,
        fetch: &'a dyn Fn() -> Option<KeySet>,
    ) -> Keys<'a> {
        Keys { decryption, known, fetch, fresh: OnceCell::new() }
    }

    fn verify(&self, provider: &Provider, jws: &CompactJws<'_>, header: &Header) -> Result<(), TokenError> {
        let known = match self.fresh.get() {
            Some(fresh) => fresh.as_ref(),
            None => self.known,
        };
        let verified = provider.keys.verify(jws, header, known);
        if verified != Err(Reason::KeyUnknown) || !provider.keys.is_fetched() {
            return verified.map_err(TokenError::Denied);
        }
        match self.fresh.get_or_init(self.fetch) {
            Some(fresh) => provider.keys.verify(jws, header, Some(fresh)).map_err(TokenError::Denied),
            // The code is spent, and nobody knows who it stood for.
            None => Err(TokenError::InDoubt("tokens came, but the keys that verify them cannot be fetched now".into())),
        }
    }
}

/// Finds the user's addresses. `scope` is what is known of the granted scopes.
pub(super) fn identify(
    provider: &Provider,
    client_id: &str,
    tokens: &IssuedTokens,
    scope: &str,
    keys: &Keys<'_>,
    now: i64,
) -> Result<Identity, TokenError> {
    let make = |(subject, aors)| Identity { subject, aors, client_id: client_id.into(), scope: scope.into() };
    let id_token = tokens.id_token.as_ref();
    if let Some(token) = id_token
        && let Some(found) = from_id_token(provider, client_id, &token.0, keys, now)?
    {
        return Ok(make(found));
    }
    match from_access_token(provider, &tokens.access_token.0, keys, now) {
        Ok(Some(found)) => Ok(make(found)),
        // What is wrong with the access token matters only when there was nothing else to go by.
        Err(TokenError::Denied(reason))
            if id_token.is_none() && ![Reason::TokenOpaque, Reason::TokenEncrypted].contains(&reason) =>
        {
            Err(TokenError::Denied(reason))
        }
        Ok(None) | Err(TokenError::Denied(_)) => Err(TokenError::Denied(Reason::IdentityMissing)),
        Err(other) => Err(other),
    }
}

/// Claims of an access token that came from its issuer over TLS: its signature is not checked.
pub fn unverified_claims(decryption: &DecryptionKeys, token: &str) -> Option<Claims> {
    let token = decryption.open(token).ok()?;
    let payload = CompactJws::split(&token).ok()?.unverified_payload().ok()?;
    Claims::from_json(&Json::parse(&payload).ok()?).ok()
}

/// `sub` and the addresses.
type Found = (String, Vec<String>);

/// OpenID Connect Core section 3.1.3.7. None: the token is good, but gives no address.
fn from_id_token(
    provider: &Provider,
    client_id: &str,
    token: &str,
    keys: &Keys<'_>,
    now: i64,
) -> Result<Option<Found>, TokenError> {
    let rules = TokenRules {
        issuers: provider.rules.issuers.clone(),
        audience: vec![client_id.to_owned()],
        algorithms: provider.rules.algorithms.clone(),
        typ: vec![String::new(), "jwt".into()],
        leeway: provider.rules.leeway,
        accept_id_tokens: true,
        ..TokenRules::default()
    };
    let check = |claims: &Claims, json: &Json<'_>| {
        if claims.issued_at.is_none() || claims.subject.as_ref().is_none_or(String::is_empty) {
            return Err(Reason::ClaimMissing);
        }
        // Without azp the token is for everybody in aud (Core with errata 2), and the proxy's client is among them.
        let is_known = |party: &str| party == client_id || provider.rules.clients.iter().any(|client| client == party);
        match json.get("azp").map(Json::as_str) {
            None => Ok(()),
            Some(Some(party)) if is_known(party) => Ok(()),
            Some(_) => Err(Reason::ClientNotAllowed),
        }
    };
    read(provider, &rules, token, keys, now, check)
}

/// The access token by the provider's own rules. Scopes are judged apart: the answer itself may name them.
fn from_access_token(provider: &Provider, token: &str, keys: &Keys<'_>, now: i64) -> Result<Option<Found>, TokenError> {
    let rules = TokenRules { required_scopes: Vec::new(), ..provider.rules.clone() };
    read(provider, &rules, token, keys, now, |_, _| Ok(()))
}

fn read(
    provider: &Provider,
    rules: &TokenRules,
    token: &str,
    keys: &Keys<'_>,
    now: i64,
    check: impl Fn(&Claims, &Json<'_>) -> Result<(), Reason>,
) -> Result<Option<Found>, TokenError> {
    let token = keys.decryption.open(token).map_err(Reason::from)?;
    let jws = CompactJws::split(&token)?;
    let header = jws.header()?;
    let payload = jws.unverified_payload()?;
    let json = Json::parse(&payload).map_err(|_| Reason::TokenMalformed)?;
    if !token.agrees_with(&json) {
        return Err(TokenError::Denied(Reason::TokenMalformed));
    }
    let claims = Claims::from_json(&json)?;
    rules.check_header(&header)?;
    // A token that would be refused anyway is not worth a key fetch.
    rules.check_claims(&claims, now)?;
    check(&claims, &json)?;
    keys.verify(provider, &jws, &header)?;
    let aors = provider.addresses(&json);
    if aors.is_empty() {
        return Ok(None);
    }
    provider.rules.check_required_claims(&json)?;
    let aors = aors.iter().map(|aor| aor.as_str().to_owned()).collect();
    Ok(Some((claims.subject.unwrap_or_default(), aors)))
}
