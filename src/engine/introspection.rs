// SPDX-License-Identifier: MIT OR Apache-2.0
//! Asking an authorization server about a token (RFC 7662), with plain and signed answers (RFC 9701).
//!
//! Only a clear answer about the token refuses it. Whatever else comes back says something about the server, or about
//! the proxy's own client there, and never that the token is wrong.

use zeroize::Zeroizing;

use super::client_post::ClientPost;
use super::token_request::sentence;
use crate::config::introspection::TokenStrategy;
use crate::config::provider::Provider;
use crate::ports::{Answered, Post, PostError};
use crate::proto::introspection::{IntrospectionResponse, SIGNED_TYP, SIGNED_TYPE, signed_answer};
use crate::proto::jose::jws::{CompactJws, Header};
use crate::proto::jose::key_set::KeySet;
use crate::proto::json::Json;
use crate::proto::reason::Reason;
use crate::proto::token_response::ErrorResponse;

/// Signed answers are preferred to plain ones; a server that cannot sign leaves the first type out of account.
const ACCEPT: &str = "application/token-introspection+jwt, application/json";

/// What the server says of a token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Introspected {
    /// It is active. The JSON object of the answer (for RFC 9701 the token_introspection member), as text.
    Active(Vec<u8>),
    /// It is not.
    Inactive,
}

/// Why there is no answer about the token. The texts are sentences for the log and hold no secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum IntrospectionError {
    /// The server refuses the proxy itself: the operator must act.
    ClientRefused(String),
    /// No answer, or one that says that the server does not work now; may be asked again.
    Unavailable(String),
    /// The server works, but what it says of this token cannot be used.
    Unusable(String),
}

/// Asks about a token. `keys` are the provider's keys as far as they are fetched; `fetch_keys` is called at most
/// once, when they do not verify a signed answer. `now` in Unix seconds. Blocks: never called in a SIP worker.
pub fn introspect(
    http: &dyn Post,
    endpoint: &str,
    provider: &Provider,
    keys: Option<&KeySet>,
    fetch_keys: &dyn Fn() -> Option<KeySet>,
    token: &str,
    now: i64,
) -> Result<Introspected, IntrospectionError> {
    use IntrospectionError::{ClientRefused, Unavailable, Unusable};
    let Some(client) = &provider.client else {
        return Err(ClientRefused(format!("provider '{}' has no client_id", provider.name)));
    };
    let parameters = [("token", token), ("token_type_hint", "access_token")];
    let post = ClientPost::new(client, endpoint, &parameters, &[token], now).map_err(Unavailable)?;
    let answered = post.send(http, ACCEPT, true).map_err(|error| match error {
        PostError::NotSent(text) | PostError::InDoubt(text) => Unavailable(text),
    })?;
    let Answered { status, content_type, body } = answered;
    let body = Zeroizing::new(body);
    let unusable = |problem: &str| Unusable(post.say(problem));
    if status != 200 {
        let error = Json::parse(&body).ok().and_then(|json| ErrorResponse::from_json(&json).ok()?);
        return judge_failure(status, error.as_ref(), provider.strategy, &|text| post.say(text));
    }
    let payload;
    let json = match content_type.as_str() {
        SIGNED_TYPE => {
            let (jws, header) = open(&body).map_err(|problem| unusable(&problem))?;
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
        // Some servers call JSON text/json or text/html, or give it no name.
        _ => Json::parse(&body).map_err(|_| unusable("the answer is not JSON"))?,
    };
    match IntrospectionResponse::from_json(&json).map_err(unusable)? {
        IntrospectionResponse::Active if content_type == SIGNED_TYPE => {
            Ok(Introspected::Active(json.to_string().into_bytes()))
        }
        IntrospectionResponse::Active => Ok(Introspected::Active(body.to_vec())),
        IntrospectionResponse::Inactive => Ok(Introspected::Inactive),
        // Some servers say 200 to errors too.
        IntrospectionResponse::Error(error) => {
            judge_failure(status, Some(&error), provider.strategy, &|text| post.say(text))
        }
    }
}

/// Takes a signed answer apart.
fn open(body: &[u8]) -> Result<(CompactJws<'_>, Header), String> {
    let not_signed = || "the answer is called a JWT, but is none".to_owned();
    let text = std::str::from_utf8(body).map_err(|_| not_signed())?.trim();
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
    fetch_keys: &dyn Fn() -> Option<KeySet>,
) -> Result<(), String> {
    if !provider.rules.algorithms.contains(&header.algorithm) {
        return Err(bad_signature(Reason::AlgorithmNotAllowed));
    }
    let verified = provider.keys.verify(jws, header, keys);
    if verified != Err(Reason::KeyUnknown) || !provider.keys.is_fetched() {
        return verified.map_err(bad_signature);
    }
    let fresh = fetch_keys().ok_or("the answer is signed, but the keys that verify it cannot be fetched now")?;
    provider.keys.verify(jws, header, Some(&fresh)).map_err(bad_signature)
}

fn bad_signature(reason: Reason) -> String {
    format!("the signed answer cannot be trusted: {}", reason.code())
}

/// What an answer without a word about the token means. `say` makes a text fit for the log.
fn judge_failure(
    status: u16,
    error: Option<&ErrorResponse>,
    strategy: TokenStrategy,
    say: &dyn Fn(&str) -> String,
) -> Result<Introspected, IntrospectionError> {
    use IntrospectionError::{ClientRefused, Unavailable};
    let http = format!("HTTP status {status}");
    let text = match error {
        Some(error) => say(&format!("{http}, {}", sentence(error))),
        None => say(&http),
    };
    let code = error.map_or("", |error| error.error.as_str());
    Err(match (status, code) {
        (408 | 429 | 500..=599, _) | (_, "temporarily_unavailable" | "slow_down" | "server_error") => Unavailable(text),
        (300..=399, _) => Unavailable(say(&format!(
            "{http}: redirects are not followed, write the final address in introspection_endpoint"
        ))),
        // The server issues such tokens, if at all, without keeping them. Where all are opaque, this one is not good.
        (200 | 400..=499, "unsupported_token_type") if strategy == TokenStrategy::Opaque => {
            return Ok(Introspected::Inactive);
        }
        (200 | 400..=499, "unsupported_token_type") => ClientRefused(format!("{text}; write tokens = jwt")),
        (400..=499, "") => ClientRefused(say(&format!("{http} without an OAuth error; check introspection_endpoint"))),
        (200 | 400..=499, _) => ClientRefused(text),
        _ => Unavailable(text),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_failures_mean() {
        let outcome = |status, code: &str, strategy| {
            let error = ErrorResponse { error: code.into(), description: String::new() };
            let error = Some(&error).filter(|_| !code.is_empty());
            match judge_failure(status, error, strategy, &str::to_owned) {
                Ok(Introspected::Inactive) => "inactive",
                Ok(Introspected::Active(_)) => "active",
                Err(IntrospectionError::ClientRefused(_)) => "client",
                Err(IntrospectionError::Unavailable(_) | IntrospectionError::Unusable(_)) => "unavailable",
            }
        };
        for (status, code, wanted) in [
            (400, "invalid_client", "client"),
            (401, "invalid_client", "client"),
            (401, "invalid_token", "client"),
            (401, "", "client"),
            (403, "", "client"),
            (403, "access_denied", "client"),
            (404, "", "client"),
            (400, "invalid_request", "client"),
            (200, "invalid_client", "client"),
            (408, "", "unavailable"),
            (429, "invalid_client", "unavailable"),
            (500, "invalid_client", "unavailable"),
            (503, "", "unavailable"),
            (400, "temporarily_unavailable", "unavailable"),
            (400, "server_error", "unavailable"),
            (302, "", "unavailable"),
            (204, "", "unavailable"),
            (201, "", "unavailable"),
        ] {
            for strategy in [TokenStrategy::Opaque, TokenStrategy::JwtThenIntrospection] {
                assert_eq!(outcome(status, code, strategy), wanted, "{status} {code}");
            }
        }
        assert_eq!(outcome(400, "unsupported_token_type", TokenStrategy::Opaque), "inactive");
        assert_eq!(outcome(400, "unsupported_token_type", TokenStrategy::JwtThenIntrospection), "client");
    }
}
