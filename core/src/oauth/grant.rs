// SPDX-License-Identifier: MIT OR Apache-2.0
//! What a phone puts into the body of a REGISTER: an authorization code or a proof of possession
//! (3rd-party-authentication sections 2.1.1 and 2.1.3), or a request about its own tokens (sip-oauth section 4).

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use crate::reason::Reason;
use crate::records::session::{MAX_TOKEN, SessionId, SignIn};
use crate::text::form;
use crate::text::secret::{KeyOctets, SecretText};

/// The media type of these bodies.
pub const CONTENT_TYPE: &str = "application/x-www-form-urlencoded";
/// Longest body in octets. It has room for the longest code with every octet escaped, or for the longest token.
const MAX_BODY: usize = 32 * 1024;
/// Longest code in octets. Codes can be long, because some servers put everything that they must remember into the
/// code.
const MAX_CODE: usize = 8 * 1024;
/// Longest PKCE verifier (RFC 7636 section 4.1).
const MAX_VERIFIER: usize = 128;
/// Longest redirect_uri in octets.
const MAX_REDIRECT: usize = 1024;
/// Longest proof in characters: 64 of hex.
const MAX_POP: usize = 64;
/// Most digits of a short code. A code with more digits cannot be found by trying (2 to the power of 100).
const MAX_SHORT: usize = 30;

/// What the body asks for.
#[derive(Debug, PartialEq, Eq)]
pub enum Grant {
    /// `grant_type=authorization_code`
    Code(CodeRequest),
    /// `grant_type=proof-of-possession`: the proof as sent, and the body without it.
    Pop {
        /// The proof.
        pop: String,
        /// The body that the proof covers.
        covered: Vec<u8>,
    },
    /// `grant_type=password`: the user signs in by Digest and wants tokens. The phone may send a proof, too.
    Password {
        /// The proof and the body that it covers.
        proof: Option<(String, Vec<u8>)>,
    },
    /// `grant_type=refresh_token`: the phone wants new tokens.
    Refresh {
        /// The refresh token.
        refresh_token: SecretText,
        /// The proof.
        pop: String,
        /// The body that it covers.
        covered: Vec<u8>,
    },
}

/// What the proxy exchanges for tokens.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub enum TokenGrant {
    /// An authorization code.
    Code(CodeRequest),
    /// A code that the sign-in page has made. No server knows it: it is in the store, or good for nothing.
    TypedCode,
    /// A password that the host has checked by Digest.
    Password(PasswordGrant),
    /// A token from elsewhere.
    ForeignToken(ForeignToken),
    /// A refresh token that the phone holds.
    Refresh(PhoneRefresh),
}

impl TokenGrant {
    /// The kind of sign-in that the grant is a part of.
    pub fn sign_in(&self) -> SignIn {
        match self {
            TokenGrant::Code(_) | TokenGrant::TypedCode => SignIn::Code,
            TokenGrant::Password(_) | TokenGrant::Refresh(_) => SignIn::Password,
            TokenGrant::ForeignToken(_) => SignIn::ForeignToken,
        }
    }

    /// True when sending does not spend the grant. It may then be sent again if the answer is lost.
    pub fn is_repeatable(&self) -> bool {
        matches!(self, TokenGrant::Password(_) | TokenGrant::ForeignToken(_))
    }
}

/// A user whom the host has authenticated by Digest.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct PasswordGrant {
    /// The user's name in the credentials.
    pub username: String,
    /// The master-key that is derived from the credentials.
    pub master_key: KeyOctets,
    /// The password, where the host knows it and the authorization server wants it.
    pub password: Option<SecretText>,
}

/// A token from elsewhere, and the user to whom it is said to belong.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct ForeignToken {
    /// The token.
    pub token: SecretText,
    /// The user part of the address; the whole address without its scheme when the provider serves several domains.
    pub username: String,
}

/// A refresh token, and the session whose key the phone has proved.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct PhoneRefresh {
    /// The refresh token.
    pub refresh_token: SecretText,
    /// The session.
    pub session: SessionId,
}

/// A code and what belongs to it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct CodeRequest {
    /// The code.
    pub code: SecretText,
    /// PKCE verifier.
    pub code_verifier: Option<SecretText>,
    /// redirect_uri of the authorization request.
    pub redirect_uri: Option<String>,
}

impl CodeRequest {
    /// A code with the parameters that came beside it. An empty text means that the parameter was not sent.
    pub fn new(code: &str, code_verifier: &str, redirect_uri: &str) -> Result<CodeRequest, Reason> {
        if code.len() > MAX_CODE || code_verifier.len() > MAX_VERIFIER || redirect_uri.len() > MAX_REDIRECT {
            return Err(Reason::BodyTooLarge);
        }
        if code.is_empty() {
            return Err(Reason::GrantIncomplete);
        }
        let is_text = |text: &str| !text.chars().any(char::is_control);
        if !is_visible(code) || !is_text(redirect_uri) || !code_verifier.is_empty() && !is_verifier(code_verifier) {
            return Err(Reason::BodyMalformed);
        }
        let given = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        Ok(CodeRequest {
            code: SecretText(code.to_owned()),
            code_verifier: given(code_verifier).map(SecretText),
            redirect_uri: given(redirect_uri),
        })
    }

    /// True for a code that is made to be typed. It has digits only, and so few of them that somebody who has seen
    /// messages made with a key from the code can find it by trying. Separators that people write between digits
    /// do not count.
    pub fn is_short(&self) -> bool {
        let is_between = |octet: u8| matches!(octet, b' ' | b'-' | b'.' | b'_' | b'/');
        let code = self.code.0.bytes();
        let digits = code.clone().filter(u8::is_ascii_digit).count();
        code.clone().all(|octet| octet.is_ascii_digit() || is_between(octet)) && (1..=MAX_SHORT).contains(&digits)
    }
}

/// True when all characters are VSCHAR, of which codes and tokens consist (RFC 6749 appendix A).
fn is_visible(text: &str) -> bool {
    text.bytes().all(|octet| (b' '..=b'~').contains(&octet))
}

/// RFC 7636 section 4.1: at least 43 unreserved characters.
fn is_verifier(text: &str) -> bool {
    text.len() >= 43 && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._~".contains(&b))
}

/// True for the media type of grants, and when there is no Content-Type.
pub fn is_form(content_type: &str) -> bool {
    let media_type = content_type.split(';').next().unwrap_or("").trim();
    media_type.is_empty() || media_type.eq_ignore_ascii_case(CONTENT_TYPE)
}

/// Reads a body that is not empty.
pub fn read(content_type: &str, body: &[u8]) -> Result<Grant, Reason> {
    if !is_form(content_type) {
        return Err(Reason::BodyType);
    }
    if body.len() > MAX_BODY {
        return Err(Reason::BodyTooLarge);
    }
    let pairs = form::parse(body).map_err(|_| Reason::BodyMalformed)?;
    for (index, (name, _)) in pairs.iter().enumerate() {
        if pairs[..index].iter().any(|(earlier, _)| earlier == name) {
            return Err(Reason::BodyMalformed);
        }
    }
    let value = |name: &str| pairs.iter().find(|(n, _)| n == name).map(|(_, value)| value);
    let bounded = |name: &str, most: usize| -> Result<Option<&Cow<'_, str>>, Reason> {
        match value(name) {
            Some(value) if value.len() > most => Err(Reason::BodyTooLarge),
            value => Ok(value.filter(|v| !v.is_empty())),
        }
    };
    // Decoding has turned a '+' of base64 that was not escaped into a space.
    let escaped = |pop: &Cow<'_, str>| match pop.as_bytes().contains(&b' ') {
        true => pop.replace(' ', "+"),
        false => pop.to_string(),
    };
    let pop = || Ok::<_, Reason>(bounded("pop", MAX_POP)?.map(escaped));
    match value("grant_type").map(AsRef::as_ref) {
        None | Some("") => Err(Reason::GrantMissing),
        Some("authorization_code") => {
            let text = |name: &str| value(name).map_or("", AsRef::as_ref);
            CodeRequest::new(text("code"), text("code_verifier"), text("redirect_uri")).map(Grant::Code)
        }
        Some("proof-of-possession" | "proof_of_possession" | "proof of possession") => {
            Ok(Grant::Pop { pop: pop()?.ok_or(Reason::GrantIncomplete)?, covered: form::octets_without(body, "pop") })
        }
        Some("password") => Ok(Grant::Password { proof: pop()?.map(|pop| (pop, form::octets_without(body, "pop"))) }),
        Some("refresh_token") => Ok(Grant::Refresh {
            refresh_token: SecretText(bounded("refresh_token", MAX_TOKEN)?.ok_or(Reason::GrantIncomplete)?.to_string()),
            pop: pop()?.ok_or(Reason::GrantIncomplete)?,
            covered: form::octets_without(body, "pop"),
        }),
        Some(_) => Err(Reason::GrantUnsupported),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reason(body: &str) -> Reason {
        read("", body.as_bytes()).unwrap_err()
    }

    #[test]
    fn reads_a_code_with_what_belongs_to_it() {
        let body = b"grant_type=authorization_code&code=a%2Bb&code_verifier=dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk&redirect_uri=http%3A%2F%2F127.0.0.1%2Fcb&state=s";
        let Ok(Grant::Code(code)) = read("Application/X-www-form-urlencoded; charset=utf-8", body) else {
            panic!("not a code");
        };
        assert_eq!((code.code.0.as_str(), code.redirect_uri.as_deref()), ("a+b", Some("http://127.0.0.1/cb")));
        assert_eq!(code.code_verifier.map(|v| v.0.len()), Some(43));
    }

    #[test]
    fn a_code_consists_of_visible_characters() {
        assert!(CodeRequest::new("12 34-56~!", "", "").is_ok());
        for code in ["caf\u{e9}", "\u{1f600}", "a\tb", "a\u{7f}", "a\u{202e}b"] {
            assert_eq!(CodeRequest::new(code, "", ""), Err(Reason::BodyMalformed), "{code:?}");
        }
    }

    #[test]
    fn reads_every_spelling_of_a_proof() {
        for spelling in ["proof-of-possession", "proof_of_possession", "proof+of+possession", "proof%20of%20possession"]
        {
            let body = format!("grant_type={spelling}&pop=abc");
            let covered = format!("grant_type={spelling}").into_bytes();
            assert_eq!(read("", body.as_bytes()), Ok(Grant::Pop { pop: "abc".into(), covered }), "{spelling}");
        }
        assert!(
            matches!(read("", b"grant_type=proof-of-possession&pop=a+b/c="), Ok(Grant::Pop { pop, .. }) if pop == "a+b/c=")
        );
        let Ok(Grant::Pop { covered, .. }) = read("", b"pop=abc&grant_type=proof-of-possession&x=1") else {
            panic!("not a proof");
        };
        assert_eq!(covered, b"grant_type=proof-of-possession&x=1");
    }

    #[test]
    fn reads_what_is_said_of_tokens_of_the_phone() {
        assert_eq!(read("", b"grant_type=password"), Ok(Grant::Password { proof: None }));
        let proof = Some(("abc".into(), b"grant_type=password".to_vec()));
        assert_eq!(read("", b"grant_type=password&pop=abc"), Ok(Grant::Password { proof }));
        let long = "r".repeat(MAX_TOKEN);
        let body = format!("grant_type=refresh_token&refresh_token={long}&pop=abc");
        let Ok(Grant::Refresh { refresh_token, pop, covered }) = read("", body.as_bytes()) else {
            panic!("not a refresh");
        };
        assert_eq!((refresh_token.0.as_str(), pop.as_str()), (long.as_str(), "abc"));
        assert_eq!(covered, format!("grant_type=refresh_token&refresh_token={long}").into_bytes());
    }

    #[test]
    fn every_mistake_has_its_reason() {
        assert_eq!(reason("code=a"), Reason::GrantMissing);
        assert_eq!(reason("grant_type=&code=a"), Reason::GrantMissing);
        assert_eq!(reason("grant_type=client_credentials"), Reason::GrantUnsupported);
        assert_eq!(reason("grant_type=refresh_token&pop=a"), Reason::GrantIncomplete);
        assert_eq!(reason("grant_type=refresh_token&refresh_token=a"), Reason::GrantIncomplete);
        assert_eq!(
            reason(&format!("grant_type=refresh_token&pop=a&refresh_token={}", "a".repeat(16_385))),
            Reason::BodyTooLarge
        );
        assert_eq!(reason(&format!("grant_type=password&x={}", "a".repeat(32_768))), Reason::BodyTooLarge);
        assert_eq!(reason("grant_type=authorization_code"), Reason::GrantIncomplete);
        assert_eq!(reason("grant_type=authorization_code&code="), Reason::GrantIncomplete);
        assert_eq!(reason("grant_type=proof-of-possession"), Reason::GrantIncomplete);
        assert_eq!(reason("grant_type=authorization_code&code=a&code=b"), Reason::BodyMalformed);
        assert_eq!(reason("grant_type=authorization_code&code=a&co%64e=a"), Reason::BodyMalformed);
        assert_eq!(reason("grant_type=authorization_code&code=%zz"), Reason::BodyMalformed);
        assert_eq!(reason("grant_type=authorization_code&code=%ff"), Reason::BodyMalformed);
        assert_eq!(reason("grant_type=authorization_code&code=a&code_verifier=short"), Reason::BodyMalformed);
        assert_eq!(reason(&format!("grant_type=authorization_code&code={}", "a".repeat(8193))), Reason::BodyTooLarge);
        assert_eq!(reason(&format!("grant_type=x&y={}", "a".repeat(33_000))), Reason::BodyTooLarge);
        assert_eq!(read("application/sdp", b"v=0"), Err(Reason::BodyType));
    }

    #[test]
    fn tells_short_codes() {
        let short = |code: &str| {
            CodeRequest { code: SecretText(code.into()), code_verifier: None, redirect_uri: None }.is_short()
        };
        for code in ["0", "12345678", "0123456789012345678901234567", &"9".repeat(30), "123-456", "12 34.56", "1_2/3"] {
            assert!(short(code), "{code}");
        }
        let long = "9".repeat(31);
        for code in ["nonsense", "aB3-xY9_", "deadbeef", "1234567a", "WDJB-MJHT", "tGzv3JOkF0XG5Qx2TlKWIA", "-", &long]
        {
            assert!(!short(code), "{code}");
        }
    }
}
