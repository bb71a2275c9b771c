// SPDX-License-Identifier: MIT OR Apache-2.0
//! All proxies of the benches, each on a port of its own, and the authorization server that they use.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;

use super::digest;
use super::proxy::{has_module, launch, launch_of};
use crate::proxies::ground::{Ground, Way, write};
use crate::proxies::keys::Algorithm;
use crate::proxies::process::Proxy;
use crate::proxies::server::Server;
use crate::proxies::{AUDIENCE, DOMAIN, USERS};

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

/// What a proxy with this name must know, as `-A` takes it.
pub fn defines(ground: &Ground, name: &str, way: Way) -> Result<Vec<String>, String> {
    let file = ground.config(name, way)?;
    let mut defines = vec!["TOKENS".to_owned(), format!("CONFIG_FILE=\"{}\"", file.display())];
    if matches!(way, Way::Opaque) {
        defines.push("BYSTANDERS".into());
    }
    Ok(defines)
}

impl Site {
    /// Starts all of them, and waits until they answer. `before` is a tree with another build of the module.
    pub fn start(before: Option<&Path>) -> Result<Site, String> {
        let ground = Ground::new()?;
        let (base, server) = (ground.base(), &ground.server);
        let ours = |name, way| launch(name, base, &defines(&ground, name, way)?);
        let earlier =
            |name, way| before.map(|build| launch_of(build, name, base, &defines(&ground, name, way)?)).transpose();
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
            launch(name, base, &defines).map(Some)
        };
        let mut site = Site {
            plain: launch("plain", base, &[])?,
            cached: ours("cached", Way::Signed)?,
            rs256: ours("rs256", Way::Signed)?,
            es256: ours("es256", Way::Signed)?,
            cached_before: earlier("cached_before", Way::Signed)?,
            rs256_before: earlier("rs256_before", Way::Signed)?,
            digest: launch("digest", base, &["DIGEST".into()])?,
            auth_db: subscribers(base, USERS)?.map(|database| auth_db(base, &database)).transpose()?,
            pop: ours("pop", Way::Codes)?,
            opaque: ours("opaque", Way::Opaque)?,
            http_client: match has_module("http_client.so") {
                true => {
                    let url = format!("HTTP_CLIENT=\"{}\"", server.url("/introspect"));
                    Some(launch("http_client", base, &[url, "BYSTANDERS".into()])?)
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

/// A proxy with passwords in this database.
pub fn auth_db(folder: &Path, database: &Path) -> Result<Proxy, String> {
    launch("auth_db", folder, &["AUTH_DB".into(), format!("DATABASE=\"sqlite:///{}\"", database.display())])
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
