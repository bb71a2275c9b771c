// SPDX-License-Identifier: MIT OR Apache-2.0
//! Which address does what, and what holds for all answers.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{DefaultBodyLimit, Path, Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, get, post};
use sipoauth::clock::now_millis;

use crate::cookies::{LANGUAGE, set};
use crate::limits::Kind;
use crate::metrics::Counter;
use crate::pages::see_other;
use crate::site::Site;
use crate::source::Source;
use crate::texts::Language;
use crate::visitor::message;
use crate::{logout, monitoring, phones, provisioning, sign_in};

/// Largest body of a request, in octets. A logout token is the largest thing that comes.
const MAX_BODY: usize = 20 * 1024;
/// Longest time for a request, its body included, beside what servers may take.
const MAX_TIME: u64 = 15;
/// Most questions to a server for one request: a turn, metadata, keys, the code, and the user.
const QUESTIONS: u64 = 5;
/// Where servers send logout tokens.
const BACK_CHANNEL: &str = "/back-channel-logout";
/// A year, in seconds.
const KEEPS_LANGUAGE: i64 = 31_536_000;

/// Scripts and styles come from files only, forms go to the page itself, and nobody frames it.
const POLICY: &str = "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self' data:; form-action 'self'; \
                      frame-ancestors 'none'; base-uri 'none'";

/// Header fields of every answer.
const FIELDS: [(HeaderName, &str); 6] = [
    (header::CONTENT_SECURITY_POLICY, POLICY),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::X_FRAME_OPTIONS, "DENY"),
    (header::REFERRER_POLICY, "no-referrer"),
    (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
];

/// The peer of the connection on which a request came.
#[derive(Clone, Copy, Debug)]
pub struct Peer(pub SocketAddr);

/// The whole page.
pub fn router(site: Arc<Site>) -> Router {
    Router::new()
        .route("/", get(phones::start))
        .route("/sign-in/{provider}", only_get(get(sign_in::begin)))
        .route("/signed-in/{provider}", only_get(get(sign_in::finish)))
        .route("/phones/device", post(phones::add_device))
        .route("/phones/code", post(phones::add_code))
        .route("/phones/rename", post(phones::rename))
        .route("/phones/sign-out", post(phones::sign_out))
        .route("/phones/sign-out-all", post(phones::sign_out_all))
        .route("/sign-out-everywhere", post(phones::sign_out_everywhere))
        .route("/logout", post(phones::log_out))
        .route("/provision/{name}", only_get(get(provisioning::serve)))
        .route(BACK_CHANNEL, post(logout::back_channel))
        .route("/language/{code}", get(language))
        .route("/page.css", get(async || file("text/css; charset=utf-8", include_str!("../static/page.css"))))
        .route("/page.js", get(async || file("text/javascript; charset=utf-8", include_str!("../static/page.js"))))
        .route("/health", get(monitoring::health))
        .route("/metrics", get(monitoring::metrics))
        .fallback(async |headers: HeaderMap| {
            message(&headers, StatusCode::NOT_FOUND, |texts| texts.error_not_found.into())
        })
        .layer(DefaultBodyLimit::max(MAX_BODY))
        .layer(from_fn_with_state(Arc::clone(&site), around))
        .with_state(site)
}

/// A HEAD must not use up what a GET gives once.
fn only_get(route: MethodRouter<Arc<Site>>) -> MethodRouter<Arc<Site>> {
    route.head(async || StatusCode::METHOD_NOT_ALLOWED)
}

fn file(kind: &'static str, text: &'static str) -> Response {
    ([(header::CONTENT_TYPE, kind), (header::CACHE_CONTROL, "public, max-age=600")], text).into_response()
}

/// Keeps the language that a link chooses.
async fn language(Path(code): Path<String>) -> Response {
    match Language::from_code(&code) {
        Some(language) => {
            let cookie = set(LANGUAGE, language.code(), KEEPS_LANGUAGE);
            ([(header::SET_COOKIE, cookie)], see_other("/")).into_response()
        }
        None => see_other("/"),
    }
}

/// What happens before and after each request: who sent it, limits, header fields.
async fn around(State(site): State<Arc<Site>>, mut request: Request, next: Next) -> Response {
    let headers = request.headers().clone();
    let mut response = match request.extensions().get::<Peer>().copied() {
        Some(Peer(peer)) => {
            let source = Source::new(peer, &headers, &site.page.reverse_proxies);
            request.extensions_mut().insert(source);
            limited(&site, &source, &headers, request, next).await
        }
        None => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    };
    if [StatusCode::PAYLOAD_TOO_LARGE, StatusCode::URI_TOO_LONG].contains(&response.status()) {
        site.metrics.count(Counter::TooLarge);
    }
    let fields = response.headers_mut();
    for (name, value) in FIELDS {
        fields.insert(name, HeaderValue::from_static(value));
    }
    fields.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    if site.page.is_https() {
        fields.insert(header::STRICT_TRANSPORT_SECURITY, HeaderValue::from_static("max-age=31536000"));
    }
    response
}

async fn limited(site: &Arc<Site>, source: &Source, headers: &HeaderMap, request: Request, next: Next) -> Response {
    if !kind(&request).is_none_or(|kind| site.limits.charge(source, kind, now_millis())) {
        site.metrics.count(Counter::OverLimit);
        return message(headers, StatusCode::TOO_MANY_REQUESTS, |texts| texts.error_limit.into());
    }
    let longest = Duration::from_secs(MAX_TIME + QUESTIONS * u64::from(site.policy.settings.http_timeout));
    match tokio::time::timeout(longest, next.run(request)).await {
        Ok(response) => response,
        Err(_) => {
            site.metrics.count(Counter::TooSlow);
            message(headers, StatusCode::REQUEST_TIMEOUT, |texts| texts.error_slow.into())
        }
    }
}

/// As what a request counts in advance; None: its handler counts it.
fn kind(request: &Request) -> Option<Kind> {
    let path = request.uri().path();
    if path == BACK_CHANNEL {
        return None;
    }
    let acts = ["/sign-in/", "/signed-in/", "/provision/"].iter().any(|prefix| path.starts_with(prefix));
    Some(if acts || request.method() == Method::POST { Kind::Deed } else { Kind::Look })
}
