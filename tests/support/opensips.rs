// SPDX-License-Identifier: MIT OR Apache-2.0

//! OpenSIPS in place of Kamailio: the configuration of the same name, and the MI commands for the RPC commands.
//!
//! The examples in `cfg-examples/opensips` are plain files, without definitions that a command line could set. So a test's
//! definitions become lines of the configuration here: modparams, and words in the configurations of the tests.

use super::patience::{self, PATIENCE};
use super::temporary::Directory;
use super::{kit, ports};
use serde_json::{Value, json};
use std::fmt::Write;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::{env, fs};

/// What `auth_oauth` and other modules are told by a definition of Kamailio's examples.
const PARAMETERS: [(&str, &str, &str); 10] = [
    ("PROVIDER", "auth_oauth", "provider"),
    ("CONFIG_FILE", "auth_oauth", "config_file"),
    ("STORE", "auth_oauth", "store"),
    ("STORE_KEY_FILE", "auth_oauth", "store_key_file"),
    ("STORE_PASSWORD_FILE", "auth_oauth", "store_password_file"),
    ("REPLAY_SCOPE", "auth_oauth", "replay_scope"),
    ("UNPROTECTED", "auth_oauth", "allow"),
    ("REDIRECT", "auth_oauth", "location"),
    ("APPLICATION_SERVERS", "auth_oauth", "application_servers"),
    ("MAX_CONTACTS", "registrar", "max_contacts"),
];

/// What stands in the examples where Kamailio's have a definition.
const WORDS: [(&str, &str); 3] =
    [("NEXT_HOP", "\"sip:127.0.0.1:5080\""), ("DOMAIN", "\"example.test\""), ("DIGEST_ALGORITHM", "\"MD5\"")];

/// Where a test runs OpenSIPS.
pub struct Installation {
    pub program: PathBuf,
    /// A folder with a folder for each module.
    modules: PathBuf,
    pub series: String,
}

impl Installation {
    /// That of `OPENSIPS_SRC`, if it is set; `OPENSIPS_SERIES` is what `tools/opensips-build.sh --series` says.
    pub fn from_environment() -> Option<Installation> {
        let source = PathBuf::from(env::var_os("OPENSIPS_SRC")?);
        let program = env::var_os("OPENSIPS_BIN").map_or_else(|| source.join("opensips"), PathBuf::from);
        let series = env::var("OPENSIPS_SERIES").expect("OPENSIPS_SERIES is set beside OPENSIPS_SRC");
        Some(Installation { program, modules: source.join("modules"), series })
    }

    /// Our module, where Kamailio's would be in the folder of this name.
    pub fn own_modules(&self, name: &str) -> PathBuf {
        kit::path("target/opensips").join(name.replacen("kamailio", &self.series, 1))
    }

    /// One folder with all modules, because 3.4 looks into one only.
    fn link_modules(&self, own: &Path, into: &Path) {
        fs::create_dir_all(into).expect("a folder for modules");
        let folders = fs::read_dir(&self.modules).expect("OpenSIPS' modules").flatten();
        let built = folders.map(|entry| entry.path().join(entry.file_name()).with_extension("so"));
        let theirs = built.filter(|file| file.exists());
        for file in theirs.chain([own.join("auth_oauth.so")]) {
            let name = file.file_name().expect("a file");
            let link = into.join(name);
            std::os::unix::fs::symlink(&file, &link).expect("a link");
        }
    }

    /// The configuration for what a test has asked for.
    pub fn configuration(&self, asked: &Asked, directory: &Directory) -> PathBuf {
        let modules = directory.file("modules");
        // A proxy that drops to another user makes its socket there.
        fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o777)).expect("our own folder");
        self.link_modules(&self.own_modules(asked.modules), &modules);
        let path = counterpart(asked.cfg, asked.defines);
        assert!(path.exists(), "OpenSIPS has no configuration {}", path.display());
        let series = (format!("SERIES_{}", self.series.replace('.', "_")), String::new());
        let lines = without_undefined(&read(&path), &[asked.defines, &[series]].concat());
        let mut text = String::new();
        for line in lines.iter().filter(|line| !is_replaced(line, asked.defines)) {
            let _ = writeln!(text, "{}", with_words(line, asked.defines));
        }
        let text = text.replace("127.0.0.1:5060", &format!("127.0.0.1:{}", asked.port));
        let text = text.replace("127.0.0.1:8080", &format!("127.0.0.1:{}", asked.websocket_port));
        let settings = settings(asked, &modules);
        let (head, tail) = at_last_loadmodule(&text);
        directory.write("opensips.cfg", format!("{settings}{head}{}{tail}", parameters(asked)))
    }
}

/// True when the proxy of this folder listens at all its ports for streams. Its last process does that, when others answer
/// already.
pub fn listens(directory: &Directory) -> bool {
    let text = fs::read_to_string(directory.file("opensips.cfg")).unwrap_or_default();
    let sockets = text.lines().filter_map(|line| line.strip_prefix("socket=tcp:").or(line.strip_prefix("socket=ws:")));
    let mut ports = sockets.filter_map(|socket| socket.rsplit(':').next()?.trim().parse().ok());
    ports.all(ports::is_listening)
}

/// What a test asks for.
pub struct Asked<'a> {
    pub cfg: &'a Path,
    pub port: u16,
    pub websocket_port: u16,
    pub modules: &'a str,
    pub workers: usize,
    pub debug: usize,
    pub defines: &'a [(String, String)],
    pub socket: &'a Path,
}

/// What is a definition in an example of Kamailio's is not in OpenSIPS' examples, but a test may have a configuration for it.
fn counterpart(cfg: &Path, defines: &[(String, String)]) -> PathBuf {
    let name = cfg.file_name().expect("a file");
    let own = kit::path("tests/e2e/opensips").join(name);
    let example = kit::path("cfg-examples/opensips").join(name);
    let is_example = cfg.starts_with(kit::path("cfg-examples"));
    let asked_for = || {
        let text = fs::read_to_string(&own).unwrap_or_default();
        defines.iter().any(|(name, _)| text.contains(&format!("#!ifdef {name}\n")))
    };
    match (is_example, cfg.starts_with(kit::path("tests"))) {
        (true, _) if !asked_for() => example,
        (false, false) => cfg.to_owned(),
        _ => own,
    }
}

/// With the files that it includes.
fn read(path: &Path) -> Vec<String> {
    let text = fs::read_to_string(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let mut lines = Vec::new();
    for line in text.lines() {
        match line.strip_prefix("include_file \"").and_then(|rest| rest.strip_suffix('"')) {
            Some(included) => lines.extend(read(&path.parent().expect("a folder").join(included))),
            None => lines.push(line.to_owned()),
        }
    }
    lines
}

/// Lines between `#!ifdef NAME` and `#!endif` stay only with that definition.
fn without_undefined(lines: &[String], defines: &[(String, String)]) -> Vec<String> {
    let mut stays = vec![true];
    let mut kept = Vec::new();
    for line in lines {
        let mut words = line.split_whitespace();
        let (word, name) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        let defined = defines.iter().any(|(known, _)| known == name);
        match word {
            "#!ifdef" => stays.push(defined),
            "#!ifndef" => stays.push(!defined),
            "#!else" => {
                let last = stays.pop().expect("an ifdef before");
                stays.push(!last);
            }
            "#!endif" => drop(stays.pop()),
            _ if stays.iter().all(|stay| *stay) => kept.push(line.clone()),
            _ => {}
        }
    }
    kept
}

/// What the test sets itself.
fn is_replaced(line: &str, defines: &[(String, String)]) -> bool {
    const CORE: [&str; 5] = ["log_level=", "stderror_enabled=", "syslog_enabled=", "udp_workers=", "mpath="];
    let parameter = |module: &str, name: &str| line.starts_with(&format!("modparam(\"{module}\", \"{name}\","));
    let configured = defines.iter().any(|(name, _)| name == "CONFIG_FILE");
    CORE.iter().any(|start| line.starts_with(start))
        || line.contains("mi_fifo")
        || configured && parameter("auth_oauth", "provider")
        || defines.iter().any(|(define, _)| {
            PARAMETERS.iter().any(|(known, module, name)| known == define && parameter(module, name))
        })
}

fn with_words(line: &str, defines: &[(String, String)]) -> String {
    if let Some(lines) = with_users(line, defines) {
        return lines;
    }
    let mut line = line.to_owned();
    for (name, value) in defines {
        if let Some((_, text)) = WORDS.iter().find(|(known, _)| known == name) {
            line = line.replace(text, value);
        }
        line = replace_word(&line, name, value);
        if name == "DESK_PASSWORD" && line.contains("oauth_password_grant(") {
            line = line.replace("\"$avp(ha1)\")", &format!("\"$avp(ha1)\", {value})"));
        }
        if name == "DOMAIN" && line.starts_with("alias=") {
            line = format!("alias={}", value.trim_matches('"'));
        }
    }
    line
}

/// The users whom an example has in its memory.
fn with_users(line: &str, defines: &[(String, String)]) -> Option<String> {
    let (kind, rest) = line.trim().strip_prefix("cache_store(\"local\", \"")?.split_once("_desk\"")?;
    let defined =
        |name: String| defines.iter().find(|(known, _)| *known == name).map(|(_, value)| value.trim_matches('"'));
    let value = if kind == "ha1" { "HA1" } else { "PASSWORD" };
    let users = ["DESK", "OTHER"].iter().filter_map(|who| {
        let (user, value) = (defined(format!("{who}_USER"))?, defined(format!("{who}_{value}"))?);
        Some(format!("    cache_store(\"local\", \"{kind}_{user}\", \"{value}\");\n"))
    });
    let lines: String = users.collect();
    Some(if lines.is_empty() { format!("    cache_store(\"local\", \"{kind}_desk\"{rest}") } else { lines })
}

/// Replaces a name where it stands alone.
fn replace_word(line: &str, name: &str, value: &str) -> String {
    let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '"';
    let mut result = String::new();
    let mut rest = line;
    while let Some(at) = rest.find(name) {
        let (before, after) = (&rest[..at], &rest[at + name.len()..]);
        let alone = !before.ends_with(is_part) && !after.starts_with(is_part);
        result.push_str(before);
        result.push_str(if alone { value } else { name });
        rest = after;
    }
    result + rest
}

fn settings(asked: &Asked, modules: &Path) -> String {
    let level = if asked.debug >= 3 { 4 } else { 3 };
    let peer = asked
        .defines
        .iter()
        .find(|(name, _)| name == "PEER")
        .map(|(_, value)| format!("alias=udp:{value}\nalias=tcp:{value}\n"));
    format!(
        "{}log_level={level}\nstderror_enabled=yes\nsyslog_enabled=no\nudp_workers={}\nmpath=\"{}/\"\n",
        peer.unwrap_or_default(),
        asked.workers,
        modules.display()
    )
}

fn parameters(asked: &Asked) -> String {
    let mut text = format!(
        "loadmodule \"mi_datagram.so\"\nmodparam(\"mi_datagram\", \"socket_name\", \"{}\")\n\
         modparam(\"mi_datagram\", \"unix_socket_mode\", 0600)\n",
        asked.socket.display()
    );
    for (define, value) in asked.defines {
        if let Some((_, module, name)) = PARAMETERS.iter().find(|(known, ..)| known == define) {
            let value = match &**define {
                "UNPROTECTED" => "\"unprotected_short_codes\"",
                "REDIRECT" => "\"302\"",
                _ => value,
            };
            let _ = writeln!(text, "modparam(\"{module}\", \"{name}\", {value})");
        }
    }
    text
}

/// Parameters come after the modules that they are for.
fn at_last_loadmodule(text: &str) -> (&str, &str) {
    let at = text.rfind("\nloadmodule ").expect("modules are loaded") + 1;
    let end = at + text[at..].find('\n').expect("a line") + 1;
    text.split_at(end)
}

/// Runs the MI command that does what this RPC command does. The answer looks as kamcmd prints it.
pub fn command(socket: &Path, method: &str, arguments: &[&str]) -> Result<String, String> {
    let answer = match (method, arguments) {
        ("core.uptime", _) => ask(socket, "uptime", &json!([])),
        ("core.ps", _) => ask(socket, "ps", &json!([])).map(|answer| processes(&answer)),
        ("ul.lookup", [table, address]) => {
            ask(socket, "ul_show_contact", &json!({"table_name": table, "aor": address})).map(|a| contacts(&a))
        }
        ("ul.dump", _) => ask(socket, "ul_dump", &json!([])).map(|answer| contacts(&answer)),
        ("core.shmmem", _) => statistic(socket, "shmem:", "real_used_size").map(|n| json!({"real_used": n})),
        ("dlg.stats_active", _) => statistic(socket, "dialog:", "active_dialogs").map(|n| json!({"active": n})),
        ("tm.stats", _) => {
            let number = |name| statistic(socket, "tm:", name);
            let all = number("UAS_transactions").and_then(|total| Ok((total, number("inuse_transactions")?)));
            all.map(|(total, left)| json!({"total": total, "waiting": left}))
        }
        ("stats.get_statistics", [group]) => {
            ask(socket, "get_statistics", &json!([[group]])).map(|answer| json!(lines(&answer)))
        }
        _ => match method.strip_prefix("auth_oauth.") {
            Some(name) => ask(socket, &format!("oauth_{name}"), &json!(arguments)),
            None => panic!("OpenSIPS has no command for {method}"),
        },
    };
    answer.map(|answer| printed(&answer))
}

/// A statistic of a group, which is written with its colon.
fn statistic(socket: &Path, group: &str, name: &str) -> Result<u64, String> {
    let answer = ask(socket, "get_statistics", &json!([[group]]))?;
    let value = &answer[format!("{group}{name}")];
    value.as_u64().ok_or_else(|| format!("no {group}{name} in {answer}"))
}

/// Statistics as Kamailio prints them.
fn lines(answer: &Value) -> Vec<String> {
    let fields = answer.as_object().into_iter().flatten();
    fields.map(|(name, value)| format!("{name} = {value}")).collect()
}

fn ask(socket: &Path, method: &str, parameters: &Value) -> Result<Value, String> {
    let directory = Directory::new("mi");
    let path = directory.file("reply");
    let own = UnixDatagram::bind(&path).map_err(|e| e.to_string())?;
    for open in [directory.path(), &path] {
        let _ = fs::set_permissions(open, fs::Permissions::from_mode(0o777));
    }
    let request = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": parameters});
    own.send_to(request.to_string().as_bytes(), socket).map_err(|e| format!("error: {e}"))?;
    let octets = patience::receive_local(&own, PATIENCE).map_err(|e| format!("error: {e}"))?;
    let mut answer: Value = serde_json::from_slice(&octets).map_err(|e| format!("error: {e}"))?;
    match answer.get("error") {
        Some(error) => {
            let text = error["data"].as_str().or(error["message"].as_str()).unwrap_or_default();
            Err(format!("error: {} - {text}", error["code"]))
        }
        None => Ok(answer["result"].take()),
    }
}

/// Pairs of lines, as `core.ps` prints them.
fn processes(answer: &Value) -> Value {
    let list = answer["Processes"].as_array().expect("a list");
    list.iter().flat_map(|one| [one["PID"].clone(), one["Type"].clone()]).collect::<Vec<_>>().into()
}

/// The fields that tests look for, with the names that Kamailio gives them.
fn contacts(answer: &Value) -> Value {
    let mut found = Vec::new();
    collect(answer, &mut found);
    found.into()
}

fn collect(value: &Value, found: &mut Vec<Value>) {
    match value {
        Value::Object(fields) => {
            if let (Some(contact), Some(expires)) = (fields.get("Contact"), fields.get("Expires")) {
                let instance = fields.get("SIP_instance").cloned().unwrap_or_default();
                found.push(json!({"Address": contact, "Expires": expires, "Instance": instance}));
            }
            fields.values().for_each(|value| collect(value, found));
        }
        Value::Array(list) => list.iter().for_each(|value| collect(value, found)),
        _ => {}
    }
}

fn printed(value: &Value) -> String {
    match value {
        Value::Array(list) => list.iter().map(printed).collect(),
        Value::Object(fields) => {
            let mut text = "{\n".to_owned();
            for (name, value) in fields {
                let _ = writeln!(text, "\t{name}: {}", value.as_str().map_or_else(|| value.to_string(), str::to_owned));
            }
            text + "}\n"
        }
        Value::String(text) => format!("{text}\n"),
        other => format!("{other}\n"),
    }
}
