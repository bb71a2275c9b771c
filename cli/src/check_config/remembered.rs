// SPDX-License-Identifier: MIT OR Apache-2.0
//! Fetches each document only once, even if several checks use it.

use std::collections::HashMap;
use std::sync::Mutex;

use sipoauth::io_process::http::HttpClient;
use sipoauth_core::ports::{Document, Fetch, FetchError};

use crate::output::Progress;

type Fetched = Result<Document, FetchError>;

/// Fetches documents and remembers them.
pub struct RememberedDocuments<'h> {
    http: &'h HttpClient,
    known: Mutex<HashMap<String, Fetched>>,
}

impl RememberedDocuments<'_> {
    /// Begins without documents.
    pub fn new(http: &HttpClient) -> RememberedDocuments<'_> {
        RememberedDocuments { http, known: Mutex::default() }
    }
}

impl Fetch for RememberedDocuments<'_> {
    fn get(&self, url: &str, accept: &str) -> Fetched {
        let mut known = self.known.lock().expect("no fetch panics");
        if let Some(fetched) = known.get(url) {
            return fetched.clone();
        }
        let progress = Progress::new(url);
        let fetched = self.http.get(url, accept);
        drop(progress);
        known.insert(url.to_owned(), fetched.clone());
        fetched
    }
}
