// SPDX-License-Identifier: MIT OR Apache-2.0
//! The challenge that tells a phone where to sign in (RFC 8898 section 4, 3rd-party-authentication section 2.1.1).

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
    /// Adds `Location: <authz_server>` (the draft's form), on a 401 only.
    pub location: bool,
}

impl Challenge<'_> {
    /// Writes complete header lines, each with CRLF.
    pub fn header_lines(&self) -> String {
        let name = if self.proxy { "Proxy-Authenticate" } else { "WWW-Authenticate" };
        let mut out = format!("{name}: Bearer ");
        let params =
            [("realm", self.realm), ("authz_server", self.authz_server), ("scope", self.scope), ("error", self.error)];
        let mut first = true;
        for (name, value) in params.into_iter().filter(|(_, value)| !value.is_empty()) {
            if !std::mem::take(&mut first) {
                out.push_str(", ");
            }
            out.push_str(name);
            out.push_str("=\"");
            push_quoted(value, &mut out);
            out.push('"');
        }
        out.push_str("\r\n");
        if self.location && !self.proxy && !self.authz_server.is_empty() {
            out.push_str("Location: <");
            out.extend(self.authz_server.chars().filter(|c| !c.is_control() && !"<>\" ".contains(*c)));
            out.push_str(">\r\n");
        }
        out
    }
}

/// The inside of a quoted-string: a control character can never end the line.
fn push_quoted(value: &str, out: &mut String) {
    for c in value.chars().filter(|c| !c.is_control()) {
        if matches!(c, '"' | '\\') {
            out.push('\\');
        }
        out.push(c);
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
        let proxy = Challenge { proxy: true, location: true, scope: "", error: "", ..challenge };
        assert_eq!(
            proxy.header_lines(),
            "Proxy-Authenticate: Bearer realm=\"example.test\", authz_server=\"https://as.example/realms/a\"\r\n"
        );
        let location = Challenge { location: true, ..challenge }.header_lines();
        assert!(location.ends_with("\r\nLocation: <https://as.example/realms/a>\r\n"));
    }

    #[test]
    fn a_value_cannot_break_the_header() {
        let challenge = Challenge { realm: "a\"b\\\r\nX: y", ..Challenge::default() };
        assert_eq!(challenge.header_lines(), "WWW-Authenticate: Bearer realm=\"a\\\"b\\\\X: y\"\r\n");
    }
}
