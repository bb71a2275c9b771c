// SPDX-License-Identifier: MIT OR Apache-2.0
//! Asking an authorization server about a token (RFC 7662), with plain and signed answers (RFC 9701).
//!
//! Only a clear answer about the token refuses it. Any other answer says something about the server, or about the
//! proxy's own client there, and never that the token is wrong.

use std::fmt;

use zeroize::Zeroizing;

use super::client_post::ClientPost;
use super::introspection_response::{IntrospectionResponse, SIGNED_TYP, SIGNED_TYPE, jwt_in, signed_answer};
use super::kept_keys::Refetched;
use super::metadata::Announced;
use super::token_response::{ErrorResponse, readable};
use super::verdict::{Question, Trouble, Verdict, sentence, verdict};
use crate::config::introspection::TokenStrategy;
use crate::config::provider::Provider;
use crate::jose::jws::{CompactJws, Header};
use crate::jose::key_set::KeySet;
use crate::ports::{Answered, Post, PostError};
use crate::reason::Reason;
use crate::text::json::Json;

/// Some servers compare Accept letter by letter, and give plain answers only for exactly this value.
const PLAIN: &str = "application/json";
/// Prefers signed answers to plain ones.
const SIGNED: &str = "application/token-introspection+jwt, application/json;q=0.5";

/// What the server says of a token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Introspected {
    /// The token is active. Holds the JSON object of the answer (for RFC 9701 the token_introspection member), as
    /// text.
    Active(Vec<u8>),
    /// The token is not active.
    Inactive,
}

/// Why there is no answer about the token. The texts are sentences for the log and hold no secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum IntrospectionError {
    /// The server refuses the proxy's own client. The operator must act.
    ClientRefused(String),
    /// The server refuses the request with an error code that is neither about the token nor about the client, or
    /// with none. If the server otherwise accepts the client, the refusal is about the token.
    RequestRefused(String),
    /// There is an answer, but no word of OAuth in it. If the server answers about others afterwards, the refusal is
    /// about the token.
    Unexplained(String),
    /// There is no answer, or one that says that the server does not work now. The proxy may ask again.
    Unavailable(Trouble),
    /// The server works, but what it says about this token cannot be used.
    Unusable(String),
}

impl fmt::Display for IntrospectionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            IntrospectionError::ClientRefused(why)
            | IntrospectionError::RequestRefused(why)
            | IntrospectionError::Unexplained(why)
            | IntrospectionError::Unusable(why) => f.write_str(why),
            IntrospectionError::Unavailable(trouble) => trouble.fmt(f),
        }
    }
}

/// Asks about a token. `keys` are the provider's keys, if they have been fetched. `fetch_keys` is called at most
/// once, when these keys do not verify a signed answer. `now` is in Unix seconds. The call blocks, so a SIP worker
/// must never make it.
pub fn introspect(
    http: &dyn Post,
    endpoint: &Announced,
    provider: &Provider,
    keys: Option<&KeySet>,
    fetch_keys: &dyn Fn() -> Result<Refetched, String>,
    token: &str,
    now: i64,
) -> Result<Introspected, IntrospectionError> {
    use IntrospectionError::{ClientRefused, Unavailable, Unusable};
    let Some(client) = &provider.client else {
        return Err(ClientRefused(format!("provider '{}' has no client_id", provider.name)));
    };
    let parameters = [("token", token), ("token_type_hint", "access_token")];
    let unanswered = |text| Unavailable(Trouble::unanswered(text));
    let post = ClientPost::new(client, &endpoint.address, &parameters, &[token], now).map_err(unanswered)?;
    let answered = post.send(http, accepted_types(provider, endpoint), true).map_err(|error| match error {
        PostError::NotSent(text) | PostError::InDoubt(text) => unanswered(text),
        PostError::Unreadable(text) => Unusable(text),
    })?;
    let Answered { status, content_type, body } = answered;
    let body = Zeroizing::new(body);
    let unusable = |problem: &str| Unusable(post.say(problem));
    if !(200..=299).contains(&status) {
        let error = Json::parse(&readable(&body)).ok().and_then(|json| ErrorResponse::from_json(&json).ok()?);
        return judge_failure(status, error.as_ref(), provider.strategy, &|text| post.say(text));
    }
    let payload;
    let signed = jwt_in(&body);
    let json = match signed {
        _ if content_type == SIGNED_TYPE && signed.is_none() => {
            return Err(unusable("the answer is called a JWT, but is none"));
        }
        Some(text) => {
            let (jws, header) = open(text).map_err(|problem| unusable(&problem))?;
            payload = jws.unverified_payload().map_err(|_| unusable("the signed answer is not base64url"))?;
            let claims = Json::parse(&payload).map_err(|_| unusable("the signed answer holds no JSON"))?;
            let leeway = provider.rules.leeway;
            // An answer that would be refused anyway is not worth a key fetch.
            signed_answer(&claims, &provider.issuer, &client.id, leeway, now).map_err(unusable)?;
            verify(provider, &jws, &header, keys, fetch_keys).map_err(|problem| unusable(&problem))?;
            match claims {
                Json::Object(members) => members
                    .into_iter()
                    .find(|(name, _)| name == "token_introspection")
                    .map(|(_, answer)| answer)
                    .ok_or_else(|| unusable("the signed answer has no token_introspection"))?,
                _ => return Err(unusable("the signed answer is not a JSON object")),
            }
        }
        // Some servers send JSON as text/json or text/html, or without a Content-Type.
        None => Json::parse(&body).map_err(|e| unusable(&format!("the answer cannot be read as JSON: {e}")))?,
    };
    match IntrospectionResponse::from_json(&json).map_err(unusable)? {
        IntrospectionResponse::Active if signed.is_some() => Ok(Introspected::Active(json.to_string().into_bytes())),
        IntrospectionResponse::Active => Ok(Introspected::Active(body.to_vec())),
        IntrospectionResponse::Inactive => Ok(Introspected::Inactive),
        // Some servers send errors with status 200, too.
        IntrospectionResponse::Error(error) => {
            judge_failure(status, Some(&error), provider.strategy, &|text| post.say(text))
        }
    }
}

/// The value of Accept with which an endpoint is asked.
pub fn accepted_types(provider: &Provider, endpoint: &Announced) -> &'static str {
    let configured = provider.introspection.as_ref().and_then(|introspection| introspection.signed);
    if configured.unwrap_or(endpoint.signs_introspection) { SIGNED } else { PLAIN }
}

/// Splits a signed answer and reads its header.
fn open(text: &str) -> Result<(CompactJws<'_>, Header), String> {
    let not_signed = || "the answer looks like a JWT, but is none".to_owned();
    let jws = CompactJws::split(text).map_err(|reason| match reason {
        Reason::TokenEncrypted => "the answer is encrypted; have the server only sign it".to_owned(),
        _ => not_signed(),
    })?;
    let header = jws.header().map_err(bad_signature)?;
    if header.typ != SIGNED_TYP {
        return Err(format!("the signed answer has typ '{}', not {SIGNED_TYP}", header.typ));
    }
    Ok((jws, header))
}

fn verify(
    provider: &Provider,
    jws: &CompactJws<'_>,
    header: &Header,
    keys: Option<&KeySet>,
    fetch_keys: &dyn Fn() -> Result<Refetched, String>,
) -> Result<(), String> {
    if !provider.rules.algorithms.contains(&header.algorithm) {
        return Err(bad_signature(Reason::AlgorithmNotAllowed));
    }
    let verified = provider.keys.verify(jws, header, keys);
    if !provider.keys.may_have_changed(verified) {
        return verified.map_err(bad_signature);
    }
    let fresh = fetch_keys()
        .map_err(|why| format!("the answer is signed, but the keys that verify it cannot be had now: {why}"))?;
    provider.keys.verify(jws, header, Some(&fresh.keys)).map_err(|reason| match fresh.why_old {
        Some(why) => format!("{}; newer keys cannot be had now: {why}", bad_signature(reason)),
        None => bad_signature(reason),
    })
}

fn bad_signature(reason: Reason) -> String {
    format!("the signed answer cannot be trusted: {}", reason.code())
}

/// Judges an answer that does not say whether the token is active. `say` makes a text fit for the log.
fn judge_failure(
    status: u16,
    error: Option<&ErrorResponse>,
    strategy: TokenStrategy,
    say: &dyn Fn(&str) -> String,
) -> Result<Introspected, IntrospectionError> {
    use IntrospectionError::{ClientRefused, RequestRefused, Unavailable, Unexplained};
    let text = say(&sentence(status, error, "introspection_endpoint"));
    let is_of_other_type = error.is_some_and(|error| error.error == "unsupported_token_type");
    Err(match verdict(Question::Introspection, status, error) {
        Verdict::NotNow | Verdict::InDoubt => Unavailable(Trouble::of_status(status, text)),
        // The server keeps no such tokens, even if it issues some. Where all tokens are opaque, this one is
        // therefore not valid.
        _ if is_of_other_type && strategy == TokenStrategy::Opaque => return Ok(Introspected::Inactive),
        _ if is_of_other_type => ClientRefused(format!("{text}; write tokens = jwt")),
        Verdict::Refused => return Ok(Introspected::Inactive),
        Verdict::RequestRefused => RequestRefused(text),
        Verdict::Unexplained => Unexplained(text),
        Verdict::ClientRefused | Verdict::Elsewhere => ClientRefused(text),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(status: u16, code: &str, strategy: TokenStrategy) -> &'static str {
        let error = ErrorResponse { error: code.into(), description: String::new() };
        let error = Some(&error).filter(|_| !code.is_empty());
        match judge_failure(status, error, strategy, &str::to_owned) {
            Ok(Introspected::Inactive) => "inactive",
            Ok(Introspected::Active(_)) => "active",
            Err(IntrospectionError::ClientRefused(_)) => "client",
            Err(IntrospectionError::RequestRefused(_)) => "request",
            Err(IntrospectionError::Unexplained(_)) => "unexplained",
            Err(IntrospectionError::Unavailable(Trouble { answered: false, .. })) => "down",
            Err(IntrospectionError::Unavailable(_) | IntrospectionError::Unusable(_)) => "unavailable",
        }
    }

    #[test]
    fn what_failures_mean() {
        for (status, code, wanted) in [
            (400, "invalid_client", "client"),
            (401, "invalid_client", "client"),
            (401, "", "client"),
            (401, "Unauthorized", "client"),
            (400, "", "request"),
            (403, "", "unexplained"),
            (404, "", "unexplained"),
            (404, "Not Found", "unexplained"),
            (302, "", "unexplained"),
            (200, "invalid_client", "client"),
            (401, "invalid_token", "inactive"),
            (400, "invalid_token", "inactive"),
            (400, "expired_token", "inactive"),
            (404, "token_not_found", "inactive"),
            (400, "invalid_request", "request"),
            (403, "access_denied", "request"),
            (408, "", "unavailable"),
            (429, "invalid_client", "unavailable"),
            (400, "temporarily_unavailable", "unavailable"),
            (400, "server_error", "unavailable"),
            (500, "invalid_client", "client"),
            (500, "invalid_token", "inactive"),
            (500, "", "down"),
            (503, "", "down"),
        ] {
            for strategy in [TokenStrategy::Opaque, TokenStrategy::JwtThenIntrospection] {
                assert_eq!(outcome(status, code, strategy), wanted, "{status} {code}");
            }
        }
        assert_eq!(outcome(400, "unsupported_token_type", TokenStrategy::Opaque), "inactive");
        assert_eq!(outcome(400, "unsupported_token_type", TokenStrategy::JwtThenIntrospection), "client");
    }
}
