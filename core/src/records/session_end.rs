// SPDX-License-Identifier: MIT OR Apache-2.0
//! What every proxy is told of a session that has ended, so that it removes the phone's bindings.

use std::ffi::CStr;

use serde::{Deserialize, Serialize};

use super::phone_use::{CallIdName, call_id_name};
use super::session::{Record, Session, SignIn};

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
    /// Other phones or sign-ins of its address, which needed its place.
    Displaced,
}

impl EndedBy {
    /// The stable code of the reason, lower-case with underscores.
    pub fn reason_code(self) -> &'static CStr {
        match self {
            EndedBy::Server => c"session_ended",
            EndedBy::Operator => c"session_revoked",
            EndedBy::User => c"signed_out",
            EndedBy::Logout => c"logged_out",
            EndedBy::Displaced => c"displaced",
        }
    }

    /// A sentence for people; that of the server says more.
    pub fn why(self) -> &'static str {
        match self {
            EndedBy::Server => "The authorization server does not refresh the session's tokens.",
            EndedBy::Operator => "The operator has ended the session.",
            EndedBy::User => "The user has signed the phone out.",
            EndedBy::Logout => "The authorization server says that the user has logged out.",
            EndedBy::Displaced => "The address has too many phones or sign-ins, and this was the first of them.",
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
    /// The names of the Call-IDs with which its phone has registered, where they are known. If `all_but`, of those and the
    /// instances that the other phones of the address have.
    pub call_ids: Vec<CallIdName>,
    /// True when the phone has used more Call-IDs than were kept: all bindings go that no other phone is known to have.
    pub all_but: bool,
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

impl SessionEnd {
    /// The bindings that go with the session.
    pub fn bindings(&self) -> Bindings<'_> {
        let is_phone = !matches!(self.session.sign_in, SignIn::Page | SignIn::Device);
        let instance = self.session.instance.as_str();
        Bindings {
            call_ids: &self.call_ids,
            // A phone may have used its session also in a REGISTER whose Contact has no instance. Nothing tells whose such
            // a binding is, so it goes, unless another phone without an instance is left.
            nameless: is_phone && self.call_ids.is_empty() && (instance.is_empty() || self.last_nameless),
            all_but: self.all_but,
            instance,
        }
    }
}

/// Which bindings of an address go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bindings<'a> {
    /// Those that a REGISTER with one of these Call-IDs has made; if `all_but`, those stay.
    pub call_ids: &'a [CallIdName],
    /// All go but those with these Call-IDs and instances.
    pub all_but: bool,
    /// Those with this `+sip.instance`; empty: none.
    pub instance: &'a str,
    /// Those without an instance.
    pub nameless: bool,
}

impl Bindings<'_> {
    /// True for a binding that goes. The instance may have its brackets or not.
    pub fn have(&self, instance: &str, call_id: &[u8]) -> bool {
        let (its, wanted) = (bare(instance), bare(self.instance));
        if self.all_but {
            let is_others = self.call_ids.contains(&call_id_name(call_id));
            return !is_others && (its.is_empty() || its == wanted || !self.call_ids.contains(&instance_name(its)));
        }
        let by_instance = if its.is_empty() { self.nameless } else { its == wanted };
        by_instance || !self.call_ids.is_empty() && self.call_ids.contains(&call_id_name(call_id))
    }
}

/// The name of an instance among those of Call-IDs.
pub fn instance_name(instance: &str) -> CallIdName {
    call_id_name(bare(instance).as_bytes())
}

/// A `+sip.instance` without brackets.
fn bare(instance: &str) -> &str {
    instance.strip_prefix('<').and_then(|rest| rest.strip_suffix('>')).unwrap_or(instance)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_phones_own_bindings_go() {
        let call_ids = [call_id_name(b"one"), call_id_name(b"two")];
        let none = Bindings { call_ids: &[], all_but: false, instance: "", nameless: false };
        let of_page = Bindings { call_ids: &call_ids, ..none };
        assert!(of_page.have("", b"two") && of_page.have("<urn:uuid:1>", b"one"));
        assert!(!of_page.have("", b"three") && !of_page.have("<urn:uuid:1>", b"three"));
        let named = Bindings { instance: "<urn:uuid:1>", ..none };
        assert!(named.have("<urn:uuid:1>", b"x") && named.have("urn:uuid:1", b"x"));
        assert!(!named.have("", b"x") && !named.have("<urn:uuid:2>", b"x"));
        let nameless = Bindings { nameless: true, ..none };
        assert!(nameless.have("", b"x") && !nameless.have("<urn:uuid:1>", b"x"));
        assert!(!none.have("", b"x") && !none.have("<>", b""));
        let others = [call_id_name(b"one"), instance_name("<urn:uuid:2>")];
        let unknown = Bindings { call_ids: &others, all_but: true, ..none };
        assert!(unknown.have("", b"x") && unknown.have("<urn:uuid:1>", b"x"));
        assert!(!unknown.have("", b"one") && !unknown.have("urn:uuid:2", b"x"));
    }
}
