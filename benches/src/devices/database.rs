// SPDX-License-Identifier: MIT OR Apache-2.0
//! Tables of subscribers for `auth_db`: in a file (SQLite), and at a database server (PostgreSQL) that is this bench's own.

use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use super::phones::Phones;
use crate::kamailio::proxy::has_module;
use crate::proxies::DOMAIN;
use crate::proxies::process::Proxy;

/// Whoever starts PostgreSQL as root must name somebody else. Debian's packages make this user.
const USER: &str = "postgres";
const START: Duration = Duration::from_secs(30);

/// A database that `auth_db` reads.
pub struct Database {
    /// As `db_url` wants it.
    pub url: String,
    /// The module for it.
    pub module: &'static str,
    /// What its clients must find in their environment.
    pub environment: Vec<String>,
    /// The server, where there is one.
    pub server: Option<Proxy>,
}

/// The table as Kamailio's own scripts make it; `serial` is how its key is written.
fn script(phones: &Phones, serial: &str) -> String {
    let mut rows = format!(
        "CREATE TABLE version (id {serial} PRIMARY KEY NOT NULL, table_name VARCHAR(32) NOT NULL, \
         table_version INTEGER DEFAULT 0 NOT NULL);\n\
         INSERT INTO version (table_name, table_version) VALUES ('subscriber', 7);\n\
         CREATE TABLE subscriber (id {serial} PRIMARY KEY NOT NULL, username VARCHAR(64) DEFAULT '' NOT NULL, \
         domain VARCHAR(64) DEFAULT '' NOT NULL, password VARCHAR(64) DEFAULT '' NOT NULL, \
         ha1 VARCHAR(128) DEFAULT '' NOT NULL, ha1b VARCHAR(128) DEFAULT '' NOT NULL, \
         CONSTRAINT subscriber_account_idx UNIQUE (username, domain));\n\
         CREATE INDEX subscriber_username_idx ON subscriber (username);\nBEGIN;\n"
    );
    for (username, ha1) in phones.accounts() {
        let _ = writeln!(
            rows,
            "INSERT INTO subscriber (username, domain, ha1) VALUES ('{username}', '{DOMAIN}', '{ha1}');"
        );
    }
    rows + "COMMIT;\nANALYZE;\n"
}

/// Runs a command that reads this text. None when it is not installed.
fn feed(command: &mut Command, text: &str) -> Result<Option<()>, String> {
    let name = command.get_program().to_string_lossy().into_owned();
    let fail = |e: &dyn std::fmt::Display| format!("{name}: {e}");
    let Ok(mut child) = command.stdin(Stdio::piped()).stdout(Stdio::null()).spawn() else { return Ok(None) };
    child.stdin.take().expect("piped").write_all(text.as_bytes()).map_err(|e| fail(&e))?;
    match child.wait().map_err(|e| fail(&e))?.success() {
        true => Ok(Some(())),
        false => Err(fail(&"it does not make the table of subscribers")),
    }
}

/// A file of SQLite; None where Kamailio's module or the program that makes it is missing.
pub fn sqlite(folder: &Path, phones: &Phones) -> Result<Option<Database>, String> {
    if !has_module("db_sqlite.so") {
        return Ok(None);
    }
    let file = folder.join("devices.sqlite");
    // In SQLite only this very type makes the key the number of the row.
    let made = feed(Command::new("sqlite3").arg("-bail").arg(&file), &script(phones, "INTEGER"))?;
    Ok(made.map(|()| Database {
        url: format!("sqlite:///{}", file.display()),
        module: "db_sqlite.so",
        environment: Vec::new(),
        server: None,
    }))
}

/// A server of PostgreSQL with files of its own, which listens at a socket in the file system only. None where Kamailio's
/// module or the server is missing.
pub fn postgres(folder: &Path, phones: &Phones) -> Result<Option<Database>, String> {
    let Some(programs) = postgres_programs().filter(|_| has_module("db_postgres.so")) else { return Ok(None) };
    let home = folder.join("postgres");
    fs::create_dir_all(&home).map_err(|e| format!("{}: {e}", home.display()))?;
    let as_root = nix::unistd::geteuid().is_root();
    if as_root && !succeeds(Command::new("chown").arg(USER).arg(&home)) {
        return Ok(None);
    }
    // It ends when this process does, however that ends.
    let command = |program: &str| {
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "INT"]);
        if as_root {
            command.args(["--reuid", USER, "--regid", USER, "--init-groups"]);
        }
        command.arg("--").arg(programs.join(program)).current_dir(&home);
        command
    };
    let data = home.join("data");
    if !succeeds(command("initdb").arg("-D").arg(&data).args(["-A", "trust", "-U", USER, "-N"])) {
        return Err("initdb: it makes no database".into());
    }
    let mut server = command("postgres");
    server.arg("-D").arg(&data).arg("-k").arg(&home).args(["-c", "listen_addresses="]);
    let server = Proxy::spawn(USER, 0, server, folder.join("postgres.log")).map_err(|e| format!("postgres: {e}"))?;
    let mut database = Database {
        url: format!("postgres://{USER}@/{USER}"),
        module: "db_postgres.so",
        environment: vec![format!("PGHOST={}", home.display())],
        server: Some(server),
    };
    let client = || {
        let mut client = Command::new(programs.join("psql"));
        client.args(["-q", "-v", "ON_ERROR_STOP=1", "-U", USER, "-h"]).arg(&home).arg(USER);
        client
    };
    let until = Instant::now() + START;
    while !succeeds(client().args(["-c", "SELECT 1"])) {
        if let Some(server) = &mut database.server {
            server.check()?;
        }
        if Instant::now() > until {
            return Err("postgres: it does not answer".into());
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    Ok(feed(&mut client(), &script(phones, "SERIAL"))?.map(|()| database))
}

fn succeeds(command: &mut Command) -> bool {
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok_and(|s| s.success())
}

/// Where Debian has put the newest server.
fn postgres_programs() -> Option<PathBuf> {
    let versions = fs::read_dir("/usr/lib/postgresql").ok()?;
    let found = versions.flatten().map(|entry| entry.path().join("bin")).filter(|path| path.join("initdb").exists());
    found.max()
}
