// SPDX-License-Identifier: MIT OR Apache-2.0
//! Finds out whether an introspection endpoint knows a client. It asks about a made-up token, once as the client and
//! once with credentials that are certainly wrong. The answers say something about the client only if they differ.

use sipoauth::io_process::http::HttpClient;
use sipoauth_core::config::client::{Client, ClientAuth};
use sipoauth_core::oauth::client_probe::{Reply, ReplyContent, ask_as};
use sipoauth_core::oauth::token_response::ErrorResponse;
use sipoauth_core::oauth::verdict::{Question, Verdict, verdict};

use super::probe::{impostor, say_the_same};
use crate::output::{Progress, now};

/// What an endpoint says about the credentials of a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Difference {
    /// Wrong credentials get another answer.
    Differs,
    /// Wrong credentials get an answer about the token, too.
    ServesAnybody,
    /// The client and wrong credentials get the same error.
    Alike,
    /// One of them has no usable answer now.
    Unknown,
}

/// The probe of one introspection endpoint.
pub struct IntrospectionProbe<'a> {
    /// Sends the requests.
    pub http: &'a HttpClient,
    /// The introspection endpoint.
    pub endpoint: &'a str,
    /// The value of Accept with which the proxy asks.
    pub accept: &'a str,
    /// Makes a text that no server has issued, different each time.
    pub made_up: &'a dyn Fn() -> Option<String>,
}

impl IntrospectionProbe<'_> {
    /// Compares the answers to a client and to an impostor.
    pub fn compare(&self, client: &Client) -> Difference {
        self.replies(client).map_or(Difference::Unknown, |(right, wrong)| difference(&right, &wrong))
    }

    /// True when the server judges tokens for this client, and not for one with wrong credentials.
    pub fn knows(&self, client: &Client) -> bool {
        self.replies(client)
            .is_some_and(|(right, wrong)| judges_token(&right) && difference(&right, &wrong) == Difference::Differs)
    }

    fn replies(&self, client: &Client) -> Option<(Reply, Reply)> {
        let _progress = Progress::new(self.endpoint);
        let right = self.ask(client, client)?;
        Some((right, self.ask(&impostor(client, &(self.made_up)()?), client)?))
    }

    /// The secret of `client` is hidden in every answer. Otherwise the answers could differ only because of it.
    fn ask(&self, asking: &Client, client: &Client) -> Option<Reply> {
        let token = (self.made_up)()?;
        let secret = match &client.auth {
            ClientAuth::Basic(secret) | ClientAuth::Post(secret) => String::from_utf8_lossy(secret.expose()),
            _ => Default::default(),
        };
        let form = [("token", token.as_str()), ("token_type_hint", "access_token")];
        ask_as(asking, self.http, self.endpoint, &form, &[&token, &secret], self.accept, now()).ok()
    }
}

fn difference(right: &Reply, wrong: &Reply) -> Difference {
    match (is_usable(right) && is_usable(wrong), is_active_or_not(wrong)) {
        (false, _) => Difference::Unknown,
        (true, true) => Difference::ServesAnybody,
        (true, false) if say_the_same(right, wrong) => Difference::Alike,
        (true, false) => Difference::Differs,
    }
}

fn is_active_or_not(reply: &Reply) -> bool {
    (200..=299).contains(&reply.status) && matches!(reply.content, ReplyContent::Active(_))
}

/// A server may also answer about a token with an error, such as `invalid_token`.
fn judges_token(reply: &Reply) -> bool {
    is_active_or_not(reply) || judged(reply) == Verdict::Refused
}

/// An answer of a server that cannot answer now is no refusal.
fn is_usable(reply: &Reply) -> bool {
    is_active_or_not(reply) || !matches!(judged(reply), Verdict::NotNow | Verdict::InDoubt)
}

fn judged(reply: &Reply) -> Verdict {
    let error =
        (!reply.error.is_empty()).then(|| ErrorResponse { error: reply.error.clone(), description: String::new() });
    verdict(Question::Introspection, reply.status, error.as_ref())
}
