// SPDX-License-Identifier: MIT OR Apache-2.0

//! Where the project's own programs and files are: what `tools/setup.sh` and
//! the builds leave below `target/`.

use super::process;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Once;
use std::{env, fs};

pub fn root() -> PathBuf {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    let root = package.ancestors().find(|folder| folder.join("tests/kit").is_dir());
    root.expect("each package of the project is below its root").to_owned()
}

/// A path below the project's root, e.g. `tests/kit/sipp-register.xml`.
pub fn path(relative: &str) -> PathBuf {
    root().join(relative)
}

/// Runs a script of `tests/kit` with Node.js, beside the installed packages.
pub fn node(script: &str) -> Command {
    let kit = path("target/kit");
    assert!(kit.join("node_modules").exists(), "target/kit is not installed; run tools/setup.sh");
    static REFRESHED: Once = Once::new();
    REFRESHED.call_once(|| refresh(&path("tests/kit"), &kit));
    let brought = path("target/node/bin/node");
    let node = if brought.exists() { brought } else { PathBuf::from("node") };
    let mut command = process::command(node);
    command.arg(kit.join(script)).current_dir(&kit);
    command
}

/// Copies scripts that changed since `tools/setup.sh` ran: imports resolve
/// beside `node_modules` only, and that stays out of the source tree.
fn refresh(source: &Path, kit: &Path) {
    for entry in fs::read_dir(source).expect("tests/kit is part of the project") {
        let script = entry.expect("readable").path();
        if script.extension().is_some_and(|extension| extension == "mjs") {
            let copy = kit.join(script.file_name().expect("a file"));
            let text = fs::read(&script).expect("readable");
            if fs::read(&copy).ok().as_ref() != Some(&text) {
                let fresh = copy.with_extension(format!("{}.new", std::process::id()));
                fs::write(&fresh, text).expect("target/kit is writable");
                fs::rename(&fresh, &copy).expect("target/kit is writable");
            }
        }
    }
}

/// A program on the path, or in the places where Debian puts servers.
pub fn program(name: &str) -> PathBuf {
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path)
        .chain(["/usr/sbin", "/usr/bin"].map(PathBuf::from))
        .map(|directory| directory.join(name))
        .find(|candidate| candidate.is_file())
        .unwrap_or_else(|| panic!("{name} is not installed; run tools/setup.sh"))
}
