// SPDX-License-Identifier: MIT OR Apache-2.0

//! The operator's tool as its sources are now. It is a package of its own, so cargo does not build it for these tests.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// The program; it is built first where that is needed.
pub fn tool() -> &'static Path {
    static TOOL: OnceLock<PathBuf> = OnceLock::new();
    TOOL.get_or_init(|| {
        let test = std::env::current_exe().expect("a path");
        let built = test.parent().and_then(Path::parent).expect("cargo puts tests two folders deep");
        let mut cargo = Command::new(env!("CARGO"));
        cargo.current_dir(env!("CARGO_MANIFEST_DIR")).args([
            "build",
            "--quiet",
            "--locked",
            "--package",
            "sipoauth-cli",
        ]);
        cargo.arg("--target-dir").arg(built.parent().expect("the target folder"));
        if built.ends_with("release") {
            cargo.arg("--release");
        }
        assert!(cargo.status().expect("cargo runs these tests").success(), "the tool does not build");
        built.join("sipoauth")
    })
}
