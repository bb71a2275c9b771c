// SPDX-License-Identifier: MIT OR Apache-2.0

//! The static library with AddressSanitizer, for programs of C that have it, too.

use std::path::{Path, PathBuf};
use std::process::Command;

/// What a static library of Rust needs (`rustc --print native-static-libs`).
pub const SYSTEM: [&str; 6] = ["-lgcc_s", "-lutil", "-lrt", "-lpthread", "-lm", "-ldl"];

/// For the compiler: every fault ends the program.
pub const FLAGS: [&str; 3] = ["-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"];

/// For the program, in `ASAN_OPTIONS`.
pub const OPTIONS: &str = "detect_leaks=1:detect_stack_use_after_return=1:strict_string_checks=1";

/// Builds the static library with AddressSanitizer and the feature fault-injection, in a target folder of its own.
pub fn library() -> PathBuf {
    const TARGET: &str = "x86_64-unknown-linux-gnu";
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("asan");
    let mut cargo = Command::new(env!("CARGO"));
    cargo.current_dir(env!("CARGO_MANIFEST_DIR")).args(["build", "--locked", "--package", "sipoauth", "--lib"]);
    cargo.args(["--features", "fault-injection", "--target", TARGET, "--target-dir"]).arg(&folder);
    // The sanitizer is not yet stable; nothing else of the unstable language is used.
    cargo.env("RUSTC_BOOTSTRAP", "1").env("RUSTFLAGS", "-Zsanitizer=address").env_remove("CARGO_ENCODED_RUSTFLAGS");
    cargo.env("CARGO_PROFILE_DEV_DEBUG", "line-tables-only").env("CARGO_INCREMENTAL", "0");
    let output = cargo.output().expect("cargo runs this test");
    assert!(output.status.success(), "no sanitized library: {}", String::from_utf8_lossy(&output.stderr));
    folder.join(TARGET).join("debug/libsipoauth.a")
}
