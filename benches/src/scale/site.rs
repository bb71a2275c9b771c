// SPDX-License-Identifier: MIT OR Apache-2.0
//! A proxy's configuration, and a folder that goes away with the bench.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use sipoauth::process::context::Context;
use sipoauth::store::sessions::SessionStore;
use sipoauth::worker::Worker;
use sipoauth_core::config::source::Source;
use sipoauth_core::ports::{Level, Log};

/// The authorization server; nobody connects there.
pub const ISSUER: &str = "https://login.example.com/realms/corp";
/// The SIP domain.
pub const DOMAIN: &str = "sip.example.com";
/// `aud`
pub const AUDIENCE: &str = "sip";
/// The proxy's own client.
pub const CLIENT: &str = "sip-proxy";
/// With it the bench signs tokens.
pub const TOKEN_SECRET: &str = "a-secret-of-the-bench-0123456789abcdef";
const STORE_KEY: &str = "the-store-key-of-the-bench-0123456789";
/// MiB; the file has holes where nothing is stored.
const STORE_SIZE: &str = "16384";
/// Proofs that are remembered where the proxy's time is that of the clock: in seconds come as many as else in minutes.
pub const MANY_PROOFS: usize = 4_194_304;
/// The same, as it is by default.
pub const USUAL_PROOFS: usize = 262_144;

/// A folder below `target/bench`, removed at the end.
pub struct Folder(PathBuf);

impl Folder {
    /// Makes it.
    pub fn new(name: &str) -> Result<Folder, String> {
        let path = crate::part::folder().join(format!("{name}-{}", std::process::id()));
        fs::create_dir_all(&path).map_err(|e| format!("{}: {e}", path.display()))?;
        Ok(Folder(path))
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // What cannot be removed is below target/.
        let _ = fs::remove_dir_all(&self.0);
    }
}

impl Folder {
    /// A store in it, as a setting.
    pub fn store(&self) -> String {
        self.0.join("store").display().to_string()
    }
}

struct Silent;

impl Log for Silent {
    fn log(&self, _: Level, _: &str) {}
}

/// A proxy with this store and room for so many tokens, and so many proofs.
pub fn context(store: &str, tokens: usize, proofs: usize) -> Result<Arc<Context>, String> {
    let mut source = Source::default();
    // Sixteen proofs are remembered for each user.
    let (tokens, users) = ((tokens + tokens / 2).to_string(), proofs.div_ceil(16).clamp(32, 1_048_576).to_string());
    let settings = [
        ("store", store),
        ("store_key", STORE_KEY),
        ("store_size", STORE_SIZE),
        ("token_cache_size", tokens.as_str()),
        ("users", users.as_str()),
    ];
    for (key, value) in settings {
        source.set(key, value).map_err(|e| e.0)?;
    }
    let provider = format!(
        "name=corp;issuer={ISSUER};audience={AUDIENCE};aor={{sip}};domains={DOMAIN};secret={TOKEN_SECRET};algorithms=HS256;client_id={CLIENT};client_secret=hush"
    );
    source.add_provider(&provider).map_err(|e| e.0)?;
    Context::new(source, Arc::new(Silent)).map(Arc::new).map_err(|e| e.to_string())
}

/// A worker of a proxy.
pub fn worker(context: &Arc<Context>) -> Result<Worker, String> {
    Worker::new(Arc::clone(context)).map_err(|e| e.0)
}

/// Its sessions.
pub fn sessions(context: &Context) -> Result<Arc<SessionStore>, String> {
    let policy = context.policy().map_err(|e| e.0)?.policy;
    let access = context.sessions().ok_or("sessions are configured")?;
    access.open(&policy).map_err(|e| e.to_string())
}

/// Octets of the pages that a store uses; its file has those, too, that are free.
pub fn octets_in_use(store: &str) -> Result<f64, String> {
    let context = context(store, 0, USUAL_PROOFS)?;
    let usage = sessions(&context)?.store().usage().map_err(|e| e.to_string())?;
    Ok(usage.bytes as f64)
}

/// Unix seconds.
pub fn now() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.map_or(0, |time| i64::try_from(time.as_secs()).unwrap_or(i64::MAX))
}
