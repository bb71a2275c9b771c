// SPDX-License-Identifier: MIT OR Apache-2.0
//! What the proxies of one run share: a folder, the authorization server, and the configurations of our module.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::server::{CLIENT, Server};
use super::{AUDIENCE, DOMAIN, PROVIDER};

/// Requests that may wait at once, and threads that ask the server, at the proxy with opaque tokens. One provider may
/// not keep all threads busy.
const WAITING: &str = "max_pending = 4000\nhttp_threads = 256\n";

/// What lets very many REFERs come from few senders.
const REFERS: &str = "max_refers = 40000\nrefer_limit = 65535\nsource_limit = 65535\nmax_pending = 4000\n";

/// A folder that goes away.
struct Folder(PathBuf);

impl Drop for Folder {
    fn drop(&mut self) {
        // KEEP_BENCH_FILES=1 keeps logs and configurations.
        if std::env::var_os("KEEP_BENCH_FILES").is_none() {
            let _ = fs::remove_dir_all(&self.0);
        }
    }
}

/// How a proxy gets its tokens.
#[derive(Clone, Copy)]
pub enum Way {
    /// Tokens whose keys are in a file.
    Signed,
    /// Codes, and proofs of possession.
    Codes,
    /// Opaque tokens.
    Opaque,
    /// REFERs, each followed for so many seconds.
    Refers(u32),
    /// Device passwords of the sign-in page.
    Devices,
    /// The sign-in page itself, at this port.
    Page(u16),
}

/// What proxies share: a folder that goes away, the authorization server, and its keys in a file.
pub struct Ground {
    /// The authorization server.
    pub server: Arc<Server>,
    folder: Folder,
    with_keys: String,
    store_key: PathBuf,
}

impl Ground {
    /// Starts the server.
    pub fn new() -> Result<Ground, String> {
        let folder = Folder(std::env::temp_dir().join(format!("sipoauth-bench-{}", std::process::id())));
        fs::create_dir_all(&folder.0).map_err(|e| format!("{}: {e}", folder.0.display()))?;
        let server = Server::start()?;
        let keys = write(&folder.0, "jwks.json", &server.keys().key_set().to_string())?;
        let store_key = write(&folder.0, "store-key", "a secret of the benches, at least 32 octets")?;
        Ok(Ground { server, folder, with_keys: format!("jwks_file = \"{}\"\n", keys.display()), store_key })
    }

    /// The folder.
    pub fn base(&self) -> &Path {
        &self.folder.0
    }

    /// The configuration of our module for a proxy with this name.
    pub fn config(&self, name: &str, way: Way) -> Result<PathBuf, String> {
        let server = &self.server;
        let client =
            format!("{}client_id = \"{CLIENT}\"\nclient_secret = \"a secret of the benches\"\n", self.with_keys);
        let store = || {
            let folder = self.base().join(format!("store-{name}"));
            format!("store = \"{}\"\nstore_key_file = \"{}\"\n", folder.display(), self.store_key.display())
        };
        let (globals, provider) = match way {
            Way::Signed => ("token_cache_size = 32768\n".to_owned(), self.with_keys.clone()),
            Way::Codes => {
                let store = format!("{}source_limit = 65535\nusers = 262144\n", store());
                (store, format!("{client}token_endpoint = \"{}\"\n", server.url("/token")))
            }
            // Phones that know passwords only get no other challenge, as in sign-in-page.toml.
            Way::Devices => (store(), format!("{client}[[offer]]\noffer = \"digest\"\n")),
            Way::Page(port) => {
                let page = format!("http://127.0.0.1:{port}");
                let table = format!("[sign_in_page]\nurl = \"{page}\"\nlisten = \"127.0.0.1:{port}\"\n");
                let (token, authorize) = (server.url("/token"), server.url("/authorize"));
                let endpoints = format!("token_endpoint = \"{token}\"\nauthorization_endpoint = \"{authorize}\"\n");
                (store() + &table, format!("{client}{endpoints}"))
            }
            Way::Refers(lifetime) => (format!("{REFERS}refer_lifetime = {lifetime}\n"), self.with_keys.clone()),
            Way::Opaque => (
                format!("{WAITING}source_limit = 65535\nusers = 131072\n"),
                format!(
                    "{client}tokens = \"opaque\"\nintrospection_cache = 3600\nintrospection_endpoint = \"{}\"\n",
                    server.url("/introspect")
                ),
            ),
        };
        config_file(self.base(), name, server, &globals, &provider)
    }
}

/// Writes a file.
pub fn write(folder: &Path, name: &str, content: &str) -> Result<PathBuf, String> {
    let path = folder.join(name);
    fs::write(&path, content).map_err(|e| format!("{}: {e}", path.display()))?;
    Ok(path)
}

fn config_file(folder: &Path, name: &str, server: &Server, globals: &str, provider: &str) -> Result<PathBuf, String> {
    let text = format!(
        "{globals}[[provider]]\nname = \"{PROVIDER}\"\nissuer = \"{}\"\naudience = [\"{AUDIENCE}\"]\naor = [\"{{sip}}\"]\n\
         domains = [\"{DOMAIN}\"]\n{provider}",
        server.keys().issuer()
    );
    write(folder, &format!("{name}.toml"), &text)
}
