// SPDX-License-Identifier: MIT OR Apache-2.0
//! Asking a server about the user of an access token (OpenID Connect Core section 5.3).

use super::introspection_response::jwt_in;
use super::verdict::{Question, Trouble, Verdict, sentence, verdict};
use crate::config::client::Client;
use crate::ports::{Answered, Post, PostError};
use crate::text::fingerprint::printable;

/// The answer of the server. Nothing in it is verified.
pub(super) enum UserInfo {
    /// JSON.
    Plain(Vec<u8>),
    /// A JWT (section 5.3.2).
    Signed(String),
}

/// Why the server says nothing about the user. The texts are sentences for the log and hold no secret.
pub(super) enum UserInfoError {
    /// There is no answer, or one that says that the server does not work now.
    Unavailable(Trouble),
    /// The server does not tell, or its answer cannot be used.
    Refused(String),
}

/// Asks the server. The call blocks, so a SIP worker must never make it.
pub(super) fn user_info(
    http: &dyn Post,
    endpoint: &str,
    token: &str,
    client: &Client,
) -> Result<UserInfo, UserInfoError> {
    use UserInfoError::{Refused, Unavailable};
    let say = |text: &str| format!("{endpoint}: {}", printable(&text.replace(token, "…"), 200));
    let answered = http.user_info(endpoint, token, client.auth.certificate()).map_err(|error| match error {
        PostError::NotSent(text) | PostError::InDoubt(text) => Unavailable(Trouble::unanswered(say(&text))),
        PostError::Unreadable(text) => Refused(say(&text)),
    })?;
    let Answered { status, body, .. } = answered;
    if !(200..=299).contains(&status) || body.is_empty() {
        let text = say(&sentence(status, None, "userinfo_endpoint"));
        return Err(match verdict(Question::Introspection, status, None) {
            // The request changes nothing on the server, so there is no doubt about its outcome. The server just
            // did not answer as it should.
            Verdict::InDoubt if status < 300 => Refused(text),
            Verdict::NotNow | Verdict::InDoubt => Unavailable(Trouble::of_status(status, text)),
            Verdict::Refused
            | Verdict::RequestRefused
            | Verdict::Unexplained
            | Verdict::ClientRefused
            | Verdict::Elsewhere => Refused(text),
        });
    }
    Ok(match jwt_in(&body) {
        Some(text) => UserInfo::Signed(text.to_owned()),
        None => UserInfo::Plain(body),
    })
}
