// SPDX-License-Identifier: MIT OR Apache-2.0
//! Who the tokens of an exchange stand for: the verified ID token first, then the access token, then what the server
//! says when it is asked.

use std::cell::OnceCell;

use zeroize::Zeroizing;

use super::endpoints::Endpoint;
use super::exchange::{TokenError, TokenServer};
use super::introspection::{Introspected, IntrospectionError, introspect};
use super::metadata::MetadataError;
use super::user_info::{UserInfo, UserInfoError, user_info};
use super::verdict::Trouble;
use crate::config::client::ClientAuth;
use crate::config::provider::Provider;
use crate::proto::claim_fault::{ACCESS_TOKEN, ClaimFault, ID_TOKEN, INTROSPECTION_ANSWER};
use crate::proto::claims::Claims;
use crate::proto::fingerprint::printable;
use crate::proto::jose::decryption_keys::DecryptionKeys;
use crate::proto::jose::jws::{CompactJws, Header};
use crate::proto::jose::key_set::KeySet;
use crate::proto::json::Json;
use crate::proto::reason::Reason;
use crate::proto::session::Identity;
use crate::proto::token_response::IssuedTokens;
use crate::proto::token_rules::{IssuerRule, TokenRules};

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
        if !provider.keys.may_have_changed(verified) {
            return verified.map_err(TokenError::Denied);
        }
        match self.fresh.get_or_init(self.fetch) {
            Some(fresh) => provider.keys.verify(jws, header, Some(fresh)).map_err(TokenError::Denied),
            // The code is spent, and nobody knows who it stood for.
            None => Err(TokenError::InDoubt(Trouble::answered(
                "tokens came, but the keys that verify them cannot be fetched now".into(),
            ))),
        }
    }
}

/// What was looked at for the user's addresses, in this order; of what has none, what it has instead.
#[derive(Default)]
struct Search {
    seen: Vec<String>,
    /// A server that could have told did not answer.
    trouble: Option<Trouble>,
}

impl Search {
    fn note(&mut self, source: &str, what: &str) {
        self.seen.push(format!("{source}: {what}"));
    }

    fn into_error(self) -> TokenError {
        match self.trouble {
            // The code is spent, and nobody knows who it stood for.
            Some(trouble) => TokenError::InDoubt(trouble),
            None => {
                let text = format!("no claim that 'aor' asks for; {}", self.seen.join("; "));
                TokenError::Unfit(Reason::IdentityMissing, text)
            }
        }
    }
}

/// Finds the user's addresses: in the ID token, in the access token, and with `ask`, at the server: what it says of the
/// access token (RFC 7662), then of its user (OpenID Connect Core section 5.3). `scope` is what is known of the granted
/// scopes.
pub(super) fn identify(
    server: &TokenServer<'_>,
    tokens: &IssuedTokens,
    scope: &str,
    ask: bool,
) -> Result<Identity, TokenError> {
    let (provider, client, now) = (server.provider(), server.client()?, (server.now)());
    let keys = Keys::new(&server.policy.decryption, server.keys, server.fetch_keys);
    let make = |found: Read| Identity {
        subject: found.subject,
        aors: found.aors,
        client_id: client.id.clone(),
        scope: scope.into(),
    };
    let mut search = Search::default();
    let mut subject = None;
    if let Some(token) = &tokens.id_token {
        let read = from_id_token(provider, &client.id, &token.0, &keys, now)?;
        if !read.aors.is_empty() {
            return Ok(make(read));
        }
        search.note("the ID token has", &read.names);
        subject = Some(read.subject);
    }
    match from_access_token(provider, &tokens.access_token.0, &keys, now) {
        Ok(read) if !read.aors.is_empty() => return Ok(make(read)),
        Ok(read) => search.note("the access token has", &read.names),
        Err(unfit @ TokenError::Unfit(..)) if tokens.id_token.is_none() => return Err(unfit),
        // What is wrong with the access token matters only when there was nothing else to go by.
        Err(TokenError::Denied(reason))
            if tokens.id_token.is_none() && ![Reason::TokenOpaque, Reason::TokenEncrypted].contains(&reason) =>
        {
            return Err(TokenError::Denied(reason));
        }
        Err(TokenError::Denied(reason)) => search.note("the access token is not read", reason.code()),
        Err(TokenError::Unfit(_, text)) => search.note("the access token is not read", &text),
        Err(other) => return Err(other),
    }
    if !ask {
        return Err(search.into_error());
    }
    for question in [from_introspection, from_user_info] {
        if let Some(read) = question(server, &tokens.access_token.0, subject.as_deref(), &keys, &mut search)? {
            return Ok(make(read));
        }
    }
    Err(search.into_error())
}

/// The server's own word about an access token that it has just issued.
fn from_introspection(
    server: &TokenServer<'_>,
    token: &str,
    _: Option<&str>,
    _: &Keys<'_>,
    search: &mut Search,
) -> Result<Option<Read>, TokenError> {
    const SOURCE: &str = "introspection";
    let provider = server.provider();
    // A server tells nobody about tokens of whom it cannot tell who he is.
    if matches!(server.client()?.auth, ClientAuth::None) {
        return Ok(None);
    }
    let endpoint = match (server.resolve)(Endpoint::Introspection) {
        Ok(endpoint) => endpoint,
        Err(MetadataError::Absent(_)) => return Ok(None),
        Err(MetadataError::Failed(why)) => {
            search.trouble = Some(Trouble::unanswered(why));
            return Ok(None);
        }
    };
    let now = (server.now)();
    match introspect(server.http, &endpoint, provider, server.keys, server.fetch_keys, token, now) {
        Ok(Introspected::Active(text)) => {
            let text = Zeroizing::new(text);
            let json = Json::parse(&text).map_err(|_| Reason::TokenMalformed)?;
            let claims = Claims::from_introspection(&json, &provider.issuer)
                .map_err(|fault| TokenError::of(fault, INTROSPECTION_ANSWER))?;
            let is_own = |issuer: &IssuerRule| issuer.accepts(&claims.issuer, claims.tenant.as_deref());
            if !provider.rules.issuers.iter().any(is_own)
                || now >= claims.expires_at.saturating_add(provider.rules.leeway)
            {
                search.note(SOURCE, "it is of another issuer, or has ended");
                return Ok(None);
            }
            Ok(found_in(provider, &json, claims.subject, SOURCE, search)?)
        }
        Ok(Introspected::Inactive) => {
            search.note(SOURCE, "the token is not active");
            Ok(None)
        }
        Err(IntrospectionError::Unavailable(trouble)) => {
            search.trouble = Some(trouble);
            Ok(None)
        }
        Err(other) => {
            search.note(SOURCE, &other.to_string());
            Ok(None)
        }
    }
}

/// What the server says of the user to whoever has his access token. It must be the user of the ID token, where there
/// is one: tokens of two users may have been mixed up (OpenID Connect Core section 5.3.2).
fn from_user_info(
    server: &TokenServer<'_>,
    token: &str,
    subject: Option<&str>,
    keys: &Keys<'_>,
    search: &mut Search,
) -> Result<Option<Read>, TokenError> {
    const SOURCE: &str = "userinfo";
    let provider = server.provider();
    // Only the ID token says of which tenant he is.
    let has_tenants = provider.rules.issuers.iter().any(|issuer| matches!(issuer, IssuerRule::Tenant { .. }));
    if has_tenants && subject.is_none() {
        return Ok(None);
    }
    let endpoint = match (server.resolve)(Endpoint::UserInfo) {
        Ok(endpoint) => endpoint.address,
        Err(MetadataError::Absent(_)) => return Ok(None),
        Err(MetadataError::Failed(why)) => {
            search.trouble = Some(Trouble::unanswered(why));
            return Ok(None);
        }
    };
    let answered = match user_info(server.http, &endpoint, token, server.client()?) {
        Ok(answered) => answered,
        Err(UserInfoError::Unavailable(trouble)) => {
            search.trouble = Some(trouble);
            return Ok(None);
        }
        Err(UserInfoError::Refused(why)) => {
            search.note(SOURCE, &why);
            return Ok(None);
        }
    };
    let payload = match answered {
        UserInfo::Plain(body) => body,
        UserInfo::Signed(text) => {
            let text = Zeroizing::new(text);
            let jws = CompactJws::split(&text)?;
            let header = jws.header()?;
            if !provider.rules.algorithms.contains(&header.algorithm) {
                return Err(TokenError::Denied(Reason::AlgorithmNotAllowed));
            }
            keys.verify(provider, &jws, &header)?;
            jws.unverified_payload()?
        }
    };
    let payload = Zeroizing::new(payload);
    let Ok(json @ Json::Object(_)) = Json::parse(&payload) else {
        search.note(SOURCE, "the answer is not a JSON object");
        return Ok(None);
    };
    let own = json.get("sub").and_then(Json::as_text);
    if subject.is_some_and(|subject| own.as_deref() != Some(subject)) {
        search.note(SOURCE, "it is about another 'sub' than the ID token");
        return Ok(None);
    }
    let own = own.map(std::borrow::Cow::into_owned);
    Ok(found_in(provider, &json, own, SOURCE, search)?)
}

/// The addresses that such an answer gives.
fn found_in(
    provider: &Provider,
    json: &Json<'_>,
    subject: Option<String>,
    source: &str,
    search: &mut Search,
) -> Result<Option<Read>, Reason> {
    let read = Read::new(provider, json, subject)?;
    if read.aors.is_empty() {
        search.note(&format!("{source} has"), &read.names);
        return Ok(None);
    }
    Ok(Some(read))
}

/// Claims of an access token that came from its issuer over TLS: its signature is not checked.
pub fn unverified_claims(decryption: &DecryptionKeys, token: &str) -> Option<Claims> {
    let token = decryption.open(token).ok()?;
    let payload = CompactJws::split(&token).ok()?.unverified_payload().ok()?;
    Claims::from_json(&Json::parse(&payload).ok()?).ok()
}

/// What a good token, or an answer, says of its user.
struct Read {
    subject: String,
    /// Empty when no claim makes one.
    aors: Vec<String>,
    /// The names of its claims.
    names: String,
}

/// Most names of claims that are told.
const MAX_NAMES: usize = 30;

impl Read {
    fn new(provider: &Provider, json: &Json<'_>, subject: Option<String>) -> Result<Read, Reason> {
        let aors: Vec<String> = provider.addresses(json).iter().map(|aor| aor.as_str().to_owned()).collect();
        if !aors.is_empty() {
            provider.rules.check_required_claims(json)?;
        }
        let names = match json {
            Json::Object(members) => {
                let names = members.iter().take(MAX_NAMES).map(|(name, _)| printable(name, 40));
                names.collect::<Vec<_>>().join(", ")
            }
            _ => String::new(),
        };
        Ok(Read { subject: subject.unwrap_or_default(), aors, names })
    }
}

/// OpenID Connect Core section 3.1.3.7.
fn from_id_token(
    provider: &Provider,
    client_id: &str,
    token: &str,
    keys: &Keys<'_>,
    now: i64,
) -> Result<Read, TokenError> {
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
        if claims.issued_at.is_none() {
            return Err(ClaimFault::missing("iat"));
        }
        if claims.subject.as_ref().is_none_or(String::is_empty) {
            return Err(ClaimFault::missing("sub"));
        }
        // Without azp the token is for everybody in aud (Core with errata 2), and the proxy's client is among them.
        let is_known = |party: &str| party == client_id || provider.rules.clients.iter().any(|client| client == party);
        match json.get("azp").map(Json::as_str) {
            None => Ok(()),
            Some(Some(party)) if is_known(party) => Ok(()),
            Some(_) => Err(Reason::ClientNotAllowed.into()),
        }
    };
    read(provider, &rules, (token, ID_TOKEN), keys, now, check)
}

/// The access token by the provider's own rules. Scopes are judged apart: the answer itself may name them.
fn from_access_token(provider: &Provider, token: &str, keys: &Keys<'_>, now: i64) -> Result<Read, TokenError> {
    let rules = TokenRules { required_scopes: Vec::new(), ..provider.rules.clone() };
    read(provider, &rules, (token, ACCESS_TOKEN), keys, now, |_, _| Ok(()))
}

fn read(
    provider: &Provider,
    rules: &TokenRules,
    (token, whose): (&str, &str),
    keys: &Keys<'_>,
    now: i64,
    check: impl Fn(&Claims, &Json<'_>) -> Result<(), ClaimFault>,
) -> Result<Read, TokenError> {
    let token = keys.decryption.open(token).map_err(Reason::from)?;
    let jws = CompactJws::split(&token)?;
    let header = jws.header()?;
    let payload = jws.unverified_payload()?;
    let json = Json::parse(&payload).map_err(|_| Reason::TokenMalformed)?;
    if !token.agrees_with(&json) {
        return Err(TokenError::Denied(Reason::TokenMalformed));
    }
    let unreadable = |fault| TokenError::of(fault, whose);
    let claims = Claims::from_json(&json).map_err(unreadable)?;
    rules.check_header(&header)?;
    // A token that would be refused anyway is not worth a key fetch.
    rules.check_claims(&claims, now).map_err(|reason| match reason {
        // Of the claims that a rule needs only this one may be absent.
        Reason::ClaimMissing => unreadable(ClaimFault::missing("aud")),
        other => other.into(),
    })?;
    check(&claims, &json).map_err(unreadable)?;
    keys.verify(provider, &jws, &header)?;
    Ok(Read::new(provider, &json, claims.subject)?)
}
