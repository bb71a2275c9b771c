// SPDX-License-Identifier: MIT OR Apache-2.0
//! Who asks: the language of a request, the browser's sign-in, and whether a change is this browser's own wish.

use std::sync::Arc;

use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use sipoauth::clock::now_millis;
use sipoauth::store::phones::PageSignIn;
use sipoauth_core::records::session::Session;

use crate::cookies::{self, LANGUAGE, SignedIn};
use crate::metrics::Counter;
use crate::pages::{Frame, MessagePage, answer};
use crate::site::Site;
use crate::texts::{Language, Texts};

/// Seconds after which a browser may try again.
const RETRY_AFTER: &str = "10";

/// The language of a request: the one that was chosen, else what the browser likes best.
pub fn frame(headers: &HeaderMap) -> Frame {
    let chosen = cookies::get(headers, LANGUAGE).and_then(Language::from_code);
    let accepted = headers.get(header::ACCEPT_LANGUAGE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    Frame::new(chosen.unwrap_or_else(|| Language::preferred(accepted)))
}

/// A page that says why something did not work.
pub fn message(headers: &HeaderMap, status: StatusCode, text: impl FnOnce(&Texts) -> String) -> Response {
    let frame = frame(headers);
    let (message, label) = (text(frame.texts), frame.texts.start);
    let page = MessagePage { frame, message: &message, target: "/", label };
    let page = answer(status, &page);
    match status {
        StatusCode::SERVICE_UNAVAILABLE => ([(header::RETRY_AFTER, RETRY_AFTER)], page).into_response(),
        StatusCode::TOO_MANY_REQUESTS => ([(header::RETRY_AFTER, "60")], page).into_response(),
        _ => page,
    }
}

/// The page for a store that cannot be used. It is no refusal.
pub fn store_is_away(headers: &HeaderMap) -> Response {
    message(headers, StatusCode::SERVICE_UNAVAILABLE, |texts| texts.error_store.into())
}

/// A user who is signed in.
pub struct User {
    /// The browser's cookie.
    pub cookie: SignedIn,
    /// The sign-in in the store.
    pub page: PageSignIn,
    /// What the store has of it.
    pub session: Session,
}

/// The user of a request, if the store still has the sign-in.
pub async fn user(site: &Arc<Site>, headers: &HeaderMap) -> Result<Option<User>, Response> {
    let Some(cookie) = site.cookies.get::<SignedIn>(headers, now_millis()) else { return Ok(None) };
    let page = PageSignIn { aor: cookie.aor.clone(), id: cookie.id };
    let (asked, browser) = (page.clone(), cookie.clone());
    let found =
        site.with_store(
            move |store, _, now| {
                if browser.is_logged_out(store, now)? { Ok(None) } else { store.page_session(&asked, now) }
            },
        );
    match found.await {
        Ok(found) => Ok(found.map(|session| User { cookie, page, session })),
        Err(_) => Err(store_is_away(headers)),
    }
}

/// The user who has sent a form of one of our pages. `token` is what the form has.
pub async fn author(site: &Arc<Site>, headers: &HeaderMap, token: &str) -> Result<User, Response> {
    let refused = || {
        site.metrics.count(Counter::NotOurs);
        message(headers, StatusCode::FORBIDDEN, |texts| texts.error_csrf.into())
    };
    // Browsers of today say where a form came from; the token decides for all.
    let from = headers.get("sec-fetch-site").and_then(|value| value.to_str().ok());
    if from.is_some_and(|from| from != "same-origin") {
        return Err(refused());
    }
    match site.cookies.get::<SignedIn>(headers, now_millis()) {
        Some(cookie) if cookie.has_token(token) => {}
        _ => return Err(refused()),
    }
    match user(site, headers).await? {
        Some(user) => Ok(user),
        None => Err(refused()),
    }
}
