// SPDX-License-Identifier: MIT OR Apache-2.0
//! The C ABI: the one place where raw pointers become Rust values and panics end.
//!
//! Each function makes three moves: guard, convert, call. Nothing unwinds across it, nothing is global.
#![allow(unsafe_code, non_camel_case_types)]

pub mod config;
pub mod convert;
pub mod guard;
pub mod io;
pub mod keys;
pub mod state;
pub mod types;
pub mod worker;

/// Version of the ABI: grows when a structure or the meaning of a function changes.
pub const SIPOAUTH_ABI_VERSION: u32 = 1;

/// The ABI version of the library that is loaded. A host compares it with `SIPOAUTH_ABI_VERSION` of the header.
#[unsafe(no_mangle)]
pub extern "C" fn sipoauth_abi_version() -> u32 {
    SIPOAUTH_ABI_VERSION
}

/// The library's version, "major.minor.patch". Static, NUL-terminated.
#[unsafe(no_mangle)]
pub extern "C" fn sipoauth_version() -> *const std::ffi::c_char {
    const VERSION: &str = concat!(env!("CARGO_PKG_VERSION"), "\0");
    VERSION.as_ptr().cast()
}
