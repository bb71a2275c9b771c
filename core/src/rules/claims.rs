// SPDX-License-Identifier: MIT OR Apache-2.0
//! The claims of an access token that decide about it (RFC 7519 section 4, RFC 9068 section 2.2).

use std::borrow::Cow;

use smallvec::SmallVec;

use super::claim_fault::ClaimFault;
use super::confirmation::Confirmation;
use super::scope_rules::{add_scopes, has_scope};
use super::token_type;
use crate::reason::Reason;
use crate::text::json::Json;

/// `expires_at` of a token that may be used until its server says otherwise.
pub const NO_END: i64 = i64::MAX;
/// Values of `typ` by which Keycloak tells other tokens from access tokens.
const OTHER_KINDS: [&str; 4] = ["ID", "Refresh", "Offline", "Logout"];
/// Words in a `token_type` that is no access token's.
const OTHER_TYPES: [&str; 5] = ["refresh", "offline", "idtoken", "code", "ticket"];

/// The claims of one token, with their types checked. They are owned, so that they can be kept with a verified token.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Claims {
    /// `iss`
    pub issuer: String,
    /// `tid`, the tenant of Microsoft Entra tokens.
    pub tenant: Option<String>,
    /// `sub`
    pub subject: Option<String>,
    /// `aud`, one or more.
    pub audience: Vec<String>,
    /// `exp`, seconds since the epoch.
    pub expires_at: i64,
    /// `nbf`
    pub not_before: Option<i64>,
    /// `iat`
    pub issued_at: Option<i64>,
    /// The scopes of `scope` (RFC 9068) and `scp` (Entra, Okta), separated by one space.
    pub scope: String,
    /// Every client that `azp` and `client_id` name. If neither is there, those of `appid` (Entra v1) and `cid`
    /// (Okta), which mean something else on other servers.
    pub clients: Vec<String>,
    /// The token names a permission or the client it was issued to, as access tokens do.
    pub has_access_marks: bool,
    /// Only roles make the token look like an access token. ID tokens have roles, too.
    pub has_roles_only: bool,
    /// The token describes a sign-in, not a permission (OpenID Connect Core section 2), or is a refresh token.
    pub is_id_token: bool,
    /// `cnf`: the key whose possession the sender must prove.
    pub confirmation: Option<Box<Confirmation>>,
}

impl Claims {
    /// Reads the claims of a JWT. A claim of the wrong type is never taken as absent.
    pub fn from_json(json: &Json<'_>) -> Result<Claims, ClaimFault> {
        Claims::read(json, None, None)
    }

    /// Reads the answer of an introspection endpoint (RFC 7662 section 2.2) whose `active` is true. `issuer` is the
    /// one that was asked, because an answer need not name it. An answer without `exp` has no end ([`NO_END`]).
    pub fn from_introspection(json: &Json<'_>, issuer: &str) -> Result<Claims, ClaimFault> {
        let claims = Claims::read(json, Some(issuer), Some(NO_END))?;
        let kind = json
            .get("token_type")
            .map_or(Ok(""), |value| value.as_str().ok_or_else(|| ClaimFault::malformed("token_type", value)))?;
        // Servers introspect refresh tokens and ID tokens too.
        let is_other = |word: &str| word == "id" || OTHER_TYPES.iter().any(|other| word.contains(other));
        let usage = json.get("token_use").and_then(Json::as_str).unwrap_or_default();
        if claims.is_id_token || is_other(&token_type::spelled(kind)) || is_other(&token_type::spelled(usage)) {
            return Err(Reason::IdToken.into());
        }
        if token_type::needs_proof(kind) {
            return Err(Reason::ProofNeeded.into());
        }
        Ok(Claims { has_access_marks: true, has_roles_only: false, ..claims })
    }

    /// Narrows these claims of a JWT by what its server says about it: the end, the confirmation, and the scopes
    /// if the answer names them.
    pub fn narrowed_by(&self, answer: &Json<'_>) -> Result<Claims, ClaimFault> {
        let said = Claims::from_introspection(answer, &self.issuer)?;
        let mut claims = self.clone();
        claims.expires_at = claims.expires_at.min(said.expires_at);
        claims.confirmation = match (claims.confirmation, said.confirmation) {
            (Some(own), Some(said)) => Some(Box::new((*own).and(*said))),
            (own, said) => own.or(said),
        };
        if answer.get("scope").is_some() || answer.get("scp").is_some_and(|scp| scp.as_strings().is_some()) {
            claims.scope = said.scope;
        }
        Ok(claims)
    }

    /// `issuer` and `expires_at` take the place of absent claims in an answer. They are None for a token, where
    /// these claims must be present.
    fn read(json: &Json<'_>, issuer: Option<&str>, expires_at: Option<i64>) -> Result<Claims, ClaimFault> {
        let Json::Object(members) = json else {
            return Err(Reason::TokenMalformed.into());
        };
        let mut found = Found::default();
        for (name, value) in members {
            found.take(name, value, issuer.is_some()).ok_or_else(|| ClaimFault::malformed(name, value))?;
        }
        let [azp, client_id, appid, cid] = &found.clients;
        let scope = joined(found.scopes)?;
        let audience = found.audience.map_or(Ok(SmallVec::new()), |value| texts("aud", value))?;
        let named = if azp.is_some() || client_id.is_some() { [azp, client_id] } else { [appid, cid] };
        let mut clients: Vec<String> = Vec::new();
        for client in named.into_iter().flatten() {
            if !clients.iter().any(|known| known == client) {
                clients.push(client.to_string());
            }
        }
        // An empty scope permits nothing, and is no mark of a permission.
        let has_marks =
            !scope.is_empty() || [client_id, appid, cid].into_iter().any(Option::is_some) || found.has_grant_type;
        let has_roles = found.has_roles && is_for_service(&audience, &clients);
        Ok(Claims {
            issuer: found.issuer.or(issuer).ok_or_else(|| ClaimFault::missing("iss"))?.to_owned(),
            tenant: found.tenant.map(str::to_owned),
            subject: found.subject.map(Cow::into_owned),
            audience: audience.iter().map(|text| (*text).to_owned()).collect(),
            expires_at: found.expires_at.or(expires_at).ok_or_else(|| ClaimFault::missing("exp"))?,
            not_before: found.not_before,
            issued_at: found.issued_at,
            has_access_marks: has_marks || has_roles,
            has_roles_only: has_roles && !has_marks,
            is_id_token: found.is_about_sign_in || found.has_nonce && scope.is_empty(),
            scope,
            clients,
            confirmation: found.confirmation,
        })
    }

    /// Without the type of RFC 9068, a token that names neither scope nor client is taken for an ID token.
    pub fn take_type(&mut self, typ: &str) {
        if typ == "at+jwt" {
            self.has_roles_only = false;
        } else {
            self.is_id_token |= !self.has_access_marks;
        }
    }

    /// True when the token has this scope.
    pub fn has_scope(&self, scope: &str) -> bool {
        has_scope(&self.scope, scope)
    }
}

/// The members of a token that decide about it.
#[derive(Default)]
struct Found<'a> {
    issuer: Option<&'a str>,
    tenant: Option<&'a str>,
    subject: Option<Cow<'a, str>>,
    audience: Option<&'a Json<'a>>,
    expires_at: Option<i64>,
    not_before: Option<i64>,
    issued_at: Option<i64>,
    /// `scope` and `scp`
    scopes: [Option<&'a Json<'a>>; 2],
    /// `azp`, `client_id`, `appid` and `cid`
    clients: [Option<Cow<'a, str>>; 4],
    has_roles: bool,
    /// `gty`: the grant by which the client got the token (Auth0).
    has_grant_type: bool,
    has_nonce: bool,
    is_about_sign_in: bool,
    confirmation: Option<Box<Confirmation>>,
}

impl<'a> Found<'a> {
    /// None: the value is of the wrong type.
    fn take(&mut self, name: &str, value: &'a Json<'a>, is_answer: bool) -> Option<()> {
        // Others give these names another meaning, so a value of another type is no mistake.
        let private = || value.as_str().filter(|text| !text.is_empty());
        // Some servers number their users and clients.
        let client = || Some(Some(value.as_text()?).filter(|text| !text.is_empty()));
        let date = || {
            if is_answer && value.as_str() == Some("") {
                return Some(None);
            }
            let seconds = if is_answer { value.as_seconds() } else { value.as_numeric_date() };
            seconds.map(Some)
        };
        // The length is compared first, because that quickly rules out most names, which are none of these.
        match (name.len(), name) {
            (3, "iss") => self.issuer = Some(value.as_str()?),
            (3, "tid") => self.tenant = private(),
            (3, "sub") => self.subject = Some(value.as_text()?),
            (3, "aud") => self.audience = Some(value),
            (3, "exp") => self.expires_at = date()?,
            (3, "nbf") => self.not_before = date()?,
            (3, "iat") => self.issued_at = date()?,
            (3, "azp") => self.clients[0] = client()?,
            (9, "client_id") => self.clients[1] = client()?,
            (5, "appid") => self.clients[2] = private().map(Cow::Borrowed),
            (3, "cid") => self.clients[3] = private().map(Cow::Borrowed),
            (5, "scope") => self.scopes[0] = Some(value),
            (3, "scp") => self.scopes[1] = Some(value).filter(|value| value.as_strings().is_some()),
            // An ID token has a hash of what was issued with it, or a nonce and no scope. Keycloak names the kind
            // in `typ`.
            (7, "at_hash") | (6, "c_hash" | "s_hash") => self.is_about_sign_in = true,
            (5, "roles") => self.has_roles = true,
            (3, "gty") => self.has_grant_type = true,
            // Amazon Cognito names the kind in `token_use`.
            (9, "token_use") => self.is_about_sign_in |= value.as_str() == Some("id"),
            (5, "nonce") => self.has_nonce = true,
            (3, "cnf") => self.confirmation = Some(Box::new(Confirmation::from_json(value).ok()?)),
            (3, "typ") => {
                let kind = value.as_str().unwrap_or("");
                self.is_about_sign_in |= OTHER_KINDS.contains(&kind);
            }
            _ => {}
        }
        Some(())
    }
}

/// Names, for people, of the members by which a token counts as one about a sign-in.
pub fn id_token_marks(json: &Json<'_>, claims: &Claims) -> Vec<&'static str> {
    let text = |name: &str| json.get(name).and_then(Json::as_str);
    let marks = [
        ("at_hash", json.get("at_hash").is_some()),
        ("c_hash", json.get("c_hash").is_some()),
        ("s_hash", json.get("s_hash").is_some()),
        ("nonce without scope", json.get("nonce").is_some() && claims.scope.is_empty()),
        ("token_use is id", text("token_use") == Some("id")),
        ("typ names another kind of token", text("typ").is_some_and(|typ| OTHER_KINDS.contains(&typ))),
    ];
    marks.into_iter().filter(|mark| mark.1).map(|mark| mark.0).collect()
}

/// True when the audience is a service rather than the client that signed the user in. If the token names clients,
/// none of them may be an audience. If it names none, every audience must be a URI.
fn is_for_service(audience: &[&str], clients: &[String]) -> bool {
    match clients {
        [] => !audience.is_empty() && audience.iter().all(|text| text.contains(':')),
        clients => !audience.iter().any(|text| clients.iter().any(|client| client == text)),
    }
}

/// A text, or the texts of a list.
fn texts<'a>(claim: &str, value: &'a Json<'_>) -> Result<SmallVec<[&'a str; 2]>, ClaimFault> {
    value.as_strings().ok_or_else(|| ClaimFault::malformed(claim, value))
}

fn joined(scopes: [Option<&Json<'_>>; 2]) -> Result<String, ClaimFault> {
    let mut out = String::new();
    for (claim, value) in ["scope", "scp"].into_iter().zip(scopes) {
        if let Some(value) = value {
            add_scopes(&mut out, &texts(claim, value)?);
        }
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn claims(text: &str) -> Result<Claims, Reason> {
        Claims::from_json(&Json::parse(text.as_bytes()).unwrap()).map_err(Reason::from)
    }

    #[test]
    fn a_wrong_type_is_not_absence() {
        for (name, value) in [
            ("iss", "1"),
            ("aud", "1"),
            ("aud", "[1]"),
            ("aud", "{}"),
            ("exp", "\"99999999999\""),
            ("nbf", "\"1\""),
            ("iat", "true"),
            ("sub", "1.5"),
            ("aud", "[\"sip\",1]"),
            ("scope", "1"),
            ("scope", "[1]"),
            ("sub", "\"\\ud83d\""),
            ("iss", "\"\\ud83d\""),
            ("azp", "[]"),
            ("client_id", "{}"),
        ] {
            let mut members = vec![("iss", "\"i\""), ("exp", "1")];
            members.retain(|m| m.0 != name);
            members.push((name, value));
            let text: Vec<_> = members.iter().map(|(n, v)| format!("\"{n}\":{v}")).collect();
            assert_eq!(claims(&format!("{{{}}}", text.join(","))), Err(Reason::ClaimMalformed), "{name}={value}");
        }
        assert_eq!(claims(r#"{"iss":"i"}"#), Err(Reason::ClaimMissing));
        assert_eq!(claims(r#"{"exp":1}"#), Err(Reason::ClaimMissing));
        assert_eq!(claims("[]"), Err(Reason::TokenMalformed));
    }

    #[test]
    fn plain_meaning_in_every_shape() {
        let all = r#""nbf":60.5,"iat":null,"sub":1001,"aud":["sip",null],"azp":null,"client_id":"c","scope":["a",null,"b c"],
            "at_hash":null,"nonce":null,"cnf":null,"tid":null,"roles":null"#;
        let read = claims(&format!(r#"{{"iss":"i","exp":120.9,{all}}}"#)).unwrap();
        assert_eq!((read.expires_at, read.not_before, read.issued_at), (120, Some(60), None));
        assert_eq!((read.subject.as_deref(), read.scope.as_str()), (Some("1001"), "a b c"));
        assert_eq!((&read.audience[..], &read.clients[..]), (&["sip".to_owned()][..], &["c".to_owned()][..]));
        assert!(!read.is_id_token && read.confirmation.is_none() && read.tenant.is_none());
        for missing in [r#"{"iss":null,"exp":1}"#, r#"{"iss":"i","exp":null}"#] {
            assert_eq!(claims(missing), Err(Reason::ClaimMissing));
        }
        let answer = format!(r#"{{"active":true,"exp":"120",{all},"token_type":null,"token_use":null}}"#);
        let said = Claims::from_introspection(&Json::parse(answer.as_bytes()).unwrap(), "i").unwrap();
        assert_eq!(said, Claims { has_access_marks: true, ..read });
    }

    #[test]
    fn introspected_claims() {
        let read = |text: &str| {
            Claims::from_introspection(&Json::parse(text.as_bytes()).unwrap(), "https://as").map_err(Reason::from)
        };
        let plain = read(r#"{"active":true,"username":"alice","scope":"sip"}"#).unwrap();
        assert_eq!((plain.issuer.as_str(), plain.expires_at, plain.scope.as_str()), ("https://as", NO_END, "sip"));
        assert!(plain.has_access_marks && !plain.is_id_token);
        let named = read(r#"{"active":true,"iss":"https://other","exp":120,"token_type":"bearer"}"#).unwrap();
        assert_eq!((named.issuer.as_str(), named.expires_at), ("https://other", 120));
        let word = |text: &str| format!(r#""token_type":"{text}""#);
        let kinds =
            ["access_token", "JWT", "BearerToken", "AccessToken", "Bearer ", "", "opaque", "reference"].map(word);
        let urns = ["access_token", "jwt"].map(|kind| word(&format!("urn:ietf:params:oauth:token-type:{kind}")));
        let others = [r#""typ":"Bearer""#, r#""token_use":"access""#].map(str::to_owned);
        for good in kinds.into_iter().chain(urns).chain(others) {
            assert!(read(&format!(r#"{{"active":true,{good}}}"#)).is_ok(), "{good}");
        }
        for (members, reason) in [
            (r#""token_type":"refresh_token""#, Reason::IdToken),
            (r#""token_use":"refresh_token""#, Reason::IdToken),
            (r#""token_use":"id""#, Reason::IdToken),
            (r#""typ":"Refresh""#, Reason::IdToken),
            (r#""typ":"Offline""#, Reason::IdToken),
            (r#""typ":"ID""#, Reason::IdToken),
            (r#""at_hash":"x""#, Reason::IdToken),
            (r#""token_type":"RefreshToken""#, Reason::IdToken),
            (r#""token_type":"urn:ietf:params:oauth:token-type:refresh_token""#, Reason::IdToken),
            (r#""token_type":"urn:ietf:params:oauth:token-type:id_token""#, Reason::IdToken),
            (r#""token_type":"authorization_code""#, Reason::IdToken),
            (r#""token_type":"DPoP""#, Reason::ProofNeeded),
            (r#""token_type":"urn:example:dpop""#, Reason::ProofNeeded),
            (r#""token_type":"PoP""#, Reason::ProofNeeded),
            (r#""token_type":"mac""#, Reason::ProofNeeded),
            (r#""token_type":"N_A""#, Reason::ProofNeeded),
            (r#""token_type":1"#, Reason::ClaimMalformed),
            (r#""iss":1"#, Reason::ClaimMalformed),
            (r#""exp":"soon""#, Reason::ClaimMalformed),
            (r#""aud":{}"#, Reason::ClaimMalformed),
            (r#""scope":1"#, Reason::ClaimMalformed),
            (r#""nbf":"-1""#, Reason::ClaimMalformed),
            (r#""client_id":[]"#, Reason::ClaimMalformed),
        ] {
            assert_eq!(read(&format!(r#"{{"active":true,{members}}}"#)), Err(reason), "{members}");
        }
        assert_eq!(read("[]"), Err(Reason::TokenMalformed));
    }

    #[test]
    fn an_answer_may_leave_a_claim_empty_or_write_a_number_as_text() {
        let read = |text: &str| {
            Claims::from_introspection(&Json::parse(text.as_bytes()).unwrap(), "https://as").map_err(Reason::from)
        };
        let empty = read(r#"{"active":true,"exp":"","nbf":"","iat":"","client_id":"","azp":""}"#).unwrap();
        assert_eq!((empty.expires_at, empty.not_before, empty.issued_at), (NO_END, None, None));
        assert!(empty.clients.is_empty());
        let odd = read(r#"{"active":true,"exp":"120.5","nbf":"60.0","iat":1e400,"client_id":1001}"#).unwrap();
        assert_eq!((odd.expires_at, odd.not_before, odd.issued_at), (120, Some(60), Some(i64::MAX)));
        assert_eq!(odd.clients, ["1001"]);
        assert_eq!(claims(r#"{"iss":"i","exp":""}"#), Err(Reason::ClaimMalformed), "a signed token is strict");
    }

    #[test]
    fn numbers_of_any_size_name_a_user_and_an_end() {
        let read = |members: &str| claims(&format!(r#"{{"iss":"i",{members}}}"#)).unwrap();
        for sub in ["9223372036854775808", "18446744073709551615", "123456789012345678901", "-9223372036854775809"] {
            assert_eq!(read(&format!(r#""exp":1,"sub":{sub}"#)).subject.as_deref(), Some(sub));
        }
        assert_eq!(read(r#""exp":1,"sub":1001.0"#).subject.as_deref(), Some("1001"));
        for exp in ["9223372036854775808", "1e16", "99999999999999999999.5"] {
            assert!(read(&format!(r#""exp":{exp}"#)).expires_at >= 10_000_000_000_000_000, "{exp}");
        }
    }

    #[test]
    fn names_that_nobody_has_registered_count_as_text_only_and_after_the_registered_ones() {
        let read = |members: &str| claims(&format!(r#"{{"iss":"i","exp":1,{members}}}"#)).unwrap();
        for odd in ["5", "1.5", "true", "[]", "{}", "\"\""] {
            let read = read(&format!(r#""tid":{odd},"cid":{odd},"appid":{odd},"scp":{odd},"token_use":{odd}"#));
            assert_eq!((read.tenant, read.clients.len(), read.has_access_marks), (None, 0, false), "{odd}");
            assert_eq!(read.scope, "", "{odd}");
        }
        assert_eq!(read(r#""scope":"a","scp":["b",5]"#).scope, "a");
        assert_eq!(read(r#""azp":"phones","cid":"customer-7","appid":"x""#).clients, ["phones"]);
        assert_eq!(read(r#""azp":"","client_id":"phones","cid":"7""#).clients, ["phones"]);
        assert_eq!(read(r#""azp":"a","client_id":"b""#).clients, ["a", "b"]);
        assert_eq!(read(r#""azp":"","cid":"okta""#).clients, ["okta"]);
        assert_eq!(read(r#""appid":"entra","cid":7"#).clients, ["entra"]);
    }

    #[test]
    fn lists_are_bounded_by_the_token_only() {
        let many = (0..1000).map(|number| format!("\"s{number}\"")).collect::<Vec<_>>().join(",");
        let read =
            claims(&format!(r#"{{"iss":"i","exp":1,"aud":[{many},"sip"],"scp":[{many}],"scope":["sip"]}}"#)).unwrap();
        assert_eq!(read.audience.len(), 1001);
        assert!(read.has_scope("s999") && read.has_scope("sip") && !read.has_scope("s1000"));
    }

    #[test]
    fn reads_scopes_in_every_form() {
        let scope = |extra: &str| claims(&format!(r#"{{"iss":"i","exp":1,{extra}}}"#)).unwrap();
        assert_eq!(scope(r#""scope":"a  b""#).scope, "a b");
        assert_eq!(scope(r#""scp":["a","b"]"#).scope, "a b");
        assert!(scope(r#""scp":"a.b c""#).has_scope("a.b"));
        assert!(!scope(r#""scp":"a.b c""#).has_scope("a"));
    }
}
