// SPDX-License-Identifier: MIT OR Apache-2.0
//! The challenge that tells a phone where to sign in (RFC 8898 section 4, 3rd-party-authentication section 2.1.1).

use super::auth_params::push_quoted;
use crate::text::fingerprint::is_hidden;

/// What a challenge says. Empty texts are left out.
#[derive(Clone, Copy, Debug, Default)]
pub struct Challenge<'a> {
    /// Proxy-Authenticate instead of WWW-Authenticate.
    pub proxy: bool,
    /// The protection domain.
    pub realm: &'a str,
    /// https URI of the authorization server.
    pub authz_server: &'a str,
    /// Space-separated scopes that a token must have at least.
    pub scope: &'a str,
    /// `invalid_token` or `invalid_scope`.
    pub error: &'a str,
    /// How Location is used.
    pub location: Location,
}

/// Where the phone finds the address of the authorization server, beside the challenge itself
/// (3rd-party-authentication section 2.1.1 and its earlier form). Only a registrar uses this, and no proxy.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Location {
    /// Nowhere.
    #[default]
    No,
    /// `Location: <authz_server>` in the 401.
    Header,
    /// A 302 with Location and Contact instead of the 401.
    Redirect,
}

/// False for methods whose requests cannot be sent again with credentials (RFC 3261 section 22.1).
pub fn may_be_challenged(method: &str) -> bool {
    !["ACK", "CANCEL"].iter().any(|unanswered| method.eq_ignore_ascii_case(unanswered))
}

impl Challenge<'_> {
    /// The status that goes with the header lines.
    pub fn status(&self) -> u32 {
        match (self.proxy, self.location) {
            (true, _) => 407,
            (false, Location::Redirect) if !self.authz_server.is_empty() => 302,
            (false, _) => 401,
        }
    }

    /// Writes complete header lines, each with CRLF. A 302 has the challenge too: RFC 3261 allows WWW-Authenticate in
    /// any response, and a phone that knows it learns realm, scope and error.
    pub fn header_lines(&self) -> String {
        let name = if self.proxy { "Proxy-Authenticate" } else { "WWW-Authenticate" };
        let mut out = format!("{name}: Bearer ");
        let params =
            [("realm", self.realm), ("authz_server", self.authz_server), ("scope", self.scope), ("error", self.error)];
        for (name, value) in params.into_iter().filter(|(_, value)| !value.is_empty()) {
            push_quoted(name, value, &mut out);
        }
        out.push_str("\r\n");
        if self.location != Location::No && !self.proxy && !self.authz_server.is_empty() {
            self.push_address("Location", &mut out);
            if self.location == Location::Redirect {
                self.push_address("Contact", &mut out);
            }
        }
        out
    }

    fn push_address(&self, header: &str, out: &mut String) {
        out.push_str(header);
        out.push_str(": <");
        out.extend(self.authz_server.chars().filter(|c| !is_hidden(*c) && !"<>\" ".contains(*c)));
        out.push_str(">\r\n");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writes_the_rfc_8898_form() {
        let challenge = Challenge {
            realm: "example.test",
            authz_server: "https://as.example/realms/a",
            scope: "sip openid",
            error: "invalid_token",
            ..Challenge::default()
        };
        assert_eq!(
            challenge.header_lines(),
            "WWW-Authenticate: Bearer realm=\"example.test\", authz_server=\"https://as.example/realms/a\", \
             scope=\"sip openid\", error=\"invalid_token\"\r\n"
        );
        let proxy = Challenge { proxy: true, location: Location::Header, scope: "", error: "", ..challenge };
        assert_eq!(
            proxy.header_lines(),
            "Proxy-Authenticate: Bearer realm=\"example.test\", authz_server=\"https://as.example/realms/a\"\r\n"
        );
        let location = Challenge { location: Location::Header, ..challenge };
        assert!(location.header_lines().ends_with("\r\nLocation: <https://as.example/realms/a>\r\n"));
        assert_eq!((challenge.status(), proxy.status(), location.status()), (401, 407, 401));
        let redirect = Challenge { location: Location::Redirect, ..challenge };
        assert!(
            redirect
                .header_lines()
                .ends_with("\r\nLocation: <https://as.example/realms/a>\r\nContact: <https://as.example/realms/a>\r\n")
        );
        assert_eq!(redirect.status(), 302);
    }

    #[test]
    fn a_value_cannot_break_the_header() {
        let challenge = Challenge { realm: "a\"b\\\r\nX: y", ..Challenge::default() };
        assert_eq!(challenge.header_lines(), "WWW-Authenticate: Bearer realm=\"a\\\"b\\\\X: y\"\r\n");
    }
}
