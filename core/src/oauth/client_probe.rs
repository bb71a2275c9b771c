// SPDX-License-Identifier: MIT OR Apache-2.0
//! One request as some client of a server, and the server's answer as it came. It is for an operator who wants to
//! know how the server treats that client. The proxy concludes nothing from the answer.

use zeroize::Zeroizing;

use super::client_post::ClientPost;
use super::introspection_response::jwt_in;
use super::token_response::{ErrorResponse, TokenResponse};
use super::verdict::sentence;
use crate::config::client::Client;
use crate::jose::jws::CompactJws;
use crate::ports::{Post, PostError};
use crate::text::json::Json;

/// What an answer holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReplyContent {
    /// Tokens.
    Tokens,
    /// An OAuth error.
    Error,
    /// An introspection answer: whether the token is active.
    Active(bool),
    /// Anything else.
    Other,
}

/// An answer. The texts hold no secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// HTTP status.
    pub status: u16,
    /// What the answer holds.
    pub content: ReplyContent,
    /// The error's code, empty when there is none.
    pub error: String,
    /// A sentence about the answer, with the endpoint.
    pub text: String,
}

/// Sends `parameters`; `secrets` are the values among them that must not appear in the texts. `accept` is the value
/// of the Accept header field. `now` is in Unix seconds. The error is a sentence that says why there is no answer. The call blocks, so a SIP worker must never
/// make it.
pub fn ask_as(
    client: &Client,
    http: &dyn Post,
    endpoint: &str,
    parameters: &[(&str, &str)],
    secrets: &[&str],
    accept: &str,
    now: i64,
) -> Result<Reply, String> {
    let post = ClientPost::new(client, endpoint, parameters, secrets, now)?;
    let answered = post.send(http, accept, false).map_err(|error| match error {
        PostError::NotSent(text) | PostError::InDoubt(text) | PostError::Unreadable(text) => text,
    })?;
    let (status, body) = (answered.status, Zeroizing::new(answered.body));
    let http = format!("HTTP status {status}");
    let json = Json::parse(&body).ok();
    let error = json.as_ref().and_then(|json| ErrorResponse::from_json(json).ok()?);
    let active = match jwt_in(&body) {
        Some(signed) => unverified_activity(signed),
        None => json.as_ref().and_then(activity),
    };
    let (content, text) = match (&error, active) {
        (Some(_), _) => (ReplyContent::Error, sentence(status, error.as_ref(), "the configuration")),
        (None, Some(active)) => (ReplyContent::Active(active), http),
        (None, None) if matches!(TokenResponse::parse(&body), Ok(TokenResponse::Issued(_))) => {
            (ReplyContent::Tokens, http)
        }
        (None, None) => (ReplyContent::Other, http),
    };
    Ok(Reply { status, content, error: error.map(|error| error.error).unwrap_or_default(), text: post.say(&text) })
}

fn activity(answer: &Json<'_>) -> Option<bool> {
    match answer.get("active") {
        Some(Json::Bool(active)) => Some(*active),
        _ => None,
    }
}

/// What a signed answer says (RFC 9701 section 5). Its signature is not verified.
fn unverified_activity(signed: &str) -> Option<bool> {
    let jws = CompactJws::split(signed).ok()?;
    let payload = jws.unverified_payload().ok()?;
    let claims = Json::parse(&payload).ok()?;
    activity(claims.get("token_introspection")?)
}
