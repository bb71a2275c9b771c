// SPDX-License-Identifier: MIT OR Apache-2.0
//! Generates the C header into OUT_DIR, of which `include/sipoauth.h` is a checked-in copy (a test compares the two),
//! and names the shared library.

use std::env;
use std::path::PathBuf;

const PREAMBLE: &str = "\
/* SPDX-License-Identifier: MIT OR Apache-2.0
 *
 * sipoauth: OAuth 2.0 and OpenID Connect sign-in for SIP servers (RFC 8898).
 *
 * Generated from src/capi by cbindgen: do not edit, run 'make header'.
 *
 * Order of calls: sipoauth_config_new, _set, _provider_add, sipoauth_context_new; fork; in each process
 * sipoauth_worker_new, then sipoauth_worker_check per request; in one process sipoauth_io_new, then
 * sipoauth_io_step in a loop. Functions return SIPOAUTH_OK or a negative SIPOAUTH_E_ number.
 *
 * Processes: a configuration and a context are made before the fork; a worker and the I/O service belong to the
 * process that made them. Threads: a context may be used by all at once, every other handle by one at a time. Texts
 * that the caller gives are copied or used during the call only.
 *
 * Structures: set struct_size to sizeof, everything unused to zero (memset). They only grow at their end.
 */";

fn main() {
    println!("cargo::rerun-if-changed=src/capi");
    println!("cargo::rerun-if-changed=build.rs");
    let root = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").expect("cargo sets it"));
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets it")).join("sipoauth.h");
    println!("cargo::rustc-env=SIPOAUTH_GENERATED_HEADER={}", out.display());
    if env::var("CARGO_CFG_TARGET_OS").is_ok_and(|os| os == "linux") {
        // The number changes when the ABI breaks. Never unloaded: threads of the host may still run its destructors.
        println!("cargo::rustc-cdylib-link-arg=-Wl,-soname,libsipoauth.so.0");
        println!("cargo::rustc-cdylib-link-arg=-Wl,-z,nodelete");
    }
    let mut config = cbindgen::Config {
        language: cbindgen::Language::C,
        cpp_compat: true,
        header: Some(PREAMBLE.into()),
        include_guard: Some("SIPOAUTH_H".into()),
        usize_is_size_t: true,
        documentation_style: cbindgen::DocumentationStyle::C,
        style: cbindgen::Style::Both,
        no_includes: true,
        sys_includes: vec!["stddef.h".into(), "stdint.h".into()],
        line_length: 120,
        ..cbindgen::Config::default()
    };
    config.export.include = vec!["sipoauth_result".into()];
    // mod.rs names the other files; cbindgen follows it.
    let builder = cbindgen::Builder::new().with_config(config).with_src(root.join("src/capi/mod.rs"));
    builder.generate().expect("src/capi can be parsed").write_to_file(out);
}
