// SPDX-License-Identifier: MIT OR Apache-2.0
//! How the benches start Kamailio.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::proxies::process::{Proxy, free_port, project};

/// The script of registrations.
const REGISTRAR: &str = "registrar.cfg";

/// Starts the benches' script with these definitions (as `-A` takes them), its files in `folder`.
pub fn launch(name: &'static str, folder: &Path, defines: &[String]) -> Result<Proxy, String> {
    launch_of(project(), name, folder, defines)
}

/// The same with the module of the tree in `build`.
pub fn launch_of(build: &Path, name: &'static str, folder: &Path, defines: &[String]) -> Result<Proxy, String> {
    start(&[], build, REGISTRAR, name, folder, defines)
}

/// Starts another script of the benches.
pub fn launch_script(script: &str, name: &'static str, folder: &Path, defines: &[String]) -> Result<Proxy, String> {
    start(&[], project(), script, name, folder, defines)
}

/// Starts another script as the last argument of this command.
pub fn launch_below(
    below: &[&str],
    script: &str,
    name: &'static str,
    folder: &Path,
    defines: &[String],
) -> Result<Proxy, String> {
    start(below, project(), script, name, folder, defines)
}

/// Starts it with one worker, below Callgrind, which counts what happens while a message is handled. What it has counted
/// is in files `callgrind.PID.NUMBER` in the proxy's folder, one for each OPTIONS.
pub fn launch_counted(name: &'static str, folder: &Path, defines: &[String]) -> Result<Proxy, String> {
    let out = format!("--callgrind-out-file={}", folder.join(name).join("callgrind.%p").display());
    // The script calls `setflag` for OPTIONS only.
    let below = ["valgrind", "-q", "--tool=callgrind", "--toggle-collect=receive_msg", "--dump-before=setflag", &out];
    let defines: Vec<String> = [&["WORKERS=1".to_owned()], defines].concat();
    start(&below, project(), REGISTRAR, name, folder, &defines)
}

fn start(
    below: &[&str],
    build: &Path,
    script: &str,
    name: &'static str,
    folder: &Path,
    defines: &[String],
) -> Result<Proxy, String> {
    let port = free_port()?;
    let folder = folder.join(name);
    let log = folder.join("log");
    let fail = |e: std::io::Error| format!("{name}: Kamailio cannot be started: {e}; run tools/setup.sh bench");
    fs::create_dir_all(&folder).map_err(fail)?;
    // It ends when this process does, however that ends.
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "TERM", "--"]).args(below).args(["kamailio", "-DD", "-E"]);
    // f_malloc: the default allocator takes half of the time. tm keeps an answered transaction for 5 s, 14 kB each.
    command.args(["-x", "fm", "-X", "fm", "-m", "1536", "-M", "32"]);
    command.arg("-f").arg(project().join("benches/kamailio").join(script));
    command.arg("-w").arg(&folder).arg("-Y").arg(&folder);
    command.arg("-L").arg(format!("{}:{}", modules()?.display(), build.join("target/kamailio").display()));
    command.arg("-A").arg(format!("PORT={port}"));
    for define in defines {
        command.arg("-A").arg(define);
    }
    Proxy::spawn(name, port, command, log).map_err(fail)
}

/// Where Debian has put the modules of the installed Kamailio.
pub fn modules() -> Result<PathBuf, String> {
    let libraries = fs::read_dir("/usr/lib").map_err(|e| format!("/usr/lib: {e}"))?;
    let mut candidates = libraries.flatten().map(|entry| entry.path().join("kamailio/modules"));
    candidates
        .find(|path| path.join("tm.so").exists())
        .ok_or_else(|| "Kamailio's modules are not installed; run tools/setup.sh bench".to_owned())
}

/// A module beside auth_oauth.so or beside Kamailio's own.
pub fn has_module(name: &str) -> bool {
    modules().is_ok_and(|folder| folder.join(name).exists()) || project().join("target/kamailio").join(name).exists()
}
