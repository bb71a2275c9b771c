// SPDX-License-Identifier: MIT OR Apache-2.0
//! Users, their phones and what they send. Everything follows from the phone's number, so nothing of it is kept.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;
use sipoauth_core::check::{Message, Request};
use sipoauth_core::keys::pop::{make_pop, pop_to_text};
use sipoauth_core::keys::shared_key::{KeyOrder, shared_key};
use sipoauth_core::oauth::exchange::Granted;
use sipoauth_core::records::session::Identity;
use sipoauth_core::sip::digest_string::{DigestParts, digest_string};
use sipoauth_core::sip::sip_date;
use sipoauth_core::text::secret::SecretText;

use super::site::{AUDIENCE, CLIENT, DOMAIN, ISSUER, TOKEN_SECRET};

/// `scope` of every token.
const SCOPE: &str = "openid profile email";

/// What the authorization server gives for refreshes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RefreshToken {
    /// A JWT with the claims that Keycloak gives it, 780 octets.
    Jwt,
    /// Random text of this length.
    Opaque(usize),
    /// Nothing: what is left is this library's own.
    Nothing,
}

/// Random numbers that are the same in each run.
pub struct Random(u64);

impl Random {
    /// A sequence.
    pub fn new(seed: u64) -> Random {
        Random(seed)
    }

    /// The next number (SplitMix64).
    pub fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ z >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ z >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ z >> 31
    }

    fn octets(&mut self, count: usize) -> Vec<u8> {
        let mut out: Vec<u8> = (0..count.div_ceil(8)).flat_map(|_| self.number().to_le_bytes()).collect();
        out.truncate(count);
        out
    }

    fn uuid(&mut self) -> String {
        let (a, b) = (self.number(), self.number());
        let (first, second, third) = (a >> 32, a >> 16 & 0xFFFF, a & 0xFFF);
        let (fourth, last) = (b >> 48 & 0x3FFF | 0x8000, b & 0xFFFF_FFFF_FFFF);
        format!("{first:08x}-{second:04x}-4{third:03x}-{fourth:04x}-{last:012x}")
    }
}

/// One phone.
pub struct Phone {
    number: u64,
}

impl Phone {
    /// The phone with this number.
    pub fn new(number: u64) -> Phone {
        Phone { number }
    }

    fn random(&self, purpose: u64) -> Random {
        let mut random = Random::new(self.number << 8 | purpose);
        random.number();
        Random::new(random.number())
    }

    /// Its user's address.
    pub fn aor(&self) -> String {
        format!("sip:user{:08}@{DOMAIN}", self.number)
    }

    /// `sub`
    pub fn subject(&self) -> String {
        self.random(1).uuid()
    }

    /// `+sip.instance`
    pub fn instance(&self) -> String {
        format!("<urn:uuid:{}>", self.random(2).uuid())
    }

    /// The code with which it signed in.
    pub fn code(&self) -> String {
        let mut random = self.random(3);
        format!("{}.{}.{}", random.uuid(), random.uuid(), random.uuid())
    }

    /// Tag, Call-ID and To tag of the registration that brought the code.
    pub fn first_dialog(&self) -> [String; 3] {
        let mut random = self.random(4);
        [(); 3].map(|()| format!("{:016x}", random.number()))
    }

    fn key(&self) -> [u8; 32] {
        let [from_tag, call_id, to_tag] = self.first_dialog();
        let [from, to, call] = [&from_tag, &to_tag, &call_id].map(|text| text.as_bytes());
        *shared_key(KeyOrder::Draft, self.code().as_bytes(), from, to, call)
    }

    fn jwt(&self, header: &str, payload: &str, signature: usize) -> String {
        let encode = |octets: &[u8]| URL_SAFE_NO_PAD.encode(octets);
        let signature = self.random(5).octets(signature);
        format!("{}.{}.{}", encode(header.as_bytes()), encode(payload.as_bytes()), encode(&signature))
    }

    /// What the authorization server gives for its code at this time (Unix seconds), as Keycloak does.
    pub fn granted(&self, refresh: RefreshToken, now: i64, expires_at: i64) -> Granted {
        let (mut random, subject) = (self.random(6), self.subject());
        let [jti, session, access_id, id_id] = [(); 4].map(|()| random.uuid());
        let aor = self.aor();
        let header = |alg: &str, kid: &str| format!(r#"{{"alg":"{alg}","typ" : "JWT","kid" : "{kid}"}}"#);
        let (kid, refresh_kid) =
            ("pjaXc5zFpPxIxnnSGQTTRzHqGGlKZgNWVKDkG4gBnVg", "0f4dd3b2-5a1f-4fbb-9bbd-4b5c8a2c7d10");
        let common = format!(
            r#""exp":{expires_at},"iat":{now},"iss":"{ISSUER}","sub":"{subject}","azp":"{CLIENT}","sid":"{session}""#
        );
        let refresh_token = match refresh {
            RefreshToken::Nothing => None,
            RefreshToken::Opaque(length) => {
                let octets = self.random(7).octets(length);
                Some(URL_SAFE_NO_PAD.encode(octets)[..length].to_owned())
            }
            RefreshToken::Jwt => Some(self.jwt(
                &header("HS512", refresh_kid),
                &format!(
                    r#"{{"exp":{end},"iat":{now},"jti":"{jti}","iss":"{ISSUER}","aud":"{ISSUER}","sub":"{subject}","typ":"Refresh","azp":"{CLIENT}","session_state":"{session}","scope":"openid basic email profile offline_access","reuse_id":"{id_id}","sid":"{session}"}}"#,
                    end = expires_at + 86_400
                ),
                64,
            )),
        };
        let access_token = self.jwt(
            &header("RS256", kid),
            &format!(
                r#"{{{common},"jti":"{access_id}","aud":["{AUDIENCE}","account"],"typ":"Bearer","acr":"1","realm_access":{{"roles":["default-roles-corp","offline_access"]}},"scope":"{SCOPE}","email_verified":true,"preferred_username":"user{:08}","sip":"{aor}"}}"#,
                self.number
            ),
            256,
        );
        let id_token = self.jwt(
            &header("RS256", kid),
            &format!(r#"{{{common},"jti":"{id_id}","aud":"{CLIENT}","typ":"ID","acr":"1","email_verified":true,"sip":"{aor}"}}"#),
            256,
        );
        Granted {
            identity: Identity { subject, aors: vec![aor], client_id: CLIENT.into(), scope: SCOPE.into(), sid: None },
            access_token: SecretText(access_token),
            refresh_token: refresh_token.map(SecretText),
            id_token: Some(SecretText(id_token)),
            expires_at,
            master_key: None,
        }
    }

    /// A token of its user that this proxy verifies by itself.
    pub fn bearer_token(&self, expires_at: i64) -> String {
        let encode = |octets: &[u8]| URL_SAFE_NO_PAD.encode(octets);
        let (aor, mut random) = (self.aor(), self.random(8));
        let payload = format!(
            r#"{{"iss":"{ISSUER}","aud":"{AUDIENCE}","sub":"{}","exp":{expires_at},"iat":1700000000,"jti":"{}","azp":"phone","sid":"{}","scope":"{SCOPE}","preferred_username":"user{:08}","name":"A User of This Company","email":"user{:08}@{DOMAIN}","sip":"{aor}"}}"#,
            self.subject(),
            random.uuid(),
            random.uuid(),
            self.number,
            self.number
        );
        let text = format!("{}.{}", encode(br#"{"alg":"HS256","typ":"at+jwt"}"#), encode(payload.as_bytes()));
        let mut mac = Hmac::<Sha256>::new_from_slice(TOKEN_SECRET.as_bytes()).expect("a key of any length");
        mac.update(text.as_bytes());
        format!("{text}.{}", encode(&mac.finalize().into_bytes()))
    }

    /// A REGISTER of its own at this time (Unix seconds), the `count`th.
    pub fn register(&self, now: i64, count: u64) -> Sip {
        let aor = self.aor();
        Sip {
            from: aor.clone(),
            to: aor,
            call_id: format!("{:016x}@192.0.2.7", self.random(9).number()),
            cseq: format!("{} REGISTER", count % 0x7FFF_FFFF),
            date: sip_date::from_unix_seconds(now).expect("a time of this era"),
            contact: format!("sip:user{:08}@192.0.2.7:5060;transport=tls", self.number),
            branch: format!("z9hG4bK{count:016x}"),
            instance: self.instance(),
            ..Sip::default()
        }
    }

    /// It proves that it has its key, in the header.
    pub fn prove(&self, mut sip: Sip) -> Sip {
        let pop = pop_to_text(&make_pop(&self.key(), &sip.digest(b"")));
        sip.credential = format!("Bearer pop=\"{pop}\"");
        sip
    }

    /// The same in the body.
    pub fn prove_in_body(&self, mut sip: Sip) -> Sip {
        let covered = "grant_type=proof-of-possession";
        let pop = pop_to_text(&make_pop(&self.key(), &sip.digest(covered.as_bytes())));
        sip.body = format!("{covered}&pop={pop}");
        sip
    }
}

/// A REGISTER, as far as the library looks at it.
#[derive(Clone, Debug, Default)]
pub struct Sip {
    from: String,
    to: String,
    call_id: String,
    cseq: String,
    date: String,
    contact: String,
    branch: String,
    instance: String,
    body: String,
    /// Body of its Authorization header field; empty: it has none.
    pub credential: String,
}

impl Sip {
    fn digest(&self, body: &[u8]) -> Vec<u8> {
        digest_string(&DigestParts {
            from: self.from.as_bytes(),
            to: self.to.as_bytes(),
            call_id: self.call_id.as_bytes(),
            cseq: self.cseq.as_bytes(),
            date: self.date.as_bytes(),
            contact: self.contact.as_bytes(),
            body,
        })
        .expect("every part is there")
    }

    /// What the proxy hands to the library.
    pub fn read<R>(&self, look: impl FnOnce(&Request<'_>) -> R) -> R {
        let credentials: &[&str] = if self.credential.is_empty() { &[] } else { &[&self.credential] };
        look(&Request {
            method: "REGISTER",
            from: &self.from,
            to: &self.to,
            realm: DOMAIN,
            credentials,
            transport: "tls",
            source: ("192.0.2.7", 5060),
            message: Message {
                content_type: if self.body.is_empty() { "" } else { "application/x-www-form-urlencoded" },
                body: self.body.as_bytes(),
                from_tag: b"1928301774",
                call_id: self.call_id.as_bytes(),
                cseq: self.cseq.as_bytes(),
                date: self.date.as_bytes(),
                contact: self.contact.as_bytes(),
                instance: &self.instance,
                user_agent: "",
                branch: self.branch.as_bytes(),
                reply_to_tag: b"",
                contacts: 1,
                reg_id: 0,
            },
            ..Request::default()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refresh_token_is_as_long_as_keycloaks() {
        let granted = Phone::new(7).granted(RefreshToken::Jwt, 1_764_300_000, 1_764_303_600);
        let length = granted.refresh_token.map_or(0, |token| token.0.len());
        assert!((760..=800).contains(&length), "{length}");
        assert_ne!(Phone::new(7).subject(), Phone::new(8).subject());
        assert_eq!(Phone::new(7).key(), Phone::new(7).key());
    }
}
