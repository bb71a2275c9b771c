// SPDX-License-Identifier: MIT OR Apache-2.0

//! `modules/opensips` and `modules/common` without OpenSIPS: they compile without a warning for every series, and
//! `tests/opensips_module` runs them with AddressSanitizer, UndefinedBehaviorSanitizer and the real library.
//!
//! `tests/opensips_stub` has what they use of OpenSIPS' headers. Whether OpenSIPS is really like that, only the
//! end-to-end tests with it can tell.

mod support;

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::json;
use support::sanitized;
use support::scripted_server::{ScriptedServer, key_set};
use support::temporary::Directory;
use support::token::{TestKey, claims, now};

/// 3.4, 3.6, 4.0: what `tools/opensips-build.sh` defines as `OPENSIPS_SERIES`.
const SERIES: [u32; 3] = [304, 306, 400];

/// The functions of the library whose answers a test chooses; see `library.c`.
const CHOSEN: [&str; 7] = [
    "sipoauth_worker_check",
    "sipoauth_worker_check_password",
    "sipoauth_worker_refuse",
    "sipoauth_worker_submit",
    "sipoauth_worker_answered",
    "sipoauth_worker_token_response",
    "sipoauth_context_connection_closed",
];

#[test]
fn every_file_compiles_for_every_series() {
    let directory = Directory::new("opensips-compile");
    let headers = headers(&directory);
    for series in SERIES {
        succeed(compiler(series, &headers).args(["-O1", "-fsyntax-only"]).args(module()));
    }
}

#[test]
fn the_stubs_stay_small() {
    let lines = |file: &PathBuf| fs::read_to_string(file).expect("a source").lines().count();
    let files = files("tests/opensips_stub", &["c", "h"]);
    let all: usize = files.iter().map(lines).sum();
    assert!(files.len() == 2 && all <= 310, "{all} lines");
}

#[test]
fn jobs_and_replies_under_sanitizers() {
    let library = sanitized::library();
    let directory = Directory::new("opensips-module");
    let headers = headers(&directory);
    let key = TestKey::rsa("first");
    let server = ScriptedServer::start(key_set(&[key.jwk()]));
    let mut claims = claims(&server.issuer(), "sip", "alice", 600);
    claims["iat"] = json!(now() - 100);
    let token = key.token("RS256", &claims);
    // The series in the middle differs in nothing but its number.
    for series in [SERIES[0], SERIES[2]] {
        let gate = directory.file(&format!("gate-{series}"));
        let mut command = compiler(series, &headers);
        command.args(["-O1", "-fno-omit-frame-pointer"]).args(sanitized::FLAGS).args(module());
        command.args(files("tests/opensips_stub", &["c"])).args(files("tests/opensips_module", &["c"]));
        // A function of OpenSIPS that the stubs lack ends the program when it is called, by its name.
        command.args(["-no-pie", "-Wl,-z,lazy", "-Wl,--unresolved-symbols=ignore-in-object-files"]);
        command.args(CHOSEN.map(|name| format!("-Wl,--wrap={name}"))).arg("-o").arg(&gate);
        succeed(command.arg(&library).args(sanitized::SYSTEM));
        let mut command = Command::new(&gate);
        command.env("ASAN_OPTIONS", sanitized::OPTIONS).env("UBSAN_OPTIONS", "print_stacktrace=1");
        command.arg(format!("issuer={}", server.issuer())).arg(format!("token={token}"));
        let output = succeed(&mut command);
        println!("{output}");
        assert!(output.contains(" 0 failures"), "{output}");
    }
}

fn root(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

fn files(folder: &str, extensions: &[&str]) -> Vec<PathBuf> {
    let entries = fs::read_dir(root(folder)).expect("a directory").map(|entry| entry.expect("an entry").path());
    let wanted = |file: &PathBuf| file.extension().is_some_and(|e| extensions.iter().any(|x| e == *x));
    entries.filter(wanted).collect()
}

fn module() -> Vec<PathBuf> {
    [files("modules/common", &["c"]), files("modules/opensips", &["c"])].concat()
}

/// A folder in which every header of OpenSIPS that the module includes is `opensips.h`.
fn headers(directory: &Directory) -> PathBuf {
    let folder = directory.file("headers");
    let ours = ["modules/common", "modules/opensips", "include"];
    let sources = [files(ours[0], &["c", "h"]), files(ours[1], &["c", "h"])].concat();
    let text: String = sources.iter().map(|file| fs::read_to_string(file).expect("a source")).collect();
    let names: BTreeSet<_> = text.lines().filter_map(|l| l.strip_prefix("#include \"")?.strip_suffix('"')).collect();
    for name in names.into_iter().filter(|name| !ours.iter().any(|folder| root(folder).join(name).exists())) {
        let header = folder.join(name);
        fs::create_dir_all(header.parent().expect("a folder")).expect("writable");
        symlink(root("tests/opensips_stub/opensips.h"), header).expect("writable");
    }
    folder
}

fn compiler(series: u32, headers: &Path) -> Command {
    let mut command = Command::new("gcc");
    command.args(["-std=gnu11", "-Wall", "-Wextra", "-Werror", "-DMOD_NAME=auth_oauth"]);
    command.arg(format!("-DOPENSIPS_SERIES={series}")).arg("-iquote").arg(headers);
    for folder in ["modules/common", "modules/opensips", "include", "tests/opensips_stub"] {
        command.arg("-I").arg(root(folder));
    }
    command
}

fn succeed(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|e| panic!("{command:?} does not start: {e}; run tools/setup.sh"));
    let text = [output.stdout, output.stderr].map(|text| String::from_utf8_lossy(&text).into_owned()).concat();
    assert!(output.status.success(), "{:?} failed ({}):\n{text}", command.get_program(), output.status);
    text
}
