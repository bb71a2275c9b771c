// SPDX-License-Identifier: MIT OR Apache-2.0
//! All proxies of the benches, each on a port of its own, and the authorization server that they use.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;

use super::keys::Algorithm;
use super::proxy::{Proxy, has_module};
use super::server::{CLIENT, Server};
use super::{AUDIENCE, DOMAIN, USERS, digest};

/// Requests that may wait at once, and threads that ask the server, at the proxy with opaque tokens. One provider may
/// not keep all threads busy.
const WAITING: &str = "max_pending = 4000\nhttp_threads = 256\n";

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

/// Running proxies. Those that this machine cannot have are None.
pub struct Site {
    /// Saves whatever comes: what everything is compared with.
    pub plain: Proxy,
    /// Bearer tokens that were verified before.
    pub cached: Proxy,
    /// RS256 tokens, each new.
    pub rs256: Proxy,
    /// ES256 tokens, each new.
    pub es256: Proxy,
    /// As `cached`, with another build of the module.
    pub cached_before: Option<Proxy>,
    /// As `rs256`, with another build of the module.
    pub rs256_before: Option<Proxy>,
    /// Digest with the password in the script.
    pub digest: Proxy,
    /// Digest with passwords in SQLite.
    pub auth_db: Option<Proxy>,
    /// Proofs of possession.
    pub pop: Proxy,
    /// Opaque tokens, and requests without.
    pub opaque: Proxy,
    /// The same by Kamailio's http_client.
    pub http_client: Option<Proxy>,
    /// RS256 by Kamailio's jwt.
    pub jwt_rs256: Option<Proxy>,
    /// ES256 by Kamailio's jwt.
    pub jwt_es256: Option<Proxy>,
    /// The authorization server.
    pub server: Arc<Server>,
    _folder: Folder,
}

impl Site {
    /// Starts all of them, and waits until they answer. `before` is a tree with another build of the module.
    pub fn start(before: Option<&Path>) -> Result<Site, String> {
        let folder = Folder(std::env::temp_dir().join(format!("sipoauth-bench-{}", std::process::id())));
        let base = folder.0.clone();
        fs::create_dir_all(&base).map_err(|e| format!("{}: {e}", base.display()))?;
        let server = Server::start()?;
        let built = |build: Option<&Path>, name: &'static str, globals: &str, provider: &str| {
            let file = config_file(&base, name, &server, globals, provider)?;
            let mut defines = vec!["TOKENS".to_owned(), format!("CONFIG_FILE=\"{}\"", file.display())];
            if name == "opaque" {
                defines.push("BYSTANDERS".into());
            }
            match build {
                Some(build) => Proxy::launch_of(build, name, &base, &defines),
                None => Proxy::launch(name, &base, &defines),
            }
        };
        let ours = |name, globals: &str, provider: &str| built(None, name, globals, provider);
        let keys = write(&base, "jwks.json", &server.keys().key_set().to_string())?;
        let with_keys = format!("jwks_file = \"{}\"\n", keys.display());
        let cache = "token_cache_size = 32768\n";
        let store_key = write(&base, "store-key", "a secret of the benches, at least 32 octets")?;
        let store = format!(
            "store = \"{}\"\nstore_key_file = \"{}\"\nsource_limit = 65535\nusers = 262144\n",
            base.join("store").display(),
            store_key.display()
        );
        let client = format!("{with_keys}client_id = \"{CLIENT}\"\nclient_secret = \"a secret of the benches\"\n");
        let codes = format!("{client}token_endpoint = \"{}\"\n", server.url("/token"));
        let opaque = format!(
            "{client}tokens = \"opaque\"\nintrospection_cache = 3600\nintrospection_endpoint = \"{}\"\n",
            server.url("/introspect")
        );
        let limits = format!("{WAITING}source_limit = 65535\nusers = 131072\n");
        let jwt = |name: &'static str, algorithm: Algorithm| -> Result<Option<Proxy>, String> {
            if !has_module("jwt.so") {
                return Ok(None);
            }
            let key = write(&base, &format!("{name}.pem"), &server.keys().public_pem(algorithm)?)?;
            let claims = format!("iss='{}';aud='{AUDIENCE}'", server.keys().issuer());
            let defines = [
                format!("JWT=\"{}\"", algorithm.name()),
                format!("KEY_FILE=\"{}\"", key.display()),
                format!("CLAIMS=\"{claims}\""),
            ];
            Proxy::launch(name, &base, &defines).map(Some)
        };
        let mut site = Site {
            plain: Proxy::launch("plain", &base, &[])?,
            cached: ours("cached", cache, &with_keys)?,
            rs256: ours("rs256", cache, &with_keys)?,
            es256: ours("es256", cache, &with_keys)?,
            cached_before: before.map(|_| built(before, "cached_before", cache, &with_keys)).transpose()?,
            rs256_before: before.map(|_| built(before, "rs256_before", cache, &with_keys)).transpose()?,
            digest: Proxy::launch("digest", &base, &["DIGEST".into()])?,
            auth_db: auth_db(&base)?,
            pop: ours("pop", &store, &codes)?,
            opaque: ours("opaque", &limits, &opaque)?,
            http_client: match has_module("http_client.so") {
                true => {
                    let url = format!("HTTP_CLIENT=\"{}\"", server.url("/introspect"));
                    Some(Proxy::launch("http_client", &base, &[url, "BYSTANDERS".into()])?)
                }
                false => None,
            },
            jwt_rs256: jwt("jwt_rs256", Algorithm::Rs256)?,
            jwt_es256: jwt("jwt_es256", Algorithm::Es256)?,
            server: Arc::clone(&server),
            _folder: folder,
        };
        site.all().try_for_each(Proxy::wait_until_ready)?;
        Ok(site)
    }

    /// Every proxy that runs.
    pub fn all(&mut self) -> impl Iterator<Item = &mut Proxy> {
        let always = [
            &mut self.plain,
            &mut self.cached,
            &mut self.rs256,
            &mut self.es256,
            &mut self.digest,
            &mut self.pop,
            &mut self.opaque,
        ];
        let where_possible = [
            &mut self.auth_db,
            &mut self.http_client,
            &mut self.jwt_rs256,
            &mut self.jwt_es256,
            &mut self.cached_before,
            &mut self.rs256_before,
        ];
        always.into_iter().chain(where_possible.into_iter().flatten())
    }
}

fn write(folder: &Path, name: &str, content: &str) -> Result<PathBuf, String> {
    let path = folder.join(name);
    fs::write(&path, content).map_err(|e| format!("{}: {e}", path.display()))?;
    Ok(path)
}

fn config_file(folder: &Path, name: &str, server: &Server, globals: &str, provider: &str) -> Result<PathBuf, String> {
    let text = format!(
        "{globals}[[provider]]\nname = \"bench\"\nissuer = \"{}\"\naudience = [\"{AUDIENCE}\"]\naor = [\"{{sip}}\"]\n\
         domains = [\"{DOMAIN}\"]\n{provider}",
        server.keys().issuer()
    );
    write(folder, &format!("{name}.toml"), &text)
}

/// The proxy with passwords in SQLite; None where Kamailio's modules or the program that makes the database are missing.
fn auth_db(folder: &Path) -> Result<Option<Proxy>, String> {
    if !has_module("db_sqlite.so") {
        return Ok(None);
    }
    let file = folder.join("subscribers.sqlite");
    let mut rows = "CREATE TABLE version (id INTEGER PRIMARY KEY, table_name TEXT, table_version INTEGER);\n\
        INSERT INTO version (table_name, table_version) VALUES ('subscriber', 7);\n\
        CREATE TABLE subscriber (id INTEGER PRIMARY KEY, username TEXT NOT NULL, domain TEXT NOT NULL, password TEXT, \
        ha1 TEXT, ha1b TEXT, UNIQUE (username, domain));\nBEGIN;\n"
        .to_owned();
    for user in 0..USERS {
        rows += &format!(
            "INSERT INTO subscriber (username, domain, password) VALUES ('u{user}', '{DOMAIN}', '{}');\n",
            digest::PASSWORD
        );
    }
    rows += "COMMIT;\n";
    let Ok(mut sqlite) = Command::new("sqlite3").arg(&file).stdin(Stdio::piped()).spawn() else { return Ok(None) };
    let fail = |e: std::io::Error| format!("sqlite3: {e}");
    sqlite.stdin.take().expect("piped").write_all(rows.as_bytes()).map_err(fail)?;
    if !sqlite.wait().map_err(fail)?.success() {
        return Err("sqlite3 does not make the table of subscribers".into());
    }
    let defines = ["AUTH_DB".to_owned(), format!("DATABASE=\"sqlite:///{}\"", file.display())];
    Proxy::launch("auth_db", folder, &defines).map(Some)
}
