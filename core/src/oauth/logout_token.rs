// SPDX-License-Identifier: MIT OR Apache-2.0
//! Logout tokens (OpenID Connect Back-Channel Logout 1.0 section 2.6): the server's word that a user has logged out.
//!
//! Whoever could forge one could sign other people's phones out, so a token that leaves a doubt is refused.

use super::kept_keys::Refetched;
use super::token_identity::Keys;
use crate::config::policy::Policy;
use crate::config::provider::Provider;
use crate::jose::jws::CompactJws;
use crate::jose::key_set::KeySet;
use crate::oauth::exchange::TokenError;
use crate::reason::Reason;
use crate::records::session::{IssuerName, SidName, sid_name};
use crate::text::json::Json;

/// The member of `events` that makes a token a logout token.
const EVENT: &str = "http://schemas.openid.net/event/backchannel-logout";
/// `typ` of logout tokens; servers of earlier drafts write that of any JWT, or none.
const TYPES: [&str; 3] = ["logout+jwt", "jwt", ""];
/// Seconds for which a logout token counts after it was issued. The server sends it at once.
const LIFETIME: i64 = 300;
/// Longest token, and longest name in it, in octets.
const MAX_TOKEN: usize = 16 * 1024;
const MAX_NAME: usize = 512;

/// What a verified logout token says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogoutToken {
    /// The issuer as sessions name it.
    pub issuer: IssuerName,
    /// `jti`: the token counts once.
    pub jti: String,
    /// `sub`: whose sessions end.
    pub subject: Option<String>,
    /// `sid`: only those of this browser session end.
    pub sid: Option<SidName>,
    /// After this time the token would be refused as too old, in Unix seconds.
    pub good_until: i64,
}

/// Why a logout token does not count. The texts are sentences and hold nothing secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LogoutError {
    /// It is not one of a provider's, or not for this client.
    Refused(String),
    /// The provider's keys cannot be had now, so nobody knows.
    Unavailable(String),
}

impl From<Reason> for LogoutError {
    fn from(reason: Reason) -> LogoutError {
        LogoutError::Refused(reason.text().to_owned())
    }
}

fn refused<T>(why: &str) -> Result<T, LogoutError> {
    Err(LogoutError::Refused(why.to_owned()))
}

/// The provider that a logout token names as its issuer, whatever else is wrong with it.
pub fn provider_of(policy: &Policy, token: &str) -> Result<usize, LogoutError> {
    if token.len() > MAX_TOKEN {
        return refused("the logout token is too long");
    }
    let opened = policy.decryption.open(token).map_err(Reason::from)?;
    let named = policy.provider_named_by(&opened);
    named.map_or_else(|| refused("the logout token is of no provider"), Ok)
}

/// Verifies a logout token of a provider. `known` are the provider's keys, which `fetch` fetches anew, at most once.
/// `now` is in Unix seconds.
pub fn verify(
    policy: &Policy,
    provider: usize,
    token: &str,
    known: Option<&KeySet>,
    fetch: &dyn Fn() -> Result<Refetched, String>,
    now: i64,
) -> Result<LogoutToken, LogoutError> {
    let provider = &policy.providers[provider];
    let opened = policy.decryption.open(token).map_err(Reason::from)?;
    let jws = CompactJws::split(&opened)?;
    let header = jws.header()?;
    // Whoever knows a shared secret could sign with it, so it proves nothing about the server.
    if header.algorithm.is_symmetric() || !provider.rules.algorithms.contains(&header.algorithm) {
        return refused("its alg is not accepted");
    }
    if !TYPES.contains(&header.typ.as_str()) {
        return refused("its typ is not logout+jwt");
    }
    let payload = jws.unverified_payload()?;
    let json = Json::parse(&payload).map_err(|_| Reason::TokenMalformed)?;
    if !opened.agrees_with(&json) {
        return Err(Reason::TokenMalformed.into());
    }
    // A token that would be refused anyway is not worth a key fetch.
    let found = read(provider, &json, now)?;
    let keys = Keys::new(&policy.decryption, known, fetch);
    match keys.verify(provider, &jws, &header) {
        Ok(()) => Ok(found),
        Err(TokenError::InDoubt(_)) => {
            Err(LogoutError::Unavailable("there are no current keys of the provider".into()))
        }
        Err(_) => refused("its signature is not by a key of the provider"),
    }
}

fn read(provider: &Provider, json: &Json<'_>, now: i64) -> Result<LogoutToken, LogoutError> {
    let name = |claim: &str| -> Result<Option<&str>, LogoutError> {
        match json.get(claim) {
            None => Ok(None),
            Some(value) => match value.as_str() {
                Some(text) if !text.is_empty() && text.len() <= MAX_NAME => Ok(Some(text)),
                _ => refused(&format!("its {claim} is not a name")),
            },
        }
    };
    let tenant = json.get("tid").and_then(Json::as_str);
    let issuer = name("iss")?.unwrap_or_default();
    if !provider.rules.issuers.iter().any(|rule| rule.accepts(issuer, tenant)) {
        return refused("its iss is not that of the provider");
    }
    let Some(client) = &provider.client else { return refused("the provider has no client_id") };
    let audience = json.get("aud").and_then(Json::as_strings);
    if !audience.is_some_and(|all| all.contains(&&*client.id)) {
        return refused("its aud is not the client_id of the provider");
    }
    let Some(issued_at) = json.get("iat").and_then(Json::as_numeric_date) else {
        return refused("it has no iat");
    };
    let leeway = provider.rules.leeway;
    if issued_at > now.saturating_add(leeway) {
        return refused("it was issued in the future");
    }
    let mut good_until = issued_at.saturating_add(LIFETIME).saturating_add(leeway);
    if let Some(end) = json.get("exp") {
        let Some(end) = end.as_numeric_date() else { return refused("its exp is not a time") };
        good_until = good_until.min(end.saturating_add(leeway));
    }
    if now >= good_until {
        return refused("it is too old");
    }
    let event = json.get("events").and_then(|events| events.get(EVENT));
    if !matches!(event, Some(Json::Object(_))) {
        return refused("its events have no back-channel logout");
    }
    // An ID token must never count as a logout token (section 2.4).
    if json.get("nonce").is_some() {
        return refused("it has a nonce, as only ID tokens do");
    }
    let Some(jti) = name("jti")? else { return refused("it has no jti") };
    let (subject, sid) = (name("sub")?, name("sid")?);
    if subject.is_none() && sid.is_none() {
        return refused("it has neither sub nor sid");
    }
    Ok(LogoutToken {
        issuer: provider.issuer_name,
        jti: jti.to_owned(),
        subject: subject.map(str::to_owned),
        sid: sid.map(sid_name),
        good_until,
    })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::config::source::Source;
    use crate::jose::key_set::Origin;
    use crate::jose::signing_key::SigningKey;
    use crate::records::session::issuer_name;

    const NOW: i64 = 1_800_000_000;
    /// The key pair of RFC 8037 appendix A, and another one.
    const KEYS: &str =
        r#"{"keys":[{"kty":"OKP","crv":"Ed25519","kid":"a","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}"#;
    const OWN: &str = "MC4CAQAwBQYDK2VwBCIEIJ1hsZ3v/VpguoRK9JLsLMREScVpezJpGXA7rAMcrn9g";
    const OTHER: &str = "MC4CAQAwBQYDK2VwBCIEIIe2GhMPu/kugX8VKmNj3VOSD9PmUyAJQw9rFE2kStGg";

    fn policy() -> Policy {
        let mut source = Source::default();
        source.set("store", "/nowhere").unwrap();
        source.set("store_key", "0123456789abcdef0123456789abcdef").unwrap();
        let line = "name=as;issuer=https://as.example;audience=sip;aor={sip};domains=a.example;client_id=proxy";
        source.add_provider(line).unwrap();
        Policy::new(&source.load().unwrap()).unwrap()
    }

    fn claims() -> Value {
        json!({
            "iss": "https://as.example", "aud": "proxy", "iat": NOW, "exp": NOW + 120, "jti": "1", "sub": "alice",
            "sid": "s", "events": { EVENT: {} },
        })
    }

    fn signed(key: &str, typ: &str, claims: &Value) -> String {
        let pem = format!("-----BEGIN PRIVATE KEY-----\n{key}\n-----END PRIVATE KEY-----\n");
        SigningKey::from_pem(pem.as_bytes(), Some("a".into())).unwrap().sign_jwt(typ, claims).unwrap()
    }

    fn judge(token: &str, now: i64) -> Result<LogoutToken, LogoutError> {
        let (policy, keys) = (policy(), KeySet::from_jwks(KEYS.as_bytes(), Origin::Fetched).unwrap());
        let fetch = || Ok(KeySet::from_jwks(KEYS.as_bytes(), Origin::Fetched).unwrap().into());
        let provider = provider_of(&policy, token)?;
        verify(&policy, provider, token, Some(&keys), &fetch, now)
    }

    /// The reason why a token with these claims instead is refused.
    fn refusal(change: &Value) -> String {
        let mut claims = claims();
        for (name, value) in change.as_object().unwrap() {
            match value {
                Value::Null => drop(claims.as_object_mut().unwrap().remove(name)),
                value => claims[name] = value.clone(),
            }
        }
        match judge(&signed(OWN, "logout+jwt", &claims), NOW) {
            Err(LogoutError::Refused(why)) => why,
            other => panic!("{change}: {other:?}"),
        }
    }

    #[test]
    fn a_servers_own_token_counts_as_long_as_it_is_young() {
        let found = judge(&signed(OWN, "logout+jwt", &claims()), NOW).unwrap();
        assert_eq!(found.issuer, issuer_name("https://as.example"));
        assert_eq!(
            (found.jti.as_str(), found.subject.as_deref(), found.sid),
            ("1", Some("alice"), Some(sid_name("s")))
        );
        assert_eq!(found.good_until, NOW + 150);
        for typ in ["JWT", "application/logout+jwt", ""] {
            assert!(judge(&signed(OWN, typ, &claims()), NOW).is_ok(), "{typ}");
        }
        let token = signed(OWN, "logout+jwt", &claims());
        assert!(judge(&token, NOW + 149).is_ok() && judge(&token, NOW - 30).is_ok());
        for time in [NOW + 150, NOW - 31] {
            assert!(judge(&token, time).is_err(), "{time}");
        }
        let mut endless = claims();
        endless.as_object_mut().unwrap().remove("exp");
        let endless = signed(OWN, "logout+jwt", &endless);
        assert!(judge(&endless, NOW + 329).is_ok() && judge(&endless, NOW + 330).is_err());
    }

    #[test]
    fn each_claim_is_needed_and_must_fit() {
        for (change, words) in [
            (json!({ "iss": "https://other.example" }), "of no provider"),
            (json!({ "iss": null }), "of no provider"),
            (json!({ "aud": "another" }), "aud"),
            (json!({ "aud": null }), "aud"),
            (json!({ "iat": null }), "iat"),
            (json!({ "iat": "soon" }), "iat"),
            (json!({ "exp": "never" }), "exp"),
            (json!({ "exp": NOW - 31 }), "too old"),
            (json!({ "events": null }), "events"),
            (json!({ "events": {} }), "events"),
            (json!({ "events": { EVENT: true } }), "events"),
            (json!({ "events": [EVENT] }), "events"),
            (json!({ "nonce": "n" }), "nonce"),
            (json!({ "jti": null }), "jti"),
            (json!({ "jti": "" }), "jti"),
            (json!({ "jti": "x".repeat(MAX_NAME + 1) }), "jti"),
            (json!({ "sub": null, "sid": null }), "neither"),
            (json!({ "sub": 7 }), "sub"),
            (json!({ "sid": ["s"] }), "sid"),
        ] {
            let why = refusal(&change);
            assert!(why.contains(words), "{change}: {why}");
        }
        let mut claims = claims();
        claims["aud"] = json!(["another", "proxy"]);
        claims.as_object_mut().unwrap().remove("sub");
        assert!(judge(&signed(OWN, "logout+jwt", &claims), NOW).is_ok(), "a sid is enough");
    }

    #[test]
    fn nobody_else_can_make_one() {
        let token = signed(OWN, "logout+jwt", &claims());
        assert!(judge(&signed(OTHER, "logout+jwt", &claims()), NOW).is_err(), "another key");
        for typ in ["at+jwt", "id_token+jwt", "secevent+jwt"] {
            assert!(judge(&signed(OWN, typ, &claims()), NOW).is_err(), "{typ}");
        }
        let (_, rest) = token.split_once('.').unwrap();
        // {"alg":"none"} and {"alg":"HS256"}
        for header in ["eyJhbGciOiJub25lIn0", "eyJhbGciOiJIUzI1NiJ9"] {
            assert!(judge(&format!("{header}.{rest}"), NOW).is_err(), "{header}");
        }
        let (signed_part, _) = token.rsplit_once('.').unwrap();
        for forged in [format!("{signed_part}."), signed_part.to_owned(), String::new(), "x".repeat(MAX_TOKEN + 1)] {
            assert!(judge(&forged, NOW).is_err(), "{forged}");
        }
    }

    proptest::proptest! {
        #[test]
        fn any_text_has_a_verdict(
            text in ".{0,200}",
            claims in r#"\{("(iss|aud|iat|exp|jti|sub|sid|events|nonce)":("https://as\.example"|"proxy"|1800000000|\{\}|\[\]|null),?){0,9}\}"#,
        ) {
            use base64::Engine;
            use base64::engine::general_purpose::URL_SAFE_NO_PAD;
            let [header, payload] = [r#"{"alg":"EdDSA"}"#, &claims].map(|text| URL_SAFE_NO_PAD.encode(text));
            for token in [text.clone(), format!("{header}.{payload}.{text}"), format!("{text}.{payload}.AAAA")] {
                assert!(judge(&token, NOW).is_err(), "{token}");
            }
        }
    }

    #[test]
    fn without_keys_nobody_knows() {
        let (policy, token) = (policy(), signed(OWN, "logout+jwt", &claims()));
        let away = || Err("away".into());
        assert!(matches!(verify(&policy, 0, &token, None, &away, NOW), Err(LogoutError::Unavailable(_))));
        let wrong = signed(OTHER, "at+jwt", &claims());
        let never = || panic!("a fetch for a token that is refused anyway");
        assert!(matches!(verify(&policy, 0, &wrong, None, &never, NOW), Err(LogoutError::Refused(_))));
    }
}
