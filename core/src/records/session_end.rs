// SPDX-License-Identifier: MIT OR Apache-2.0
//! What every proxy is told of a session that has ended, so that it removes the phone's bindings.

use serde::{Deserialize, Serialize};

use super::phone_use::CallIdName;
use super::session::{Record, Session};

/// Who or what has ended a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub enum EndedBy {
    /// The authorization server, which does not refresh its tokens.
    Server,
    /// An operator, by RPC or the tool.
    Operator,
    /// Its user, at the sign-in page.
    User,
    /// The authorization server, by a logout token (OpenID Connect Back-Channel Logout 1.0).
    Logout,
}

impl EndedBy {
    /// The stable code of the reason, lower-case with underscores.
    pub fn code(self) -> &'static str {
        match self {
            EndedBy::Server => "session_ended",
            EndedBy::Operator => "session_revoked",
            EndedBy::User => "signed_out",
            EndedBy::Logout => "logged_out",
        }
    }

    /// A sentence for people; that of the server says more.
    pub fn why(self) -> &'static str {
        match self {
            EndedBy::Server => "The authorization server does not refresh the session's tokens.",
            EndedBy::Operator => "The operator has ended the session.",
            EndedBy::User => "The user has signed the phone out.",
            EndedBy::Logout => "The authorization server says that the user has logged out.",
        }
    }
}

/// A session that has ended. The record is sealed before it is stored.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct SessionEnd {
    /// Its address-of-record.
    pub aor: String,
    /// As it was last, without its keys: `valid_until` says until when it still counts, in Unix seconds; 0: it does not.
    pub session: Session,
    /// The names of the Call-IDs with which its phone has registered, where they are known.
    pub call_ids: Vec<CallIdName>,
    /// True when the address has no other phone whose bindings have no instance.
    pub last_nameless: bool,
    /// Who has ended it.
    pub by: EndedBy,
    /// A sentence for people.
    pub why: String,
    /// The proxy whose host knows it already; 0: none.
    pub origin: u64,
}

impl Record for SessionEnd {
    const VERSION: u8 = 1;
}
