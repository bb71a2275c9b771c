// SPDX-License-Identifier: MIT OR Apache-2.0
//! What the engine needs from outside, as traits: the network, the store and the log.

pub mod store;

use std::fmt;

use crate::config::client_certificate::ClientCertificate;

/// One answer of an HTTP server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Document {
    /// The body, at most 1 MiB.
    pub body: Vec<u8>,
    /// Seconds for which the document may be kept (Cache-Control max-age). None: the server does not say.
    pub max_age: Option<u64>,
}

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FetchError {
    /// The server answered, and the status says that no whole document comes.
    Status(u16),
    /// An answer came, but it cannot be read. A sentence says why.
    Unreadable(String),
    /// Any other failure, as a sentence.
    Failed(String),
}

impl fmt::Display for FetchError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            FetchError::Status(status @ 300..=399) => {
                write!(f, "HTTP status {status}: redirects are not followed, write the final address")
            }
            FetchError::Status(206) => f.write_str("HTTP status 206: only a part of the document came"),
            FetchError::Status(status) => write!(f, "HTTP status {status}"),
            FetchError::Unreadable(text) | FetchError::Failed(text) => f.write_str(text),
        }
    }
}

/// Gets documents. A call blocks, so a SIP worker must never make one.
pub trait Fetch: Send + Sync {
    /// GET without redirects, with the limits of the configuration. `accept` is the value of the Accept header field.
    fn get(&self, url: &str, accept: &str) -> Result<Document, FetchError>;
}

/// One POST of a form.
#[derive(Clone, Copy)]
pub struct Form<'a> {
    /// The URL to post to.
    pub url: &'a str,
    /// Value of the Authorization header field, when there is one.
    pub authorization: Option<&'a str>,
    /// The body, application/x-www-form-urlencoded.
    pub body: &'a str,
    /// Value of the Accept header field.
    pub accept: &'a str,
    /// The client certificate for the TLS handshake, if there is one.
    pub certificate: Option<&'a ClientCertificate>,
    /// True when it does no harm if the server receives the form twice.
    pub repeatable: bool,
}

impl fmt::Debug for Form<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Form({}, …)", self.url)
    }
}

/// The answer to a POST, of any status; redirects are not followed.
#[derive(Clone, PartialEq, Eq)]
pub struct Answered {
    /// HTTP status.
    pub status: u16,
    /// Media type of Content-Type in lower case, without parameters; empty when there is none.
    pub content_type: String,
    /// The body, at most 1 MiB.
    pub body: Vec<u8>,
}

impl fmt::Debug for Answered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Answered({}, …)", self.status)
    }
}

/// Why a POST has no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PostError {
    /// The server certainly did not receive the request, so it may be sent again.
    NotSent(String),
    /// The server may have received the request and acted on it.
    InDoubt(String),
    /// An answer came, but it cannot be read.
    Unreadable(String),
}

impl PostError {
    /// The same error with its text changed by `text`.
    pub fn map(self, text: impl FnOnce(String) -> String) -> PostError {
        match self {
            PostError::NotSent(why) => PostError::NotSent(text(why)),
            PostError::InDoubt(why) => PostError::InDoubt(text(why)),
            PostError::Unreadable(why) => PostError::Unreadable(text(why)),
        }
    }
}

/// Asks endpoints. A call blocks, so a SIP worker must never make one.
pub trait Post: Send + Sync {
    /// POST without redirects, with the limits of the configuration.
    fn post(&self, form: &Form<'_>) -> Result<Answered, PostError>;

    /// GET with an access token as Bearer token, and with the client certificate if there is one. It does no harm
    /// if the server receives the request twice.
    fn user_info(&self, url: &str, token: &str, certificate: Option<&ClientCertificate>)
    -> Result<Answered, PostError>;
}

/// How important a log line is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Level {
    /// A bug or an outage.
    Error = 1,
    /// Something the operator should change.
    Warn = 2,
    /// Refusals and changes of state.
    Info = 3,
    /// Details.
    Debug = 4,
}

/// Takes log lines. They hold no secret.
pub trait Log: Send + Sync {
    /// Writes one line.
    fn log(&self, level: Level, line: &str);
}
