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
    _ground: Ground,
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

    /// What a proxy with this name must know, as `-A` takes it.
    pub fn defines(&self, name: &str, way: Way) -> Result<Vec<String>, String> {
        let server = &self.server;
        let client =
            format!("{}client_id = \"{CLIENT}\"\nclient_secret = \"a secret of the benches\"\n", self.with_keys);
        let (globals, provider) = match way {
            Way::Signed => ("token_cache_size = 32768\n".to_owned(), self.with_keys.clone()),
            Way::Codes => {
                let store = format!(
                    "store = \"{}\"\nstore_key_file = \"{}\"\nsource_limit = 65535\nusers = 262144\n",
                    self.base().join(format!("store-{name}")).display(),
                    self.store_key.display()
                );
                (store, format!("{client}token_endpoint = \"{}\"\n", server.url("/token")))
            }
            Way::Opaque => (
                format!("{WAITING}source_limit = 65535\nusers = 131072\n"),
                format!(
                    "{client}tokens = \"opaque\"\nintrospection_cache = 3600\nintrospection_endpoint = \"{}\"\n",
                    server.url("/introspect")
                ),
            ),
        };
        let file = config_file(self.base(), name, server, &globals, &provider)?;
        let mut defines = vec!["TOKENS".to_owned(), format!("CONFIG_FILE=\"{}\"", file.display())];
        if matches!(way, Way::Opaque) {
            defines.push("BYSTANDERS".into());
        }
        Ok(defines)
    }
}

impl Site {
    /// Starts all of them, and waits until they answer. `before` is a tree with another build of the module.
    pub fn start(before: Option<&Path>) -> Result<Site, String> {
        let ground = Ground::new()?;
        let (base, server) = (ground.base(), &ground.server);
        let ours = |name, way| Proxy::launch(name, base, &ground.defines(name, way)?);
        let earlier = |name, way| {
            before.map(|build| Proxy::launch_of(build, name, base, &ground.defines(name, way)?)).transpose()
        };
        let jwt = |name: &'static str, algorithm: Algorithm| -> Result<Option<Proxy>, String> {
            if !has_module("jwt.so") {
                return Ok(None);
            }
            let key = write(base, &format!("{name}.pem"), &server.keys().public_pem(algorithm)?)?;
            let claims = format!("iss='{}';aud='{AUDIENCE}'", server.keys().issuer());
            let defines = [
                format!("JWT=\"{}\"", algorithm.name()),
                format!("KEY_FILE=\"{}\"", key.display()),
                format!("CLAIMS=\"{claims}\""),
            ];
            Proxy::launch(name, base, &defines).map(Some)
        };
        let mut site = Site {
            plain: Proxy::launch("plain", base, &[])?,
            cached: ours("cached", Way::Signed)?,
            rs256: ours("rs256", Way::Signed)?,
            es256: ours("es256", Way::Signed)?,
            cached_before: earlier("cached_before", Way::Signed)?,
            rs256_before: earlier("rs256_before", Way::Signed)?,
            digest: Proxy::launch("digest", base, &["DIGEST".into()])?,
            auth_db: subscribers(base, USERS)?.map(|database| auth_db(base, &database)).transpose()?,
            pop: ours("pop", Way::Codes)?,
            opaque: ours("opaque", Way::Opaque)?,
            http_client: match has_module("http_client.so") {
                true => {
                    let url = format!("HTTP_CLIENT=\"{}\"", server.url("/introspect"));
                    Some(Proxy::launch("http_client", base, &[url, "BYSTANDERS".into()])?)
                }
                false => None,
            },
            jwt_rs256: jwt("jwt_rs256", Algorithm::Rs256)?,
            jwt_es256: jwt("jwt_es256", Algorithm::Es256)?,
            server: Arc::clone(server),
            _ground: ground,
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

/// A proxy with passwords in this database.
pub fn auth_db(folder: &Path, database: &Path) -> Result<Proxy, String> {
    Proxy::launch("auth_db", folder, &["AUTH_DB".into(), format!("DATABASE=\"sqlite:///{}\"", database.display())])
}

/// A database of SQLite with the passwords of so many users; None where Kamailio's module or the program that makes it is
/// missing.
pub fn subscribers(folder: &Path, users: usize) -> Result<Option<PathBuf>, String> {
    if !has_module("db_sqlite.so") {
        return Ok(None);
    }
    let file = folder.join("subscribers.sqlite");
    let mut rows = "CREATE TABLE version (id INTEGER PRIMARY KEY, table_name TEXT, table_version INTEGER);\n\
        INSERT INTO version (table_name, table_version) VALUES ('subscriber', 7);\n\
        CREATE TABLE subscriber (id INTEGER PRIMARY KEY, username TEXT NOT NULL, domain TEXT NOT NULL, password TEXT, \
        ha1 TEXT, ha1b TEXT, UNIQUE (username, domain));\nBEGIN;\n"
        .to_owned();
    for user in 0..users {
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
    Ok(Some(file))
}
