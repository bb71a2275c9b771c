// SPDX-License-Identifier: MIT OR Apache-2.0
//! The endpoint of OpenID Connect Back-Channel Logout 1.0: the server says that a user has logged out.

use std::sync::Arc;

use axum::Extension;
use axum::Json;
use axum::extract::rejection::FormRejection;
use axum::extract::{Form, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde_json::json;
use sipoauth::clock::now_millis;
use sipoauth_core::oauth::logout_token::LogoutError;
use sipoauth_core::ports::Level;

use crate::browser_session::BrowserSession;
use crate::limits::Kind;
use crate::metrics::Counter;
use crate::site::Site;
use crate::source::Source;

/// The form of the request (section 2.5).
#[derive(Deserialize)]
pub struct Logout {
    logout_token: String,
}

/// Ends the sessions of a user whose server says so.
pub async fn back_channel(
    State(site): State<Arc<Site>>,
    Extension(source): Extension<Source>,
    form: Result<Form<Logout>, FormRejection>,
) -> Response {
    if !site.limits.has_room(&source, Kind::Forgery, now_millis()) {
        site.metrics.count(Counter::OverLimit);
        return failed(StatusCode::TOO_MANY_REQUESTS, "temporarily_unavailable", "too many refused tokens");
    }
    let token = match form {
        Ok(Form(form)) => form.logout_token,
        Err(rejection) => {
            site.metrics.count(Counter::LogoutRefused);
            let status = rejection.status();
            // Whatever is wrong with the form, section 2.8 knows one status; only a form that is too large says so.
            let status = if status == StatusCode::PAYLOAD_TOO_LARGE { status } else { StatusCode::BAD_REQUEST };
            return failed(status, "invalid_request", "there is no logout_token");
        }
    };
    let judged = site.on_thread(move |site| site.servers.logout_token(&token)).await;
    let token = match judged.unwrap_or_else(|| Err(LogoutError::Unavailable("internal error".into()))) {
        Ok(token) => token,
        Err(LogoutError::Refused(why)) => {
            site.limits.charge(&source, Kind::Forgery, now_millis());
            site.metrics.count(Counter::LogoutRefused);
            site.log(Level::Info, &format!("a logout token from {source} is refused: {why}"));
            return failed(StatusCode::BAD_REQUEST, "invalid_request", &why);
        }
        Err(LogoutError::Unavailable(why)) => {
            site.metrics.count(Counter::LogoutUnavailable);
            site.log(Level::Error, &format!("a logout token from {source} cannot be judged: {why}"));
            return failed(StatusCode::BAD_REQUEST, "temporarily_unavailable", &why);
        }
    };
    let until = now_millis() + i64::from(site.page.settings.session_hours) * 3_600_000;
    let ended = site.with_store(move |store, _, now| {
        // First, because the token counts only once. What has ended stays so, whoever repeats it.
        if let Some(sid) = token.sid {
            BrowserSession { issuer: token.issuer, sid }.end(store, until, now)?;
        }
        store.log_out_once(&token, now)
    });
    let ended = ended.await;
    match ended {
        Ok(Some(ends)) => {
            site.metrics.count(Counter::LogoutAccepted);
            let number = ends.len();
            site.log(Level::Info, &format!("the server has logged a user out: {number} sessions have ended"));
            StatusCode::OK.into_response()
        }
        Ok(None) => {
            site.metrics.count(Counter::LogoutReplayed);
            site.log(Level::Info, &format!("a logout token from {source} was used before"));
            failed(StatusCode::BAD_REQUEST, "invalid_request", "the logout token was used before")
        }
        Err(_) => {
            site.metrics.count(Counter::LogoutUnavailable);
            failed(StatusCode::BAD_REQUEST, "temporarily_unavailable", "the store is away")
        }
    }
}

/// An error as section 2.8 has it.
fn failed(status: StatusCode, error: &str, why: &str) -> Response {
    (status, Json(json!({ "error": error, "error_description": why }))).into_response()
}
