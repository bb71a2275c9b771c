// SPDX-License-Identifier: MIT OR Apache-2.0
//! The proxies, which differ in nothing but whom they ask for the password.

use std::path::PathBuf;

use super::database::{Database, postgres, sqlite};
use super::phones::{PASSWORD, Phones};
use crate::kamailio::proxy::launch_below;
use crate::proxies::ground::{Ground, Way};
use crate::proxies::process::Proxy;

const SCRIPT: &str = "devices.cfg";

/// How a proxy knows passwords.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Device passwords, at a port for all phones: `sign-in-page.cfg`.
    AnyPhone,
    /// Device passwords only.
    Devices,
    /// The same without `oauth_device_accept()`, which nobody should do.
    AccountOnly,
    /// `auth_db` with SQLite.
    Sqlite,
    /// `auth_db` with PostgreSQL.
    Postgres,
    /// One password, in the script.
    Script,
}

impl Kind {
    /// All of them.
    pub const ALL: [Kind; 6] =
        [Kind::AnyPhone, Kind::Sqlite, Kind::Postgres, Kind::Devices, Kind::AccountOnly, Kind::Script];

    /// For people.
    pub fn name(self) -> &'static str {
        match self {
            Kind::AnyPhone => "device passwords, as in sign-in-page.cfg",
            Kind::Devices => "the same without oauth_check before it",
            Kind::AccountOnly => "the same without oauth_device_accept, too",
            Kind::Sqlite => "auth_db, SQLite",
            Kind::Postgres => "auth_db, PostgreSQL",
            Kind::Script => "one password, in the script",
        }
    }

    fn short(self) -> &'static str {
        match self {
            Kind::AnyPhone => "any_phone",
            Kind::Devices => "devices",
            Kind::AccountOnly => "account_only",
            Kind::Sqlite => "sqlite",
            Kind::Postgres => "postgres",
            Kind::Script => "script",
        }
    }
}

/// A proxy, and the database server that it asks.
pub struct Site {
    /// The proxy. It ends before the server does.
    pub proxy: Proxy,
    /// The database server.
    pub database: Option<Proxy>,
    /// Which one it is.
    pub kind: Kind,
}

impl Site {
    /// CPU time so far, microseconds: of the proxy, and of the database server.
    pub fn cpu(&self) -> Result<(f64, f64), String> {
        Ok((self.proxy.cpu()?, self.database.as_ref().map_or(Ok(0.0), Proxy::cpu)?))
    }
}

/// The phones of the store, those of tables, and what the store's configuration is.
pub struct People {
    /// With device passwords.
    pub devices: Phones,
    /// With passwords that Kamailio knows.
    pub table: Phones,
    /// The configuration of the module.
    pub config: PathBuf,
}

impl People {
    /// Makes so many of each.
    pub fn new(ground: &Ground, count: usize) -> Result<People, String> {
        let config = ground.config("devices", Way::Devices)?;
        Ok(People { devices: Phones::of_store(&config, count)?, table: Phones::of_table(count), config })
    }

    /// Those that a proxy serves.
    pub fn of(&self, kind: Kind) -> &Phones {
        match kind {
            Kind::AnyPhone | Kind::Devices | Kind::AccountOnly => &self.devices,
            Kind::Sqlite | Kind::Postgres | Kind::Script => &self.table,
        }
    }
}

/// Starts a proxy. None where the database is not to be had.
pub fn start(ground: &Ground, people: &People, kind: Kind) -> Result<Option<Site>, String> {
    let file = format!("CONFIG_FILE=\"{}\"", people.config.display());
    let mut database = None;
    let mut defines: Vec<String> = match kind {
        Kind::AnyPhone => vec!["DEVICES".into(), "ACCEPT".into(), "ANY_PHONE".into(), file],
        Kind::Devices => vec!["DEVICES".into(), "ACCEPT".into(), file],
        Kind::AccountOnly => vec!["DEVICES".into(), file],
        Kind::Script => vec![format!("PASSWORD=\"{PASSWORD}\"")],
        Kind::Sqlite => {
            database = sqlite(ground.base(), &people.table)?;
            Vec::new()
        }
        Kind::Postgres => {
            database = postgres(ground.base(), &people.table)?;
            Vec::new()
        }
    };
    if matches!(kind, Kind::Sqlite | Kind::Postgres) {
        let Some(Database { url, module, .. }) = &database else { return Ok(None) };
        defines.extend([format!("AUTH_DB=\"{module}\""), format!("DATABASE=\"{url}\"")]);
    }
    let (environment, server) = database.map_or((Vec::new(), None), |found| (found.environment, found.server));
    let below: Vec<&str> = match environment.is_empty() {
        true => Vec::new(),
        false => std::iter::once("env").chain(environment.iter().map(String::as_str)).collect(),
    };
    let mut site =
        Site { proxy: launch_below(&below, SCRIPT, kind.short(), ground.base(), &defines)?, database: server, kind };
    site.proxy.wait_until_ready()?;
    Ok(Some(site))
}
