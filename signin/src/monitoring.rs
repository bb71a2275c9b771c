// SPDX-License-Identifier: MIT OR Apache-2.0
//! Health and numbers, for those whom the configuration names.

use std::sync::Arc;

use axum::Extension;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};

use crate::site::Site;
use crate::source::Source;

/// Any record: only whether the store answers counts.
const PROBE: &str = "m:key-check";

/// Whether the store can be reached. Nothing works without it.
pub async fn health(State(site): State<Arc<Site>>, Extension(source): Extension<Source>) -> Response {
    if !source.is_among(&site.page.monitors) {
        return StatusCode::NOT_FOUND.into_response();
    }
    match site.with_store(|store, _, now| store.store().get(PROBE, now)).await {
        Ok(_) => "ok\n".into_response(),
        Err(error) => (StatusCode::SERVICE_UNAVAILABLE, format!("{error}\n")).into_response(),
    }
}

/// Numbers for Prometheus.
pub async fn metrics(State(site): State<Arc<Site>>, Extension(source): Extension<Source>) -> Response {
    if !source.is_among(&site.page.monitors) {
        return StatusCode::NOT_FOUND.into_response();
    }
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], site.metrics.to_text()).into_response()
}
