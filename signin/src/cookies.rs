// SPDX-License-Identifier: MIT OR Apache-2.0
//! Sealed cookies: all that the server knows of a browser lies in the browser, and nobody can read or change it there.
//! So an unfinished sign-in takes no memory, and any instance with the same store key can go on.

use axum::http::{HeaderMap, header};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use sipoauth::store::sessions::SessionStore;
use sipoauth_core::keys::shared_key::hmac_sha256;
use sipoauth_core::ports::store::{StoreError, Write};
use sipoauth_core::records::seal::Sealer;
use sipoauth_core::records::session::SessionId;

use crate::browser_session::BrowserSession;
use crate::random::{is_same, record_key};

/// Longest cookie that is opened, in octets.
const MAX_COOKIE: usize = 2048;

/// The language that was chosen by a link. It is not sealed.
pub const LANGUAGE: &str = "__Host-sipoauth-language";

/// What a kind of cookie has in common.
pub trait Sealed: Serialize + DeserializeOwned {
    /// Its name. The prefix makes browsers take it over TLS only, and from this very host.
    const NAME: &'static str;

    /// It counts until then, in Unix milliseconds.
    fn until(&self) -> i64;
}

/// A sign-in that has begun.
#[derive(Deserialize, Serialize)]
pub struct PendingSignIn {
    /// The provider.
    pub provider: String,
    /// Secret of this sign-in: `state`, `nonce` and `code_verifier` follow from it.
    pub secret: [u8; 32],
    /// When it is over, in Unix milliseconds.
    pub until: i64,
}

impl Sealed for PendingSignIn {
    const NAME: &'static str = "__Host-sipoauth-sign-in";

    fn until(&self) -> i64 {
        self.until
    }
}

/// A browser that is signed in.
#[derive(Clone, Deserialize, Serialize)]
pub struct SignedIn {
    /// The address-of-record.
    pub aor: String,
    /// The session of the sign-in, which the store must still have.
    pub id: SessionId,
    /// The browser's session at the authorization server, where that has named it.
    pub browser: Option<BrowserSession>,
    /// What the forms of this browser send along.
    pub csrf: [u8; 16],
    /// When the browser must sign in again, in Unix milliseconds.
    pub until: i64,
}

impl Sealed for SignedIn {
    const NAME: &'static str = "__Host-sipoauth-session";

    fn until(&self) -> i64 {
        self.until
    }
}

impl SignedIn {
    /// The CSRF token as forms have it.
    pub fn token(&self) -> String {
        URL_SAFE_NO_PAD.encode(self.csrf)
    }

    /// True for the token of this very browser.
    pub fn has_token(&self, token: &str) -> bool {
        is_same(self.token().as_bytes(), token.as_bytes())
    }

    /// Every browser has a token of its own, so this names one browser and no other of the same user.
    fn log_out_key(&self) -> String {
        record_key("x:", &self.token())
    }

    /// Notes that this browser has logged out, because the cookie may have been copied. After its end it does not count
    /// anyway.
    pub fn log_out(&self, store: &SessionStore, now: i64) -> Result<(), StoreError> {
        let key = self.log_out_key();
        let write = Write { key: &key, value: b"1", expires_at: self.until, due_at: None };
        store.store().put_owed(&write, None, now).map(drop)
    }

    /// True when this browser has logged out, here or at the server.
    pub fn is_logged_out(&self, store: &SessionStore, now: i64) -> Result<bool, StoreError> {
        if store.store().get(&self.log_out_key(), now)?.is_some() {
            return Ok(true);
        }
        self.browser.map_or(Ok(false), |browser| browser.has_ended(store, now))
    }
}

/// Seals and opens cookies.
pub struct Cookies(Sealer);

impl Cookies {
    /// The key is made of the store's, so that instances which share a store share their cookies.
    pub fn new(store_key: &[u8]) -> Cookies {
        Cookies(Sealer::new(&*hmac_sha256(store_key, &[b"sipoauth sign-in page cookie key 1"])))
    }

    /// Set-Cookie for a sealed cookie. `now` is in Unix milliseconds.
    pub fn set<T: Sealed>(&self, cookie: &T, now: i64) -> String {
        let plain = postcard::to_allocvec(cookie).expect("a structure of texts and numbers");
        let sealed = URL_SAFE_NO_PAD.encode(self.0.seal(T::NAME, &plain));
        set(T::NAME, &sealed, (cookie.until() - now) / 1000)
    }

    /// The cookie of a request, if it is ours and still counts. `now` is in Unix milliseconds.
    pub fn get<T: Sealed>(&self, headers: &HeaderMap, now: i64) -> Option<T> {
        let text = get(headers, T::NAME).filter(|text| text.len() <= MAX_COOKIE)?;
        let plain = self.0.open(T::NAME, &URL_SAFE_NO_PAD.decode(text).ok()?)?;
        postcard::from_bytes::<T>(&plain).ok().filter(|cookie| now < cookie.until())
    }
}

/// Set-Cookie that takes a cookie away.
pub fn clear<T: Sealed>() -> String {
    set(T::NAME, "", 0)
}

/// Set-Cookie. Lax, because the browser comes back from the authorization server, which is another site.
pub fn set(name: &str, value: &str, seconds: i64) -> String {
    format!("{name}={value}; Path=/; Max-Age={seconds}; Secure; HttpOnly; SameSite=Lax")
}

/// The value of a cookie.
pub fn get<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let fields = headers.get_all(header::COOKIE).iter().filter_map(|field| field.to_str().ok());
    let pairs = fields.flat_map(|field| field.split(';')).filter_map(|pair| pair.trim().split_once('='));
    pairs.into_iter().find_map(|(known, value)| (known == name).then_some(value))
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &[u8] = b"0123456789abcdef0123456789abcdef";

    fn request(set_cookie: &str) -> HeaderMap {
        let pair = set_cookie.split(';').next().unwrap();
        let mut headers = HeaderMap::new();
        headers.insert(header::COOKIE, format!("a=b; {pair}; c").parse().unwrap());
        headers
    }

    fn signed_in() -> SignedIn {
        SignedIn { aor: "sip:alice@a.example".into(), id: [7; 16], browser: None, csrf: [8; 16], until: 1000 }
    }

    #[test]
    fn only_its_own_key_opens_a_cookie_and_only_in_time() {
        let cookies = Cookies::new(KEY);
        let set = cookies.set(&signed_in(), 0);
        assert!(set.ends_with("; Path=/; Max-Age=1; Secure; HttpOnly; SameSite=Lax"), "{set}");
        assert!(!set.contains("alice"), "{set}");
        let request = request(&set);
        assert_eq!(cookies.get::<SignedIn>(&request, 999).unwrap().aor, "sip:alice@a.example");
        assert!(cookies.get::<SignedIn>(&request, 1000).is_none());
        assert!(Cookies::new(b"another key").get::<SignedIn>(&request, 0).is_none());
        assert!(Cookies(Sealer::new(KEY)).get::<SignedIn>(&request, 0).is_none(), "the store's own key is another");
    }

    #[test]
    fn a_cookie_of_one_kind_is_none_of_another() {
        let cookies = Cookies::new(KEY);
        let pending = PendingSignIn { provider: "a".into(), secret: [1; 32], until: 1000 };
        let set = cookies.set(&pending, 0).replacen(PendingSignIn::NAME, SignedIn::NAME, 1);
        assert!(cookies.get::<SignedIn>(&request(&set), 0).is_none());
        for text in ["", "x", "AAAA", &"A".repeat(5000)] {
            let headers = request(&format!("{}={text}", SignedIn::NAME));
            assert!(cookies.get::<SignedIn>(&headers, 0).is_none(), "{text}");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_invented_cookie_opens(field in "[ -~]{0,200}", text in "[A-Za-z0-9_-]{0,400}") {
            for field in [field, format!("{}={text}", SignedIn::NAME), format!("{}={text}", PendingSignIn::NAME)] {
                let headers = HeaderMap::from_iter([(header::COOKIE, field.parse().unwrap())]);
                let cookies = Cookies::new(KEY);
                assert!(cookies.get::<SignedIn>(&headers, 0).is_none());
                assert!(cookies.get::<PendingSignIn>(&headers, 0).is_none());
            }
        }
    }

    #[test]
    fn a_token_is_that_of_its_browser() {
        let cookie = signed_in();
        assert!(cookie.has_token(&cookie.token()));
        assert!(!cookie.has_token("") && !cookie.has_token(&SignedIn { csrf: [9; 16], ..signed_in() }.token()));
    }
}
