// SPDX-License-Identifier: MIT OR Apache-2.0
//! Finds out whether a token endpoint knows the proxy's client. It sends a made-up code, once with the client's secret
//! and once with a secret that is certainly wrong. The answers say something about the secret only if they differ.

use sipoauth::io_process::http::HttpClient;
use sipoauth_core::config::client::{Client, ClientAuth};
use sipoauth_core::config::settings::Secret;
use sipoauth_core::oauth::client_probe::{Reply, ReplyContent, ask_as};
use sipoauth_core::oauth::token_response::ErrorResponse;
use sipoauth_core::oauth::verdict::{Question, Verdict, verdict};
use sipoauth_core::text::form::push_text;

use super::finding::{Findings, Status};
use crate::output::{Progress, now};

const ANSWERS: &str = "look at the server's log; token_endpoint names the address when the metadata does not";
const CREDENTIALS: &str = "compare client_id, the secret or key, and client_auth with the client at the server";
const NO_SECRET: &str = "no secret or key is configured: write client_secret_file, or compare client_id where the server knows it as a public client";
const REDIRECT: &str = "write redirect_uri, if the server compares it, and check again";
const ENCODED: &str = "the secret has characters that client_secret_basic encodes (RFC 6749 section 2.3.1); where the server does not decode them, write client_auth=client_secret_post";
const NO_RANDOM: &str = "the system gives no random numbers";
/// A server that wants a redirect_uri complains about a missing one before it looks at the code.
const SOME_URI: &str = "http://127.0.0.1/";

/// What an answer to a made-up code means.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Meaning {
    /// The server gave tokens.
    Tokens,
    /// The code is refused. The client was accepted or not checked yet.
    Grant,
    /// The request is refused, for whatever reason.
    Request,
    /// The client may not do this, or the server uses these words to refuse the client.
    NotAllowed,
    /// The client is refused.
    Client,
    /// The server cannot answer now.
    Busy,
    /// The server does not exchange codes.
    NoGrant,
    /// There is no token endpoint here.
    Elsewhere,
    /// An error of the server's own, or no OAuth at all.
    Trouble,
}

fn meaning(reply: &Reply) -> Meaning {
    let error =
        (!reply.error.is_empty()).then(|| ErrorResponse { error: reply.error.clone(), description: String::new() });
    let said = verdict(Question::SignIn, reply.status, error.as_ref());
    match (said, reply.status, reply.error.as_str()) {
        _ if reply.content == ReplyContent::Tokens && (200..=299).contains(&reply.status) => Meaning::Tokens,
        (Verdict::NotNow, ..) => Meaning::Busy,
        (Verdict::InDoubt, ..) => Meaning::Trouble,
        (Verdict::Elsewhere, ..) => Meaning::Elsewhere,
        (Verdict::Refused, ..) => Meaning::Grant,
        (Verdict::ClientRefused, _, "unauthorized_client") => Meaning::NotAllowed,
        (Verdict::ClientRefused, _, "unsupported_grant_type" | "invalid_grant_type") => Meaning::NoGrant,
        (Verdict::ClientRefused, ..) | (_, 401, _) => Meaning::Client,
        (Verdict::RequestRefused | Verdict::Unexplained, 300..=399 | 404 | 405, _) => Meaning::Elsewhere,
        (Verdict::RequestRefused | Verdict::Unexplained, 403, _) => Meaning::NotAllowed,
        (Verdict::RequestRefused | Verdict::Unexplained, ..) => Meaning::Request,
    }
}

fn are_alike(one: &Reply, other: &Reply) -> bool {
    match (meaning(one), meaning(other)) {
        (Meaning::Tokens, Meaning::Tokens) | (Meaning::Grant, Meaning::Grant) => true,
        _ => say_the_same(one, other),
    }
}

/// Are the answers the same, except for words that change each time, such as a trace id?
pub fn say_the_same(one: &Reply, other: &Reply) -> bool {
    let lasting = |text: &str| {
        let words =
            text.split_whitespace().filter(|word| !word.contains('…') && !word.contains(|c: char| c.is_ascii_digit()));
        words.map(str::to_owned).collect::<Vec<_>>()
    };
    let same_kind = one.status == other.status && one.error == other.error && one.content == other.content;
    same_kind && lasting(&one.text) == lasting(&other.text)
}

/// A client with these credentials.
fn with_auth(id: &str, auth: ClientAuth) -> Client {
    Client {
        id: id.to_owned(),
        auth,
        token_endpoint: None,
        discovery: Vec::new(),
        redirect_uri: None,
        userinfo_endpoint: None,
        authorization_endpoint: None,
        authorization_parameters: Vec::new(),
    }
}

/// A client with the same name and credentials that are certainly wrong. A client without credentials gets another
/// name.
pub fn impostor(client: &Client, made_up: &str) -> Client {
    let auth = match &client.auth {
        ClientAuth::Basic(_) => ClientAuth::Basic(Secret::from_file(made_up)),
        ClientAuth::Post(_) => ClientAuth::Post(Secret::from_file(made_up)),
        ClientAuth::PrivateKeyJwt { .. } | ClientAuth::Tls(_) | ClientAuth::None => ClientAuth::None,
    };
    let id = if matches!(client.auth, ClientAuth::None) { made_up } else { &client.id };
    with_auth(id, auth)
}

/// The client with its secret sent the other way, and the names of the configured way and of the other.
pub fn other_way(client: &Client) -> Option<(Client, &'static str, &'static str)> {
    const WAYS: [&str; 2] = ["client_secret_basic", "client_secret_post"];
    let again = |secret: &Secret| Secret::from_file(&String::from_utf8_lossy(secret.expose()));
    let (auth, from, to) = match &client.auth {
        ClientAuth::Basic(secret) => (ClientAuth::Post(again(secret)), WAYS[0], WAYS[1]),
        ClientAuth::Post(secret) => (ClientAuth::Basic(again(secret)), WAYS[1], WAYS[0]),
        _ => return None,
    };
    Some((with_auth(&client.id, auth), from, to))
}

/// True when a Basic header field must encode characters of the client's name or secret.
pub fn is_encoded(client: &Client) -> bool {
    let changes = |text: &str| {
        let mut encoded = String::new();
        push_text(&mut encoded, text);
        encoded != text
    };
    let ClientAuth::Basic(secret) = &client.auth else { return false };
    changes(&client.id) || changes(&String::from_utf8_lossy(secret.expose()))
}

/// Reports that nothing was sent. This is a warning if the server may misread the secret.
pub fn not_asked(client: &Client, name: Option<&str>, check: &'static str, message: &str, findings: &mut Findings) {
    match is_encoded(client) {
        true => findings.warning(check, name, message, ENCODED),
        false => findings.ok(check, name, message),
    }
}

/// The probe of one token endpoint.
pub struct Probe<'a> {
    /// The proxy's client.
    pub client: &'a Client,
    /// Sends the requests.
    pub http: &'a HttpClient,
    /// The token endpoint.
    pub endpoint: &'a str,
    /// The provider's name.
    pub name: Option<&'a str>,
    /// Makes a text that no server has issued, different each time.
    pub made_up: &'a dyn Fn() -> Option<String>,
}

impl Probe<'_> {
    /// Sends the requests and reports the result.
    pub fn run(&self, findings: &mut Findings) {
        let progress = Progress::new(self.endpoint);
        let found = self.found();
        drop(progress);
        let (status, message, fix) = found;
        match status {
            Status::Ok => findings.ok("client", self.name, &message),
            Status::Warning => findings.warning("client", self.name, &message, &fix),
            Status::Failed => findings.failed("client", self.name, &message, &fix),
        }
    }

    fn found(&self) -> Found {
        let configured = self.client.redirect_uri.as_deref();
        let mut uri = configured.or(Some(SOME_URI));
        let mut right = match self.ask(self.client, uri) {
            Ok(reply) => reply,
            Err(text) => return failed(format!("there is no answer to a made-up code: {text}"), ANSWERS),
        };
        let is_refused =
            |reply: &Reply| matches!(meaning(reply), Meaning::Request | Meaning::NotAllowed | Meaning::Client);
        // The server may refuse the made-up redirect_uri, and may use any words for it.
        if configured.is_none()
            && is_refused(&right)
            && let Ok(without) = self.ask(self.client, None)
            && meaning(&without) < meaning(&right)
        {
            (right, uri) = (without, None);
        }
        let text = &right.text;
        let (endpoint, what) = (self.endpoint, self.what());
        match meaning(&right) {
            Meaning::Tokens => {
                let message = format!(
                    "{endpoint} gives tokens for a code that was made up, as servers for tests do: anybody can sign in"
                );
                return warning(message, "use this server for tests only; if it is none, look at token_endpoint");
            }
            Meaning::Busy => {
                return warning(format!("the token endpoint cannot answer now: {text}"), "check again later");
            }
            Meaning::Trouble => {
                let message = format!(
                    "the token endpoint answers with an error of its own, or with something else than OAuth: {text}"
                );
                return failed(message, ANSWERS);
            }
            Meaning::Elsewhere => return failed(format!("this is no token endpoint: {text}"), ANSWERS),
            Meaning::NoGrant => {
                let message = format!("the server exchanges no authorization codes for this client: {text}");
                return failed(message, "allow the grant authorization_code for the client at the server");
            }
            Meaning::Grant | Meaning::Request | Meaning::NotAllowed | Meaning::Client => {}
        }
        let Some(made_up) = (self.made_up)() else { return failed(NO_RANDOM.to_owned(), "look at /dev/urandom") };
        let wrong = self.ask(&impostor(self.client, &made_up), uri);
        let differs = match &wrong {
            Ok(wrong) => match meaning(wrong) {
                Meaning::Busy | Meaning::Trouble => None,
                _ => Some(!are_alike(&right, wrong)),
            },
            Err(_) => None,
        };
        let refused = || self.refused(&right, uri);
        match (meaning(&right), differs) {
            (Meaning::Client, Some(true)) if configured.is_none() => {
                let message = format!(
                    "the server refuses the proxy's client, or the made-up request: {text}; to a {what} that is certainly wrong it says something else"
                );
                warning(message, REDIRECT)
            }
            (Meaning::Client, _) => refused(),
            (Meaning::NotAllowed, Some(true)) => {
                let message = format!("{endpoint} knows the proxy's client, but does not allow it this: {text}");
                let fix = format!("allow the grant authorization_code for the client at the server; {REDIRECT}");
                if configured.is_some() { failed(message, &fix) } else { warning(message, &fix) }
            }
            (Meaning::NotAllowed, Some(false)) if configured.is_some() => refused(),
            (Meaning::Grant, Some(true)) => (Status::Ok, format!("{endpoint} knows the proxy's client"), String::new()),
            (_, Some(true)) => {
                let message = format!(
                    "{endpoint} knows the proxy's client (what it does not like is the made-up request: {text})"
                );
                (Status::Ok, message, String::new())
            }
            (_, differs) => {
                let why = match differs {
                    Some(_) => "it answers one that is certainly wrong in the same way",
                    None => "it has no answer now to one that is certainly wrong",
                };
                let message = format!("this server does not say whether the {what} is right, {why}: {text}");
                let mut fix = CREDENTIALS.to_owned();
                if configured.is_none() && meaning(&right) != Meaning::Grant {
                    fix = format!("{REDIRECT}; {fix}");
                }
                if is_encoded(self.client) {
                    fix = format!("{fix}; {ENCODED}");
                }
                warning(message, &fix)
            }
        }
    }

    /// The server refuses the client. Is the only cause the way in which its secret is sent?
    fn refused(&self, right: &Reply, uri: Option<&str>) -> Found {
        let message = format!("the server refuses the proxy's client: {}", right.text);
        if let Some((other, from, to)) = other_way(self.client)
            && let Ok(reply) = self.ask(&other, uri)
            && meaning(&reply) < Meaning::NotAllowed
            && let Some(made_up) = (self.made_up)()
            && let Ok(wrong) = self.ask(&impostor(&other, &made_up), uri)
            && !are_alike(&reply, &wrong)
        {
            let why = match is_encoded(self.client) {
                true => ", for it does not decode the characters that the former encodes",
                false => "",
            };
            let message =
                format!("the server refuses the secret by {from} and accepts it by {to}{why}: {}", right.text);
            return failed(message, &format!("write client_auth={to}"));
        }
        let fix = match (&self.client.redirect_uri, is_encoded(self.client)) {
            _ if matches!(self.client.auth, ClientAuth::None) => NO_SECRET.to_owned(),
            (_, true) => format!("{CREDENTIALS}; it is refused by client_secret_post, too, or the server does not say"),
            (None, false) => format!("{CREDENTIALS}; {REDIRECT}"),
            (Some(_), false) => CREDENTIALS.to_owned(),
        };
        failed(message, &fix)
    }

    fn ask(&self, client: &Client, redirect_uri: Option<&str>) -> Result<Reply, String> {
        let code = (self.made_up)().ok_or(NO_RANDOM)?;
        let mut form = vec![("grant_type", "authorization_code"), ("code", code.as_str())];
        form.extend(redirect_uri.map(|uri| ("redirect_uri", uri)));
        // Both secrets are hidden in every answer. Otherwise the answers could differ only because of them.
        let secret = match &self.client.auth {
            ClientAuth::Basic(secret) | ClientAuth::Post(secret) => String::from_utf8_lossy(secret.expose()),
            _ => Default::default(),
        };
        ask_as(client, self.http, self.endpoint, &form, &[&code, &secret], "application/json", now())
    }

    /// What the client authenticates with, as a word for messages.
    fn what(&self) -> &'static str {
        match self.client.auth {
            ClientAuth::Basic(_) | ClientAuth::Post(_) => "secret",
            ClientAuth::PrivateKeyJwt { .. } => "key",
            ClientAuth::Tls(_) => "certificate",
            ClientAuth::None => "client_id",
        }
    }
}

/// The status, the message and the fix.
type Found = (Status, String, String);

fn failed(message: String, fix: &str) -> Found {
    (Status::Failed, message, fix.to_owned())
}

fn warning(message: String, fix: &str) -> Found {
    (Status::Warning, message, fix.to_owned())
}
