// SPDX-License-Identifier: MIT OR Apache-2.0
//! Finds out for whom the tokens of an exchange stand. The verified ID token comes first, then the access token,
//! then what the server says when it is asked.

use std::borrow::Cow;
use std::cell::OnceCell;

use zeroize::Zeroizing;

use super::endpoints::Endpoint;
use super::exchange::{TokenError, TokenServer};
use super::introspection::{Introspected, IntrospectionError, introspect};
use super::kept_keys::Refetched;
use super::metadata::{Announced, MetadataError};
use super::token_response::IssuedTokens;
use super::user_info::{UserInfo, UserInfoError, user_info};
use super::verdict::Trouble;
use crate::config::client::{Client, ClientAuth};
use crate::config::provider::Provider;
use crate::jose::decryption_keys::DecryptionKeys;
use crate::jose::jws::{CompactJws, Header};
use crate::jose::key_set::KeySet;
use crate::reason::Reason;
use crate::records::session::{Identity, SidName, sid_name};
use crate::rules::claim_fault::{ACCESS_TOKEN, ClaimFault, ID_TOKEN, INTROSPECTION_ANSWER};
use crate::rules::claims::Claims;
use crate::rules::token_rules::{IssuerRule, TokenRules};
use crate::text::fingerprint::printable;
use crate::text::json::Json;
use crate::text::secret::SecretText;

/// The keys of a provider, which are fetched anew at most once, and the keys that decrypt its tokens.
pub(super) struct Keys<'a> {
    decryption: &'a DecryptionKeys,
    known: Option<&'a KeySet>,
    fetch: &'a dyn Fn() -> Result<Refetched, String>,
    fresh: OnceCell<Result<Refetched, String>>,
}

impl<'a> Keys<'a> {
    pub(super) fn new(
        decryption: &'a DecryptionKeys,
        known: Option<&'a KeySet>,
        fetch: &'a dyn Fn() -> Result<Refetched, String>,
    ) -> Keys<'a> {
        Keys { decryption, known, fetch, fresh: OnceCell::new() }
    }

    pub(super) fn verify(&self, provider: &Provider, jws: &CompactJws<'_>, header: &Header) -> Result<(), TokenError> {
        let known = match self.fresh.get() {
            Some(fresh) => fresh.as_ref().ok().map(|fresh| &fresh.keys),
            None => self.known,
        };
        let verified = provider.keys.verify(jws, header, known);
        if !provider.keys.may_have_changed(verified) {
            return verified.map_err(TokenError::Denied);
        }
        let fresh = self.fresh.get_or_init(self.fetch);
        let (keys, why) = match fresh {
            Ok(Refetched { keys, why_old }) => (Some(keys), why_old.as_deref()),
            Err(why) => (None, Some(why.as_str())),
        };
        let verified = provider.keys.verify(jws, header, keys);
        if let Some(why) = why.filter(|_| provider.keys.may_have_changed(verified)) {
            // The code is spent, and nobody knows who it stood for.
            let why = format!("tokens came, but there are no current keys to verify them: {why}");
            return Err(TokenError::InDoubt(Trouble::answered(why)));
        }
        verified.map_err(TokenError::Denied)
    }
}

/// The search for the addresses of a user whose tokens have come.
struct Search<'a> {
    server: &'a TokenServer<'a>,
    provider: &'a Provider,
    client: &'a Client,
    keys: Keys<'a>,
    access_token: &'a str,
    /// The `nonce` that the ID token must have.
    nonce: Option<&'a str>,
    /// `sub` of the ID token, verified.
    subject: Option<String>,
    /// The browser's session, by the ID token.
    sid: Option<SidName>,
    /// The sources that were read and have no address, and what they have instead.
    seen: Vec<String>,
    /// Why the access token cannot be verified, if there is no ID token. It may be one for the server itself, which
    /// the server still knows when it is asked about it.
    unverified: Option<Reason>,
    /// Set when an endpoint that could have told did not answer. The server works all the same, because it has
    /// just issued tokens.
    trouble: Option<Trouble>,
}

/// Finds the user's addresses in the ID token or in the access token. If neither has one and `ask` is set, asks
/// the server about the access token (RFC 7662), then about its user (OpenID Connect Core section 5.3). `scope`
/// holds the granted scopes as far as they are known. With a `nonce` there must be an ID token that has it.
pub(super) fn identify(
    server: &TokenServer<'_>,
    tokens: &IssuedTokens,
    scope: &str,
    nonce: Option<&str>,
    ask: bool,
) -> Result<Identity, TokenError> {
    let client = server.client()?;
    let mut search = Search {
        server,
        provider: server.provider(),
        client,
        keys: Keys::new(&server.policy.decryption, server.keys, server.fetch_keys),
        access_token: &tokens.access_token.0,
        nonce,
        subject: None,
        sid: None,
        seen: Vec::new(),
        unverified: None,
        trouble: None,
    };
    match search.find(tokens.id_token.as_ref(), ask)? {
        Some(Read { subject, aors, .. }) => {
            let sid = search.sid;
            Ok(Identity { subject, aors, client_id: client.id.clone(), scope: scope.into(), sid })
        }
        None => Err(search.into_error()),
    }
}

impl Search<'_> {
    fn find(&mut self, id_token: Option<&SecretText>, ask: bool) -> Result<Option<Read>, TokenError> {
        let now = (self.server.now)();
        if let Some(token) = id_token {
            let read = from_id_token(self.provider, &self.client.id, &token.0, self.nonce, &self.keys, now)?;
            self.subject = Some(read.subject.clone());
            self.sid = read.sid;
            if let Some(read) = self.or_note(read, "the ID token") {
                return Ok(Some(read));
            }
        }
        if self.nonce.is_some() && id_token.is_none() {
            let why = "there is no ID token, which the sign-in with a browser needs: the scope must have openid";
            return Err(TokenError::Unfit(Reason::ClaimMissing, why.into()));
        }
        match from_access_token(self.provider, self.access_token, &self.keys, now) {
            Ok(read) => {
                if let Some(read) = self.or_note(read, "the access token") {
                    return Ok(Some(read));
                }
            }
            Err(unfit @ TokenError::Unfit(..)) if id_token.is_none() => return Err(unfit),
            // What is wrong with the access token matters only when there is no ID token.
            Err(TokenError::Denied(reason)) => {
                self.note("the access token is not read", reason.code());
                if id_token.is_none() && ![Reason::TokenOpaque, Reason::TokenEncrypted].contains(&reason) {
                    if !is_for_others(reason) {
                        return Err(TokenError::Denied(reason));
                    }
                    self.unverified = Some(reason);
                }
            }
            Err(TokenError::Unfit(_, text)) => self.note("the access token is not read", &text),
            Err(other) => return Err(other),
        }
        if !ask {
            return Ok(None);
        }
        match self.introspect()? {
            Some(read) => Ok(Some(read)),
            None => self.ask_for_user(),
        }
    }

    fn note(&mut self, source: &str, what: &str) {
        self.seen.push(format!("{source}: {what}"));
    }

    /// Returns what was read if it has an address. Otherwise notes what it has instead.
    fn or_note(&mut self, read: Read, source: &str) -> Option<Read> {
        if !read.aors.is_empty() {
            return Some(read);
        }
        self.note(&format!("{source} has"), &read.names);
        None
    }

    fn into_error(self) -> TokenError {
        let seen = self.seen.join("; ");
        match (self.trouble, self.unverified) {
            // The code is spent, and nobody knows who it stood for.
            (Some(trouble), _) => TokenError::InDoubt(trouble),
            (None, Some(reason)) => TokenError::Unfit(reason, seen),
            (None, None) => TokenError::Unfit(Reason::IdentityMissing, format!("no claim that 'aor' asks for; {seen}")),
        }
    }

    /// None when there is no such endpoint, or its address cannot be found now.
    fn endpoint(&mut self, which: Endpoint) -> Option<Announced> {
        match (self.server.resolve)(which) {
            Ok(endpoint) => Some(endpoint),
            Err(MetadataError::Absent(_)) => None,
            // A server may lack this endpoint. Where its other document names none, there is no doubt about the code.
            Err(MetadataError::NoDocument(why) | MetadataError::Unusable(why) | MetadataError::Incomplete(why)) => {
                self.note("metadata", &why);
                None
            }
            Err(MetadataError::Failed(why)) => {
                self.trouble = Some(Trouble::answered(why));
                None
            }
        }
    }

    /// Asks the server about the access token that it has just issued.
    fn introspect(&mut self) -> Result<Option<Read>, TokenError> {
        const SOURCE: &str = "introspection";
        // A server tells nothing about tokens to a client that does not authenticate.
        if matches!(self.client.auth, ClientAuth::None) {
            return Ok(None);
        }
        let Some(endpoint) = self.endpoint(Endpoint::Introspection) else { return Ok(None) };
        let (server, provider, now) = (self.server, self.provider, (self.server.now)());
        let (keys, fetch_keys, token) = (server.keys, server.fetch_keys, self.access_token);
        match introspect(server.http, &endpoint, provider, keys, fetch_keys, token, now) {
            Ok(Introspected::Active(text)) => {
                let text = Zeroizing::new(text);
                let json = Json::parse(&text).map_err(|_| Reason::TokenMalformed)?;
                let claims = match Claims::from_introspection(&json, &provider.issuer) {
                    Ok(claims) => claims,
                    Err(fault) => {
                        let sentence = fault.sentence(INTROSPECTION_ANSWER);
                        self.note(SOURCE, &sentence.unwrap_or_else(|| fault.reason.code().to_owned()));
                        return Ok(None);
                    }
                };
                let is_own = |issuer: &IssuerRule| issuer.accepts(&claims.issuer, claims.tenant.as_deref());
                if provider.rules.issuers.iter().any(is_own)
                    && now < claims.expires_at.saturating_add(provider.rules.leeway)
                {
                    return Ok(self.or_note(Read::new(provider, &json, claims.subject)?, SOURCE));
                }
                self.note(SOURCE, "it is of another issuer, or has ended");
            }
            Ok(Introspected::Inactive) => self.note(SOURCE, "the token is not active"),
            Err(IntrospectionError::Unavailable(trouble)) => self.trouble = Some(Trouble::answered(trouble.why)),
            Err(other) => self.note(SOURCE, &other.to_string()),
        }
        Ok(None)
    }

    /// Asks the server about the user of the access token. If there is an ID token, the answer must be about the
    /// same user, because the tokens of two users may have been mixed up (OpenID Connect Core section 5.3.2).
    fn ask_for_user(&mut self) -> Result<Option<Read>, TokenError> {
        const SOURCE: &str = "userinfo";
        let provider = self.provider;
        // Only the ID token says to which tenant the user belongs.
        let has_tenants = provider.rules.issuers.iter().any(|issuer| matches!(issuer, IssuerRule::Tenant { .. }));
        if has_tenants && self.subject.is_none() {
            return Ok(None);
        }
        let Some(endpoint) = self.endpoint(Endpoint::UserInfo) else { return Ok(None) };
        let payload = match user_info(self.server.http, &endpoint.address, self.access_token, self.client) {
            Ok(UserInfo::Plain(body)) => Zeroizing::new(body),
            Ok(UserInfo::Signed(text)) => match self.verified(&Zeroizing::new(text)) {
                Ok(payload) => payload,
                Err(TokenError::Denied(reason)) => {
                    self.note(SOURCE, &format!("the signed answer cannot be used: {}", reason.code()));
                    return Ok(None);
                }
                Err(TokenError::InDoubt(trouble)) => {
                    self.trouble = Some(trouble);
                    return Ok(None);
                }
                Err(other) => return Err(other),
            },
            Err(UserInfoError::Unavailable(trouble)) => {
                self.trouble = Some(Trouble::answered(trouble.why));
                return Ok(None);
            }
            Err(UserInfoError::Refused(why)) => {
                self.note(SOURCE, &why);
                return Ok(None);
            }
        };
        let Ok(json @ Json::Object(_)) = Json::parse(&payload) else {
            self.note(SOURCE, "the answer is not a JSON object");
            return Ok(None);
        };
        let own = json.get("sub").and_then(Json::as_text);
        if self.subject.as_deref().is_some_and(|subject| own.as_deref() != Some(subject)) {
            self.note(SOURCE, "it is about another 'sub' than the ID token");
            return Ok(None);
        }
        let read = Read::new(provider, &json, own.map(Cow::into_owned))?;
        Ok(self.or_note(read, SOURCE))
    }

    /// Returns the payload of a signed answer. The answer may leave out its issuer and its audience (OpenID
    /// Connect Core section 5.3.2).
    fn verified(&self, text: &str) -> Result<Zeroizing<Vec<u8>>, TokenError> {
        let jws = CompactJws::split(text)?;
        let header = jws.header()?;
        if !self.provider.rules.algorithms.contains(&header.algorithm) {
            return Err(TokenError::Denied(Reason::AlgorithmNotAllowed));
        }
        self.keys.verify(self.provider, &jws, &header)?;
        let payload = Zeroizing::new(jws.unverified_payload()?);
        let json = Json::parse(&payload).map_err(|_| Reason::TokenMalformed)?;
        let tenant = json.get("tid").and_then(Json::as_str);
        let is_of = |issuer: &str| self.provider.rules.issuers.iter().any(|rule| rule.accepts(issuer, tenant));
        let is_own = |issuer: &Json<'_>| issuer.as_str().is_some_and(is_of);
        if json.get("iss").is_some_and(|issuer| !is_own(issuer)) {
            return Err(TokenError::Denied(Reason::IssuerUnknown));
        }
        let is_for_us = |audience: &Json<'_>| audience.as_strings().is_some_and(|all| all.contains(&&*self.client.id));
        if json.get("aud").is_some_and(|audience| !is_for_us(audience)) {
            return Err(TokenError::Denied(Reason::AudienceMismatch));
        }
        Ok(payload)
    }
}

/// True when a token that is refused so may be one that only its own server can read, as an opaque one. A forged,
/// ended or forbidden one is never among them.
fn is_for_others(reason: Reason) -> bool {
    use Reason::{
        AlgorithmNotAllowed, AudienceMismatch, CriticalUnknown, ForeignToken, KeyUnknown, KeyUnsuitable,
        TokenMalformed, TypeNotAccepted,
    };
    let all = [
        AlgorithmNotAllowed,
        AudienceMismatch,
        CriticalUnknown,
        ForeignToken,
        KeyUnknown,
        KeyUnsuitable,
        TokenMalformed,
        TypeNotAccepted,
    ];
    all.contains(&reason)
}

/// Claims of an access token that came from its issuer over TLS, so its signature is not checked.
pub fn unverified_claims(decryption: &DecryptionKeys, token: &str) -> Option<Claims> {
    Claims::from_json(&Json::parse(&unverified_payload(decryption, token)?).ok()?).ok()
}

/// The payload of a JWT whose signature somebody else checks; None for a token that is no JWT.
pub fn unverified_payload(decryption: &DecryptionKeys, token: &str) -> Option<Vec<u8>> {
    let token = decryption.open(token).ok()?;
    CompactJws::split(&token).ok()?.unverified_payload().ok()
}

/// What a valid token, or an answer, says about its user.
struct Read {
    subject: String,
    /// Empty when no claim makes an address.
    aors: Vec<String>,
    /// The names of its claims.
    names: String,
    /// `sid`
    sid: Option<SidName>,
}

/// At most this many names of claims are put into a text.
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
        let sid = json.get("sid").and_then(Json::as_str).filter(|sid| !sid.is_empty()).map(sid_name);
        Ok(Read { subject: subject.unwrap_or_default(), aors, names, sid })
    }
}

/// Judges an ID token (OpenID Connect Core section 3.1.3.7).
fn from_id_token(
    provider: &Provider,
    client_id: &str,
    token: &str,
    nonce: Option<&str>,
    keys: &Keys<'_>,
    now: i64,
) -> Result<Read, TokenError> {
    let rules = TokenRules {
        issuers: provider.rules.issuers.clone(),
        audience: vec![client_id.to_owned()],
        algorithms: provider.rules.algorithms.clone(),
        typ: ["", "jwt", "jose", "id_token+jwt", "id-token+jwt"].map(str::to_owned).to_vec(),
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
        if nonce.is_some() && json.get("nonce").and_then(Json::as_str) != nonce {
            return Err(ClaimFault::other_nonce());
        }
        // Without azp the token is for everybody in aud (Core with errata 2), and the proxy's client is among them.
        let is_known = |party: &str| party == client_id || provider.rules.clients.iter().any(|client| client == party);
        match json.get("azp").map(Json::as_str) {
            None => Ok(()),
            Some(Some(party)) if is_known(party) => Ok(()),
            Some(_) => Err(Reason::ClientNotAllowed.into()),
        }
    };
    read(provider, &rules, (token, ID_TOKEN), keys, now, check).map_err(|error| match error {
        TokenError::Denied(reason) => TokenError::Unfit(reason, about_id_token(token, keys, reason)),
        other => other,
    })
}

/// Why an ID token is refused. The text of the reason alone would be taken for one about the access token.
fn about_id_token(token: &str, keys: &Keys<'_>, reason: Reason) -> String {
    let opened = keys.decryption.open(token);
    let header = opened.as_ref().ok().and_then(|token| CompactJws::split(token).ok()?.header().ok());
    let what = match (reason, &header) {
        (Reason::TypeNotAccepted, Some(header)) => format!(
            "its typ '{}' is not that of an ID token; the setting typ is about access tokens only",
            printable(&header.typ, 40)
        ),
        (Reason::AlgorithmNotAllowed, Some(header)) if header.algorithm.is_symmetric() => {
            "it is signed with the client secret, which this proxy does not verify: have the server sign ID tokens of \
             this client with a key that it publishes (id_token_signed_response_alg)"
                .into()
        }
        _ => reason.text().to_owned(),
    };
    format!("{ID_TOKEN}: {}: {what}", reason.code())
}

/// Judges the access token by the provider's own rules. Scopes are judged elsewhere, because the answer itself may
/// name them.
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
        // `aud` is the only claim that a rule needs and that `Claims::from_json` lets be absent.
        Reason::ClaimMissing => unreadable(ClaimFault::missing("aud")),
        other => other.into(),
    })?;
    check(&claims, &json).map_err(unreadable)?;
    keys.verify(provider, &jws, &header)?;
    Ok(Read::new(provider, &json, claims.subject)?)
}
